"""How documents become sequences: long ones are cut, short ones share a sequence. Pure functions of token ids."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from codir.errors import UserError

SHORTEST_DOCUMENT = 2
"""Tokens that a document must have: with one alone there is nothing to predict it from."""

SMALLEST_ROOM = 3
"""Tokens of text that a sequence must hold, so that no piece of a document has to be shorter than two."""


@dataclass(frozen=True)
class Layout:
    """What stands around the text in a sequence, and how much text that leaves room for.

    Attributes:
        room: tokens of text, and of separators, in a sequence.
        prefix: special tokens before them, such as `[CLS]`.
        suffix: special tokens after them, such as `[SEP]`.
        separator: stands between two documents in one sequence; `None` where documents are left apart.
    """

    room: int
    prefix: tuple[int, ...] = ()
    suffix: tuple[int, ...] = ()
    separator: int | None = None

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase, *, max_length: int, packed: bool) -> Layout:
        """The layout that a tokenizer gives to a text, `max_length` tokens long.

        Raises:
            UserError: a length that the tokenizer was not made for, or no token to separate documents with.
        """
        prefix, suffix = special_tokens_around(tokenizer)
        room = max_length - len(prefix) - len(suffix)
        _check_length(max_length, least=max_length - room + SMALLEST_ROOM, most=tokenizer.model_max_length)
        separator = tokenizer.sep_token_id if tokenizer.sep_token_id is not None else tokenizer.eos_token_id
        if packed and separator is None:
            raise UserError(
                "packing",
                expected="a tokenizer with a separator or an end-of-text token, to stand between two documents",
                got="neither",
                otherwise="one document would have run on into the next",
                do="set `packing: apart`",
            )
        return cls(room, prefix, suffix, separator if packed else None)


@dataclass(frozen=True)
class Row:
    """A sequence, special tokens included.

    Attributes:
        input_ids: at most as many as the layout allows.
        document_id: of its document, or of the first of those that share it. No other document's row has it.
        begun: how many documents begin in it, and so are counted here: 0 in the later pieces of a long one.
    """

    input_ids: list[int]
    document_id: int
    begun: int


def special_tokens_around(tokenizer: PreTrainedTokenizerBase) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The special tokens that a tokenizer puts before a text and after it."""
    ordinary = sorted(set(tokenizer.get_vocab().values()) - set(tokenizer.all_special_ids))
    known = tokenizer.decode(ordinary[: len(ordinary) // 2 + 1][-10:])  # a text that has tokens, in any alphabet
    whole = tokenizer(known).input_ids
    text = tokenizer(known, add_special_tokens=False).input_ids
    start = next(i for i in range(len(whole)) if whole[i : i + len(text)] == text)
    return tuple(whole[:start]), tuple(whole[start + len(text) :])


def group_documents(lengths: Sequence[int], room: int) -> list[list[int]]:
    """Which documents share a sequence: short ones in turn, as many as there is room for; a long one has its own.

    Args:
        lengths: tokens of each document.
        room: tokens of a sequence. Between two documents in it stands one separator.

    Example:
        >>> group_documents([3, 4, 30, 1, 9], room=10)  # 3 + 1 + 4, with no room for a separator and the 9
        [[0, 1, 3], [2], [4]]
    """
    groups: list[list[int]] = []
    shared: list[int] = []
    filled = room
    for document, length in enumerate(lengths):
        if length > room:
            groups.append([document])
        elif filled + 1 + length <= room:
            shared.append(document)
            filled += 1 + length
        else:
            shared, filled = [document], length
            groups.append(shared)
    return groups


def cut(input_ids: Sequence[int], room: int) -> list[Sequence[int]]:
    """Pieces of `room` tokens, one after another and none twice; the last is what remains, and is at least two.

    Example:
        >>> cut([1, 2, 3, 4, 5, 6], room=4), cut([1, 2, 3, 4, 5], room=4)
        ([[1, 2, 3, 4], [5, 6]], [[1, 2, 3], [4, 5]])
    """
    starts = list(range(0, len(input_ids), room))
    if len(starts) > 1 and len(input_ids) - starts[-1] < SHORTEST_DOCUMENT:
        starts[-1] -= 1
    return [input_ids[start:stop] for start, stop in zip(starts, [*starts[1:], len(input_ids)], strict=True)]


def lay_out(documents: Sequence[Sequence[int]], layout: Layout, *, first_id: int = 0) -> Iterator[Row]:
    """Sequences of the documents of one block. Documents shorter than two tokens are left out.

    Args:
        documents: token ids without special ones.
        layout: what stands around them.
        first_id: number of the first document; the others follow.

    Example:
        >>> layout = Layout(room=4, prefix=(101,), suffix=(102,), separator=102)
        >>> for row in lay_out([[1, 2, 3, 4, 5, 6], [7, 8]], layout):
        ...     print(row.input_ids, row.document_id)
        [101, 1, 2, 3, 4, 102] 0
        [101, 5, 6, 102] 0
        [101, 7, 8, 102] 1
    """
    kept = [number for number, ids in enumerate(documents) if len(ids) >= SHORTEST_DOCUMENT]
    lengths = [len(documents[number]) for number in kept]
    groups = [[place] for place in range(len(kept))]
    if layout.separator is not None:
        groups = group_documents(lengths, layout.room)
    for group in groups:
        members = [documents[kept[place]] for place in group]
        pieces = cut(members[0], layout.room) if len(members) == 1 else [_join(members, layout.separator)]
        for place, piece in enumerate(pieces):
            framed = [*layout.prefix, *piece, *layout.suffix]
            yield Row(framed, first_id + kept[group[0]], len(members) if place == 0 else 0)


def _join(documents: Sequence[Sequence[int]], separator: int | None) -> list[int]:
    assert separator is not None, "documents that share a sequence are told apart"
    joined = list(documents[0])
    for ids in documents[1:]:
        joined += [separator, *ids]
    return joined


def _check_length(max_length: int, *, least: int, most: int) -> None:
    if max_length > most:
        raise UserError(
            "max_length",
            expected=f"at most {most}, which the tokenizer says its model can read",
            got=str(max_length),
            otherwise="the model would have had no positions for the last tokens",
            do=f"set `--max-length {most}` or lower",
        )
    if max_length < least:
        raise UserError(
            "max_length",
            expected=f"at least {least}: {SMALLEST_ROOM} tokens of text among the tokenizer's special ones",
            got=str(max_length),
            do="128 is usual",
        )
