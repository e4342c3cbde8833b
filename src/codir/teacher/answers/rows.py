"""Rows of a data set found in a file of answers: by their text, by both of their texts, or by an id.

Knows keys and their places; knows nothing of answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import datasets
import numpy as np
from numpy.typing import NDArray

from codir.data import ID_COLUMN, plain_id
from codir.errors import UserError

Key = tuple[Any, ...]
SHOWN, WIDEST = 3, 60
"""How many rows a message shows, and how many characters of each text."""


def keys_of(dataset: datasets.Dataset, *, id_column: str | None, pairs: bool, file: str) -> list[Key]:
    """What each row of a data set is found by.

    Args:
        dataset: columns `text` and perhaps `text_pair`, or an id.
        id_column: what the file calls its id; in the data set the column has this name, or is called `id`.
        pairs: whether the file has a column of second texts.
        file: what messages call the file.

    Raises:
        UserError: the data set lacks the column, or has pairs where the file has single texts.
    """
    plain = dataset.with_format(None)
    if id_column is not None:
        name = next((name for name in (id_column, ID_COLUMN) if name in plain.column_names), None)
        if name is None:
            raise UserError(
                "teacher.id_column",
                expected=f"a column '{id_column}' in the data too",
                got=", ".join(plain.column_names),
                do="name a column that both have, or leave it out: rows are then found by their text",
            )
        return [(plain_id(value),) for value in plain[name][:]]
    if "text" not in plain.column_names:
        raise UserError(
            "train_dataset",
            expected=f"texts, by which the rows of {file} are found",
            got=", ".join(plain.column_names),
            do="pass the data set with its column `text`, or name a column of ids with `id_column`",
        )
    has_pairs = "text_pair" in plain.column_names
    if has_pairs and not pairs:
        raise UserError(
            file,
            expected="a column `text_pair`, since the data has pairs of texts",
            got="single texts",
            otherwise="one answer would have been taken for all pairs with that text",
            do="write both texts of each row, or name a column of ids with `--id-column`",
        )
    columns = [plain[name][:] for name in (("text", "text_pair") if has_pairs else ("text",))]
    return list(zip(*columns, strict=True))


def find_rows(wanted: Sequence[Key], known: dict[Key, int]) -> NDArray[np.int64]:
    """Where each wanted row stands in the file; -1 where it does not."""
    return np.fromiter((known.get(key, -1) for key in wanted), np.int64, len(wanted))


def index_rows(
    keys: Sequence[Key], answers: Sequence[NDArray[Any]], where: str, *, may_have_ids: bool
) -> dict[Key, int]:
    """The first place of each key; later ones must have the same answers.

    Args:
        keys: of all rows of the file; those that lack a part stand for no row.
        answers: arrays with a row for each key.
        where: what messages call the file.
        may_have_ids: whether rows could be found by ids instead.

    Raises:
        UserError: a row is answered twice, and not alike.
    """
    first: dict[Key, int] = {}
    repeats = [
        (row, first[key]) for row, key in enumerate(keys) if None not in key and first.setdefault(key, row) != row
    ]
    if not repeats:
        return first
    again, before = (np.array([pair[side] for pair in repeats], np.int64) for side in (0, 1))
    differ = np.zeros(len(repeats), bool)
    for table in answers:
        differ |= ~np.isclose(table[again], table[before], rtol=1e-4, atol=1e-4).all(axis=1)
    if differ.any():
        row, other = repeats[int(differ.argmax())]
        raise UserError(
            where,
            expected="one answer to each row",
            got=f"{int(differ.sum()):,} rows that repeat an earlier one with another answer, the first being row "
            f"{row + 1} as row {other + 1}: {shown(keys[row])}",
            otherwise="one of the two would have been taught",
            do="keep one of them, or their mean"
            + ("; rows of equal text are told apart by ids (`--id-column`)" if may_have_ids else ""),
        )
    return first


def refuse_unanswered(place: NDArray[np.int64], keys: Sequence[Key], known: dict[Key, int], file: str) -> None:
    """Refuse training rows without an answer: how many there are, which, and why that may be.

    Raises:
        UserError: there are such rows.
    """
    missing = np.flatnonzero(place < 0)
    if not len(missing):
        return
    loose = {tuple(map(_loosened, key)) for key in known}
    near = sum(tuple(map(_loosened, keys[row])) in loose for row in missing.tolist())
    why = f"; {near:,} of them are there with other white space" if near else ""
    examples = "; ".join(shown(keys[row]) for row in missing[:SHOWN].tolist())
    more = "; ..." if len(missing) > SHOWN else ""
    raise UserError(
        f"teacher, {file}",
        expected=f"an answer to each of the {len(keys):,} training rows",
        got=f"none to {len(missing):,} of them{why}: {examples}{more}",
        do="have the teacher answer these rows too, or leave them out of the data",
    )


def shown(key: Key) -> str:
    """A row in a message."""
    return " | ".join(repr(f"{part[:WIDEST]}..." if len(part) > WIDEST else part) for part in map(str, key))


def _loosened(part: Any) -> str:
    return " ".join(str(part).split())
