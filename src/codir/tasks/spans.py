"""From tags to spans and back to counts: which entities a sentence has, whatever scheme its tags are in.

Knows tags as texts. Knows nothing of models, words or tokenizers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

OUTSIDE = "O"
AS_IN_BIOES = {"L": "E", "U": "S", "M": "I", "W": "S"}
"""Letters of other schemes (BILOU, BMES, BMEWO) for the same places in a span."""
LETTERS = frozenset("BIES") | AS_IN_BIOES.keys()


@dataclass(frozen=True, order=True)
class Span:
    """An entity: words `start` to `end - 1` of a sentence, counted from 0."""

    start: int
    end: int
    type: str


def split_tag(tag: str) -> tuple[str, str]:
    """The place in a span (`B`, `I`, `E`, `S`, or `O` outside of any) and the type of a tag.

    Example:
        >>> split_tag("B-PER"), split_tag("U-LOC"), split_tag("O"), split_tag("I-geo-loc")
        (('B', 'PER'), ('S', 'LOC'), ('O', ''), ('I', 'geo-loc'))
    """
    letter, dash, kind = tag.partition("-")
    if not dash or letter not in LETTERS or not kind:
        return OUTSIDE, ""
    return AS_IN_BIOES.get(letter, letter), kind


def are_span_tags(names: Iterable[str]) -> bool:
    """Whether tags mark spans: all but `O` begin with a letter of a scheme and a dash, and there is such a tag.

    Example:
        >>> are_span_tags(["O", "B-PER", "I-PER"]), are_span_tags(["NOUN", "VERB"]), are_span_tags(["O"])
        (True, False, False)
    """
    inside = [name for name in names if name != OUTSIDE]
    return bool(inside) and all(split_tag(name)[0] != OUTSIDE for name in inside)


def spans_of(tags: Sequence[str]) -> list[Span]:
    """The spans of one sentence, in their order.

    The rules of `conlleval` (Tjong Kim Sang and Buchholz 2000), which seqeval follows too: a span begins at `B` and
    `S`, where the type changes, and at `I` or `E` after a span has ended; it ends before the next begins, before `O`,
    and at `E` and `S`. So IOB1, IOB2, BIOES and BILOU are all read, and no tag is lost that breaks a scheme.

    Args:
        tags: of the words of a sentence; anything without a letter and a dash is outside.

    Example:
        >>> spans_of(["B-PER", "I-PER", "O", "I-LOC", "B-LOC"])
        [Span(start=0, end=2, type='PER'), Span(start=3, end=4, type='LOC'), Span(start=4, end=5, type='LOC')]
    """
    found: list[Span] = []
    start, of, before = 0, "", OUTSIDE
    for place, (letter, kind) in enumerate([*map(split_tag, tags), (OUTSIDE, "")]):
        is_new = letter in "BS" or before in "OES" or kind != of
        if of and (letter == OUTSIDE or is_new):
            found.append(Span(start, place, of))
            of = ""
        if letter != OUTSIDE and not of:
            start, of = place, kind
        before = letter
    return found
