"""Folders that `datasets` wrote with `save_to_disk`: one data set, or several splits of one."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from datasets import Dataset, DatasetDict, load_from_disk

from codir.data.sources.tables import Table
from codir.errors import UserError, of_files

SPLITS_NAME = "dataset_dict.json"
ROWS_NAME = "state.json"


def is_saved(folder: Path) -> bool:
    """Whether `datasets` wrote this folder."""
    return holds_splits(folder) or (folder / ROWS_NAME).is_file()


def holds_splits(folder: Path) -> bool:
    """Whether it holds several splits."""
    return (folder / SPLITS_NAME).is_file()


def read_saved(folder: Path) -> Table:
    """See one data set as a table; nothing is read until a column is.

    Raises:
        UserError: the folder is damaged, or holds several splits.
    """
    found = _load(folder)
    if isinstance(found, Dataset):
        return Table.from_dataset(found, folder.name)
    raise UserError(
        f"folder '{folder}'",
        expected="one data set",
        got="the splits " + ", ".join(found),
        do=f"give the folder of one of them, such as '{folder / next(iter(found), 'train')}'",
    )


def read_splits(folder: Path) -> dict[str, Table]:
    """See several splits as tables by their names.

    Raises:
        UserError: the folder is damaged.
    """
    found = _load(folder)
    assert not isinstance(found, Dataset), "the caller has looked"
    return {str(split): Table.from_dataset(rows, f"{folder.name}, split '{split}'") for split, rows in found.items()}


def _load(folder: Path) -> Dataset | DatasetDict:
    try:
        return load_from_disk(str(folder))
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise of_files(error, folder) or UserError(
            f"folder '{folder}'",
            expected="a data set that `save_to_disk` wrote",
            got=str(error).splitlines()[0] if str(error) else type(error).__name__,
            do="write it again",
        ) from error
