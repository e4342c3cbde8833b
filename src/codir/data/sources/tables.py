"""Named columns, wherever they come from: a file, the hub, or a `datasets` object.

Knows nothing of file formats, of which column is the text, of labels or of tasks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from datasets import ClassLabel, Dataset, load_dataset

from codir.errors import UserError


@dataclass(frozen=True)
class Table:
    """Columns of equal length under their names, as they were found.

    Attributes:
        name: what messages call it: a file name, or a split.
        columns: the values of each column, read when they are sliced.
        class_names: the names of the classes, for columns of class indices whose source knows them.
        notes: what the user should hear about the reading.
    """

    name: str
    columns: Mapping[str, Sequence[Any]]
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def values(self, column: str) -> list[Any]:
        """All values of one column."""
        return list(self.columns[column][:])

    def describe_columns(self) -> str:
        """The columns in words, for messages."""
        return "the columns " + ", ".join(f"'{name}'" for name in self.columns)

    @classmethod
    def from_dataset(cls, dataset: Dataset, name: str) -> Table:
        """See a `datasets` object as a table; nothing is copied until a column is read."""
        plain = dataset.with_format(None)
        names = {key: tuple(kind.names) for key, kind in dataset.features.items() if isinstance(kind, ClassLabel)}
        return not_empty(cls(name, {column: plain[column] for column in plain.column_names}, names))


def not_empty(table: Table) -> Table:
    """Give the table back, or raise a `UserError` where it has no rows."""
    if len(table):
        return table
    raise UserError(
        table.name,
        expected="at least one row under a line of column names",
        got="no rows",
        do="check how the data was written",
    )


def read_hub(name: str, config: str | None = None, *, absent: str, do: str) -> dict[str, Table]:
    """Read all splits of a data set on the hub as tables; errors are those of `fetch_hub`."""
    splits = fetch_hub(name, config, absent=absent, do=do)
    return {split: Table.from_dataset(dataset, f"{name}, split '{split}'") for split, dataset in splits.items()}


def fetch_hub(name: str, config: str | None = None, *, absent: str, do: str) -> Mapping[str, Dataset]:
    """Fetch all splits of a data set on the Hugging Face hub, or of its copy in the local cache.

    Raises:
        UserError: no such data set, or the hub could not be reached. The message says what was `absent` on this
            machine, and what to `do`.
    """
    try:
        return load_dataset(name, config)
    except (OSError, ValueError, RuntimeError) as error:
        unreachable = isinstance(error, ConnectionError)
        reason = "the hub could not be reached" if unreachable else str(error).splitlines()[0]
        raise UserError(
            f"data '{name}'",
            expected="data on this machine, or the name of a data set on the hub",
            got=f"{absent}, and {reason}",
            do=do,
        ) from error
