"""Labels that stand for "no label" though they are not empty: SNLI's `-`, and -1 beside classes from 0 up.

Knows keys of labels. A word is never a placeholder: "NA", "null" and "None" may be classes, and are said to be read so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from codir.errors.shown import counted

SIGNS = ("-", "--", "?", ".")
OPPOSITE = {"-": "+", "--": "++"}
"""What makes a class of a sign."""
WORDS = ("na", "n/a", "nan", "null", "none", "unknown", "missing")
UNSET = "-1"


def find_placeholders(
    counts: Mapping[str, int], named: Collection[str], *, are_indices: bool = False, are_scores: bool = False
) -> set[str]:
    """Find the labels that stand for none; at least two classes are left.

    Args:
        counts: rows of each label.
        named: names of classes that are known beforehand; none of them is a placeholder.
        are_indices: the source keeps names for its class indices, so that -1 can be none of them.
        are_scores: -1 is a score like any other.

    Example:
        >>> find_placeholders({"neutral": 5, "entailment": 4, "-": 1}, ()), find_placeholders({"+": 3, "-": 4}, ())
        ({'-'}, set())
        >>> find_placeholders({"0": 5, "1": 5, "2": 5, "-1": 2}, ()), find_placeholders({"0": 5, "1": 5, "-1": 2}, ())
        ({'-1'}, set())
    """
    signs = {sign for sign in SIGNS if sign in counts and sign not in named and OPPOSITE.get(sign) not in counts}
    classes = counts.keys() - signs
    is_unset = UNSET in classes and UNSET not in named and not are_scores
    if is_unset and (are_indices or _are_indices(classes - {UNSET})):
        signs.add(UNSET)
    return signs if are_scores or len(counts.keys() - signs) > 1 else set()


def _are_indices(classes: Collection[str]) -> bool:
    """0, 1, 2 and so on; with two of them, -1 may well be a third class, as in negative, neutral and positive."""
    return len(classes) > 2 and set(classes) == {str(index) for index in range(len(classes))}


def note_placeholders(name: str, left_out: Counter[str]) -> list[str]:
    """Say which rows of a table were left out."""
    return [
        f"{name}: {counted(count, 'row is', 'rows are')} left out, since the label {label!r} stands for no label"
        for label, count in left_out.items()
    ]


def note_likely_placeholders(counts: Mapping[str, int]) -> list[str]:
    """Name the classes that often stand for no label, and are read as classes nevertheless."""
    doubtful = [label for label in counts if label.lower() in WORDS or label in SIGNS]
    if UNSET in counts and set(counts) <= {UNSET, "0", "1"} and "0" in counts:
        doubtful.append(UNSET)
    shown = ", ".join(f"{label!r} ({counted(counts[label], 'row')})" for label in doubtful)
    return [f"read as classes, though they often stand for no label: {shown}"] if doubtful else []
