"""What stands in a row of answers, in each form that others write it, becomes logits. Arrays in, arrays out.

Knows numbers and names of classes; knows no file, no rows of a data set, no model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from codir.errors import UserError
from codir.tasks import Kind

LEAST = 1e-7
"""What a probability of 0 becomes: rounded numbers have zeros, and the logarithm of 0 is no number."""
SLACK = 0.02
"""How far from 1 a row of rounded probabilities may add up; rows are made to add up to 1."""

LEAST_LOGARITHM = -800.0
"""Below it, a logarithm is that of a probability of 0, however many digits it has."""

TopK = Sequence[tuple[Any, Any]]
"""The likeliest tokens or labels of a row, each with its log-probability."""


def logits_of_probabilities(shares: NDArray[np.float64], kind: Kind, where: str) -> NDArray[np.float64]:
    """The logits that give these probabilities: `log p`; a 0 counts as `LEAST`.

    Args:
        shares: `[rows, classes]`.
        kind: of task, which says whether the classes of a row exclude one another.
        where: what messages call the numbers.

    Raises:
        UserError: a number below 0 or above 1, or a row that does not add up to 1; the message says which row.
    """
    refuse_first(
        ((shares < 0) | (shares > 1 + SLACK)).any(axis=1), shares, where, "probabilities from 0 to 1 in every row"
    )
    if not kind.one_class:
        return kind.logits_of(np.clip(shares, LEAST, 1 - LEAST))
    sums = shares.sum(axis=1, keepdims=True)
    refuse_first((np.abs(sums - 1) > SLACK).any(axis=1), shares, where, "probabilities that add up to 1 in every row")
    return kind.logits_of(np.where(shares == 0, LEAST, shares / sums))


def logits_of_top_k(rows: Sequence[TopK], names: Sequence[str], where: str) -> tuple[NDArray[np.float64], list[str]]:
    """The logits of classes of which each row names some, with their log-probabilities.

    What is listed and is no class is left out. A class that is not listed shares with the others of its row what all
    that is listed leaves of 1, and gets no more than the least that is listed. Then the row is made to add up to 1.

    Args:
        rows: log-probabilities by token or label; spaces around it and capitals do not count, and a label that is
            listed in several spellings adds up.
        names: of the classes.
        where: what messages call the numbers.

    Returns:
        `[rows, classes]`, and notes on what was left out and filled in.

    Raises:
        UserError: a row without a single class that has a probability above 0, or with a log-probability that is above
            0 or none at all, or classes that are told apart by capitals alone.

    Example:
        >>> logits, notes = logits_of_top_k([[("up", -0.2), (" Up", -3.0), ("The", -2.5)]], ["down", "up"], "answers")
        >>> np.exp(logits).round(3)
        array([[0.054, 0.946]])
    """
    place = {name.strip().casefold(): index for index, name in enumerate(names)}
    if len(place) < len(names):
        raise UserError(
            where,
            expected="classes whose names differ in more than capitals, to find the answers by",
            got=", ".join(names),
            do="rename the classes in the data, or give a column of probabilities for each class",
        )
    shares, listed, other = np.zeros((len(rows), len(names))), np.zeros((len(rows), len(names)), bool), 0.0
    for number, row in enumerate(rows):
        least, total = 1.0, 0.0
        for token, log_share in row:
            share = _share(token, log_share, f"{where}, row {number + 1}")
            least, total = min(least, share), total + share
            index = place.get(token.strip().casefold())
            if index is None:
                other += share
            else:
                shares[number, index] += share
                listed[number, index] = True
        if not shares[number].any():
            raise UserError(
                f"{where}, row {number + 1}",
                expected=f"at least one of the classes {', '.join(names)}, with a probability above 0",
                got=", ".join(repr(token) for token, _ in row) or "nothing",
                do="ask for more of the likeliest tokens, rename them to the classes, or leave the row out",
            )
        if not listed[number].all():
            rest = max(0.0, 1.0 - total) / (~listed[number]).sum()
            shares[number, ~listed[number]] = min(rest, least)
    shares /= shares.sum(axis=1, keepdims=True)
    filled, notes = int((~listed).any(axis=1).sum()), []
    if filled:
        notes.append(
            f"{filled:,} of {len(rows):,} rows list only some of the classes: the rest of their probability is spread "
            "evenly over the others"
        )
    if len(rows) and other / len(rows) > 0.0005:
        notes.append(f"{other / len(rows):.1%} of the probability belongs to tokens that are no class, and is left out")
    return np.log(np.where(shares == 0, LEAST, shares)), notes


def numbers(values: Sequence[Any], where: str, *, in_lists: bool = False) -> NDArray[np.float64]:
    """Cells of one column as an array: `[rows]`, or `[rows, length]` where each cell is a list.

    Args:
        values: of all rows.
        where: what messages call them.
        in_lists: whether each cell is a list of numbers, all of one length.

    Raises:
        UserError: a cell that is no finite number, or no list of them, or lists of different lengths; the message says
            in which row.
    """
    found = _as_array(values)
    if found is None or found.ndim != 1 + in_lists or 0 in found.shape[1:]:
        _refuse_misfit(values, where, in_lists=in_lists)
    rows = found if in_lists else found[:, None]
    refuse_first(~np.isfinite(rows).all(axis=1), rows, where, "a finite number in every cell")
    return found


def in_order(cells: Sequence[Any], names: Sequence[str] | None, where: str) -> Sequence[Any]:
    """The numbers of objects as lists, in the order of these names; lists stay as they are.

    Args:
        cells: of one column.
        names: in the objects; `None` where there are none.
        where: what messages call the numbers.

    Raises:
        UserError: an object that does not name just these.

    Example:
        >>> in_order([{"up": 0.9, "down": 0.1}, {"down": 0.3, "up": 0.7}], ["up", "down"], "answers")
        [[0.9, 0.1], [0.7, 0.3]]
    """
    if names is None:
        return cells
    for row, cell in enumerate(cells, start=1):
        if not isinstance(cell, dict) or {*cell} != {*names}:
            raise UserError(
                f"{where}, row {row}",
                expected=f"a number for each of {', '.join(names)}, as in the first row",
                got=repr(cell),
                do="correct the file that holds the teacher's answers",
            )
    return [[cell[name] for name in names] for cell in cells]


def refuse_first(is_wrong: Any, values: NDArray[Any], where: str, expected: str, *, before: int = 0) -> None:
    """Name the first row that is wrong, and how many others are.

    Args:
        is_wrong: of each row, a truth value.
        values: of each row, to be shown.
        where: what messages call the numbers.
        expected: what they should have been.
        before: how many rows come before these.

    Raises:
        UserError: there is one.
    """
    if not is_wrong.any():
        return
    row, others = int(is_wrong.argmax()), int(is_wrong.sum()) - 1
    shown = ", ".join(f"{value:g}" for value in values[row][:8]) + (", ..." if values.shape[1] > 8 else "")
    raise UserError(
        f"{where}, row {before + row + 1}",
        expected=expected,
        got=shown + (f", and {others:,} other rows like it" if others else ""),
        do="correct the file that holds the teacher's answers",
    )


def _as_array(values: Any) -> NDArray[np.float64] | None:
    """Numbers, or lists of them; `None` of what is neither: texts, objects, numbers of hundreds of digits."""
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError):
        return None


def _refuse_misfit(values: Sequence[Any], where: str, *, in_lists: bool) -> NoReturn:
    """Name the first cell of a column that is none of an array; all lists are to be as long as the first one."""
    rows = [_as_array(value) for value in values]
    lengths = [len(row) if row is not None and row.ndim == 1 and in_lists else None for row in rows]
    length = next(filter(None, lengths), None)
    if in_lists:
        is_wrong = [one is None or one != length for one in lengths]
    else:
        is_wrong = [value is None or row is None or row.ndim > 0 for value, row in zip(values, rows, strict=True)]
    place, expected = is_wrong.index(True), "a list of numbers" if in_lists else "a number"
    got = "no value" if values[place] is None else repr(values[place])
    raise UserError(
        f"{where}, row {place + 1}",
        expected=expected if length is None else f"{length} numbers, as in the first list",
        got=got if length is None or lengths[place] is None else f"{lengths[place]} of them",
        do="correct the file that holds the teacher's answers",
    )


def _share(token: object, log_share: Any, where: str) -> float:
    if isinstance(token, str) and isinstance(log_share, int | float) and log_share <= 1e-6:
        return math.exp(max(log_share, LEAST_LOGARITHM))
    raise UserError(
        where,
        expected="log-probabilities, which are 0 or less, by token or label",
        got=f"{log_share!r} for {token!r}",
        do="write natural logarithms of probabilities, or probabilities in columns `p_<label>`",
    )
