"""Named columns, wherever they come from: a file, the hub, or a `datasets` object.

Knows file formats. Knows nothing of which column is the text, of labels or of tasks.

A cell of a CSV or TSV file has no type, so a column in which every cell is a number is read as numbers, an empty cell
as no value, and every other column as text; words such as "NA" and "null" stay words. Quotes mean something in CSV and
nothing in TSV: in GLUE's files they are part of the sentence.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import ClassLabel, Dataset, load_dataset

from codir.errors import UserError, nearest

INTEGER = re.compile(r"-?(0|[1-9]\d*)")
DECIMAL = re.compile(r"-?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
LEADING_ZERO = re.compile(r"-?0\d")


class CommaSeparated(csv.excel):
    """CSV as spreadsheets write it; a quote that is not closed is an error."""

    strict = True


class TabSeparated(csv.excel_tab):
    """TSV as GLUE writes it: a quote is a character like any other."""

    quoting = csv.QUOTE_NONE


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


def read_table(path: str | Path) -> Table:
    """Read a CSV, TSV, JSON lines or Parquet file; its ending says which.

    Raises:
        UserError: no such file, an ending that is not known, a file that breaks its format, or a file without rows.
    """
    path = Path(path)
    if path.suffix.lower() not in READERS:
        raise UserError(
            f"file '{path}'",
            expected="one of the endings " + ", ".join(READERS),
            got=f"'{path.suffix}'" if path.suffix else "no ending",
            do="save the data as one of these, with named columns",
        )
    require_file(path)
    try:
        return not_empty(READERS[path.suffix.lower()](path))
    except UnicodeDecodeError as error:
        raise not_utf8(path, error) from error


def require_file(path: Path) -> None:
    """Raise a `UserError` that lists the nearest names where `path` is not a file."""
    if path.is_file():
        return
    beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    hint = (
        f"in '{path.parent}', {nearest(path.name, beside)}" if beside else f"'{path.parent}' is no folder or is empty"
    )
    raise UserError(f"file '{path}'", expected="a file", got="none of that name", do=f"check the path: {hint}")


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


def read_delimited(
    path: Path, delimiter: str, *, header: Sequence[str] | None = None, skip_broken: bool = False
) -> Table:
    """Read rows of separated cells.

    Args:
        path: the file.
        delimiter: a comma, where quotes may surround a cell, or a tab, where quotes are ordinary characters.
        header: names of the columns, for a file whose first line is a row already.
        skip_broken: leave out rows with a wrong number of cells and note how many, instead of refusing the file.
    """
    rows = read_cells(path, delimiter)
    names = list(header) if header else next(rows, (0, []))[1]
    _require_distinct(path, names)
    kept, num_skipped = [], 0
    for line, cells in rows:
        if len(cells) == len(names):
            kept.append(cells)
        elif skip_broken:
            num_skipped += 1
        else:
            raise wrong_number_of_cells(path, line, expected=len(names), got=len(cells))
    columns = zip(*kept, strict=True) if kept else [()] * len(names)
    notes = (f"{path.name}: skipped {num_skipped} rows with a wrong number of cells",) if num_skipped else ()
    return Table(path.name, {name: type_cells(cells) for name, cells in zip(names, columns, strict=True)}, notes=notes)


def type_cells(cells: Sequence[str]) -> list[Any]:
    """Give the cells of one column a type: whole numbers, numbers or text; `None` where a cell is empty.

    Numbers with leading zeros are codes, so they stay text.

    Example:
        >>> type_cells(["0", "", "2"]), type_cells(["5.000", "1"]), type_cells(["NA", "1"]), type_cells(["007"])
        ([0, None, 2], [5.0, 1.0], ['NA', '1'], ['007'])
    """
    filled = [cell for cell in cells if cell]
    convert: Callable[[str], object] = str
    if filled and all(INTEGER.fullmatch(cell) for cell in filled):
        convert = int
    elif filled and all(DECIMAL.fullmatch(cell) and not LEADING_ZERO.match(cell) for cell in filled):
        convert = float
    return [convert(cell) if cell else None for cell in cells]


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


def read_cells(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and cells of each row that is not blank; a byte-order mark is dropped."""
    dialect = TabSeparated if delimiter == "\t" else CommaSeparated
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, dialect)
        try:
            yield from ((reader.line_num, cells) for cells in reader if cells)
        except csv.Error as error:
            raise broken(
                path,
                "cells that begin and end as the format says",
                f"{error} at line {reader.line_num}",
                "look for a quote that is not closed, or save the data as JSON lines",
            ) from error


def _read_json_lines(path: Path) -> Table:
    records = []
    with path.open(encoding="utf-8-sig") as stream:
        for line, text in enumerate(stream, start=1):
            if text.strip():
                records.append(parse_record(path, line, text))
    names = dict.fromkeys(name for record in records for name in record)
    return Table(path.name, {name: [record.get(name) for record in records] for name in names})


def parse_record(path: Path, line: int, text: str) -> dict[str, Any]:
    """Read one line of a file of JSON lines."""
    try:
        record = json.loads(text)
    except json.JSONDecodeError:
        record = None
    if isinstance(record, dict):
        return record
    raise broken(
        path, "one JSON object on each line", f"{text.strip()[:40]!r} at line {line}", "write the data as JSON lines"
    )


def _read_parquet(path: Path) -> Table:
    try:
        return Table.from_dataset(Dataset(pq.read_table(path)), path.name)
    except pa.ArrowInvalid as error:
        raise broken(path, "a Parquet file", str(error), "write the file again") from error


def _require_distinct(path: Path, names: Sequence[str]) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise broken(path, "columns with different names", f"'{repeated[0]}' twice", "rename one of them")


def wrong_number_of_cells(path: Path, line: int, *, expected: int, got: int) -> UserError:
    """What to raise where a row has more or fewer cells than the header."""
    return broken(path, f"{expected} cells in every row", f"{got} at line {line}", "mend or remove that line")


def not_utf8(path: Path, error: UnicodeDecodeError) -> UserError:
    """What to raise where a file is in another encoding."""
    return broken(path, "text in UTF-8", f"a byte that is not: {error.reason}", "save the file in UTF-8")


def broken(path: Path, expected: str, got: str, do: str) -> UserError:
    """What to raise where a file is not in its format."""
    return UserError(f"file '{path}'", expected=expected, got=got, do=do)


READERS: dict[str, Callable[[Path], Table]] = {
    ".csv": lambda path: read_delimited(path, ","),
    ".tsv": lambda path: read_delimited(path, "\t"),
    ".jsonl": _read_json_lines,
    ".json": _read_json_lines,
    ".parquet": _read_parquet,
}
