"""What should be said of classes: some differ by a space only, have hardly a row, or stand in one split only.

Knows names of classes and how many rows each has.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping

from codir.errors.shown import counted

FEW_ROWS = 3
SHOWN = 8
NUMBER = re.compile(r"\s*-?\d{1,300}([.,]\d{1,300})?\s*")


def note_alike(counts: Mapping[str, int]) -> list[str]:
    """Name the classes that are the same but for spaces around them and capitals.

    Example:
        >>> note_alike({"neg": 20, "pos": 15, "neg ": 6})
        ["classes that differ in spaces or capitals only: 'neg' (20 rows) and 'neg ' (6 rows)"]
    """
    alike: dict[str, list[str]] = defaultdict(list)
    for name in counts:
        alike[name.strip().casefold()].append(name)
    groups = [" and ".join(_with_rows(name, counts) for name in names) for names in alike.values() if len(names) > 1]
    return [f"classes that differ in spaces or capitals only: {_some(groups, '; ')}"] if groups else []


def note_rare(counts: Mapping[str, int]) -> list[str]:
    """Name the classes with one or two rows: a misspelt label is a class of its own."""
    rare = [_with_rows(name, counts) for name, count in counts.items() if 0 < count < FEW_ROWS]
    return [f"classes with fewer than {FEW_ROWS} rows: {_some(rare)}"] if rare else []


def note_decimal_commas(counts: Mapping[str, int]) -> list[str]:
    """Spreadsheets of many countries write 0,5 for a half, which is the name of a class here.

    Example:
        >>> note_decimal_commas({"0,5": 3, "1.0": 2, "2": 4})
        ["labels such as '0,5' are read as names of classes, beside '1.0'; scores are written with a decimal point"]
    """
    commas, points = ([name for name in counts if mark in name] for mark in ",.")
    if not commas or not all(NUMBER.fullmatch(name) for name in counts):
        return []
    beside = f", beside {points[0]!r}" if points else ""
    scores = "scores are written with a decimal point"
    return [f"labels such as {commas[0]!r} are read as names of classes{beside}; {scores}"]


def note_one_sided(train: Mapping[str, int], dev: Mapping[str, int], name: str) -> list[str]:
    """Name the classes that the training set has and an evaluation set lacks."""
    lacking = [_with_rows(label, train) for label, count in train.items() if count and not dev.get(label)]
    return [f"classes of the training set without a row in {name}: {_some(lacking)}"] if lacking else []


def _with_rows(name: str, counts: Mapping[str, int]) -> str:
    return f"{name!r} ({counted(counts[name], 'row')})"


def _some(shown: list[str], between: str = ", ") -> str:
    more = f"{between}and {len(shown) - SHOWN} more" if len(shown) > SHOWN else ""
    return between.join(shown[:SHOWN]) + more
