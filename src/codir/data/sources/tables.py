"""Named columns, wherever they come from: a file, the hub, or a `datasets` object.

Knows nothing of file formats, of which column is the text, of labels or of tasks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from datasets import ClassLabel, Dataset, load_dataset
from datasets.exceptions import DatasetsError

from codir.errors import UserError

INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,299})")
DECIMAL = re.compile(r"-?([0-9]{1,300}\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
"""More digits than any number has make a code, which is text."""
LEADING_ZERO = re.compile(r"-?0\d")


@dataclass(frozen=True)
class Table:
    """Columns of equal length under their names, as they were found.

    Attributes:
        name: what messages call it: a file name, or a split.
        columns: the values of each column; those of a file only after it was selected.
        class_names: the names of the classes, for columns of class indices or lists of them, if the source knows any.
        notes: what the user should hear about the reading.
        hints: what may be the matter where a column is not found.
        untyped: cells are text where they may be meant as numbers.
        read: reads some columns of a file.
    """

    name: str
    columns: Mapping[str, Sequence[Any]]
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    untyped: bool = False
    read: Callable[[Sequence[str]], Table] | None = None

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def select(self, names: Sequence[str | None]) -> Table:
        """Read these columns and no others; `None` is no column.

        Raises:
            UserError: the file breaks its format, or has no rows.
        """
        wanted = list(dict.fromkeys(name for name in names if name is not None))
        if self.read is None:
            return replace(self, columns={name: self.columns[name] for name in wanted})
        return not_empty(self.read(wanted))

    def with_notes(self, *notes: str) -> Table:
        """The same table, with more to say of it."""
        if not notes:
            return self
        read = self.read
        added = None if read is None else lambda names: read(names).with_notes(*notes)
        return replace(self, notes=(*self.notes, *notes), read=added)

    def values(self, column: str) -> list[Any]:
        """All values of one column, as numbers where all cells of an untyped one are."""
        values = list(self.columns[column][:])
        return type_cells(values) if self.untyped else values

    def texts(self, column: str) -> list[Any]:
        """All values of one column, as they are written."""
        return list(self.columns[column][:])

    def describe_columns(self) -> str:
        """The columns in words, for messages."""
        return "the columns " + ", ".join(f"'{name}'" for name in self.columns)

    @classmethod
    def from_dataset(cls, dataset: Dataset, name: str) -> Table:
        """See a `datasets` object as a table; nothing is copied until a column is read."""
        plain = dataset.with_format(None)
        kinds = {key: getattr(kind, "feature", kind) for key, kind in dataset.features.items()}  # or those of a list
        names = {key: tuple(kind.names) for key, kind in kinds.items() if isinstance(kind, ClassLabel)}
        return not_empty(cls(name, {column: plain[column] for column in plain.column_names}, names))


def type_cells(cells: Sequence[str | None]) -> list[Any]:
    """Give the cells of one column a type: whole numbers, numbers or text; `None` where a cell is empty.

    Spaces around numbers do not matter. Numbers with leading zeros are codes, so they stay text.

    Example:
        >>> type_cells(["0", "", " 2"]), type_cells(["5.000", "1"]), type_cells(["NA", "1"]), type_cells(["007"])
        ([0, None, 2], [5.0, 1.0], ['NA', '1'], ['007'])
    """
    filled = [cell.strip() for cell in cells if cell]
    convert: Callable[[str], object] = str
    if filled and all(INTEGER.fullmatch(cell) for cell in filled):
        convert = int
    elif filled and all(DECIMAL.fullmatch(cell) and not LEADING_ZERO.match(cell) for cell in filled):
        convert = float
    return [convert(cell) if cell else None for cell in cells]


def not_empty(table: Table) -> Table:
    """Give the table back, or raise a `UserError` where it has no rows."""
    if len(table):
        return table
    raise UserError(
        table.name,
        expected="at least one row",
        got="no rows",
        do="check how the data was written; CSV and TSV files have their rows under a line of column names",
    )


def read_hub(name: str, config: str | None = None, *, absent: str, do: str) -> dict[str, Table]:
    """Read all splits of a data set on the hub as tables; errors are those of `fetch_hub`."""
    splits = fetch_hub(name, config, absent=absent, do=do)
    return {split: Table.from_dataset(dataset, f"{name}, split '{split}'") for split, dataset in splits.items()}


def fetch_hub(name: str, config: str | None = None, *, absent: str, do: str) -> Mapping[str, Dataset]:
    """Fetch all splits of a data set on the Hugging Face hub, or of its copy in the local cache.

    Raises:
        UserError: no such data set, one that cannot be read, or the hub could not be reached. The message says what
            was `absent` on this machine, and what to `do`.
    """
    try:
        return load_dataset(name, config)
    except (OSError, ValueError, RuntimeError, DatasetsError) as error:
        unreachable = isinstance(error, ConnectionError)
        reason = (
            "the hub could not be reached" if unreachable else (str(error).splitlines() or [type(error).__name__])[0]
        )
        raise UserError(
            f"data '{name}'",
            expected="data on this machine, or the name of a data set on the hub",
            got=f"{absent}, and {reason}",
            do=do,
        ) from error
