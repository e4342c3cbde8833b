"""One reader for each file format: a whole table, one column as a stream, or the names of the columns.

Knows file formats. Knows nothing of which column is the text, of labels or of tasks.

A cell of a CSV or TSV file has no type. A column whose cells are all numbers is read as numbers, an empty cell as no
value, and every other column as text; words such as "NA" and "null" stay words. Quotes have a meaning in CSV and none
in TSV: in GLUE's files they are part of the sentence.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset

from codir.data.sources.tables import Table, not_empty
from codir.errors import UserError, naming, nearest, of_files

INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,299})")
DECIMAL = re.compile(r"-?([0-9]{1,300}\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
"""More digits than any number has make a code, which is text."""
LEADING_ZERO = re.compile(r"-?0\d")


class CommaSeparated(csv.excel):
    """CSV as spreadsheets write it; a quote that is not closed is an error."""

    strict = True


class TabSeparated(csv.excel_tab):
    """TSV as GLUE writes it: a quote is a character like any other."""

    quoting = csv.QUOTE_NONE


ROWS_AT_ONCE = 100
"""Rows of a Parquet file that are in memory at a time while one of its columns is streamed."""


class Format(Protocol):
    """How files of one format are read."""

    def table(self, path: Path) -> Table:
        """All rows and columns."""

    def column_names(self, path: Path) -> list[str]:
        """The names of the columns, from the beginning of the file alone; none in an empty file."""

    def stream(self, path: Path, column: str) -> Iterator[Any]:
        """The values of one column, row by row, without holding the file."""


def read_table(path: str | Path) -> Table:
    """Read a CSV, TSV, JSON lines or Parquet file; its ending says which.

    Raises:
        UserError: no such file, an ending that is not known, a file that breaks its format, or a file without rows.
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise UserError(
            f"file '{path}'",
            expected="one of the endings " + ", ".join(FORMATS),
            got=f"'{path.suffix}'" if path.suffix else "no ending",
            do="save the data as one of these, with named columns",
        )
    require_file(path)
    try:
        with naming(path):
            return not_empty(FORMATS[path.suffix.lower()].table(path))
    except UnicodeDecodeError as error:
        raise not_utf8(path, error) from error


def require_file(path: Path) -> None:
    """Raise a `UserError` that lists the nearest names where `path` is not a file."""
    with naming(path):
        if path.is_file():
            return
        beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    hint = (
        f"in '{path.parent}', {nearest(path.name, beside)}" if beside else f"'{path.parent}' is no folder or is empty"
    )
    raise UserError(f"file '{path}'", expected="a file", got="none of that name", do=f"check the path: {hint}")


# ---- CSV and TSV ----


@dataclass(frozen=True)
class Delimited:
    """Rows of separated cells: a comma, where quotes may surround a cell, or a tab, where they are plain characters."""

    delimiter: str

    def table(self, path: Path) -> Table:
        """See `read_delimited`."""
        return read_delimited(path, self.delimiter)

    def column_names(self, path: Path) -> list[str]:
        """The first row."""
        return next(read_cells(path, self.delimiter), (0, []))[1]

    def stream(self, path: Path, column: str) -> Iterator[str]:
        """One cell of each row, as text."""
        rows = read_cells(path, self.delimiter)
        names = next(rows)[1]
        place = names.index(column)
        for line, cells in rows:
            if len(cells) != len(names):
                raise wrong_number_of_cells(path, line, expected=len(names), got=len(cells))
            yield cells[place]


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


def _require_distinct(path: Path, names: Sequence[str]) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise broken(path, "columns with different names", f"'{repeated[0]}' twice", "rename one of them")


# ---- JSON lines ----


class JsonLines:
    """A JSON object on each line; a blank line is none, and an object may lack a column."""

    def table(self, path: Path) -> Table:
        """The columns of all objects; no value where an object lacks one."""
        records = list(_records(path))
        names = dict.fromkeys(name for record in records for name in record)
        return Table(path.name, {name: [record.get(name) for record in records] for name in names})

    def column_names(self, path: Path) -> list[str]:
        """Those of the first object."""
        return list(next(_records(path), {}))

    def stream(self, path: Path, column: str) -> Iterator[Any]:
        """One value of each object."""
        return (record.get(column) for record in _records(path))


def _records(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8-sig") as stream:
        for line, text in enumerate(stream, start=1):
            if text.strip():
                yield parse_record(path, line, text)


def parse_record(path: Path, line: int, text: str) -> dict[str, Any]:
    """Read one line of a file of JSON lines."""
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):  # no JSON, a number of thousands of digits, or brackets nested too deep
        record = None
    if isinstance(record, dict) and not (SURROGATE.search(text) and _has_half_characters(record)):
        return record
    raise broken(
        path, "one JSON object on each line", f"{text.strip()[:40]!r} at line {line}", "write the data as JSON lines"
    )


SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def _has_half_characters(record: dict[str, Any]) -> bool:
    """Whether a text in it is one that UTF-8 cannot write: with one half of a surrogate pair."""
    try:
        json.dumps(record, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


# ---- Parquet ----


class Parquet:
    """Typed columns, and class names where `datasets` wrote the file."""

    def table(self, path: Path) -> Table:
        """Nothing is copied until a column is read."""
        try:
            return Table.from_dataset(Dataset(pq.read_table(path)), path.name)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise not_parquet(path, error) from error

    def column_names(self, path: Path) -> list[str]:
        """Those of the schema."""
        try:
            return list(pq.read_schema(path).names)
        except (pa.ArrowException, OSError) as error:
            raise not_parquet(path, error) from error

    def stream(self, path: Path, column: str) -> Iterator[Any]:
        """A few rows of one column at a time."""
        try:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(ROWS_AT_ONCE, columns=[column]):
                    yield from batch.column(0).to_pylist()
        except (pa.ArrowException, OSError) as error:
            raise not_parquet(path, error) from error


FORMATS: dict[str, Format] = {
    ".csv": Delimited(","),
    ".tsv": Delimited("\t"),
    ".jsonl": JsonLines(),
    ".json": JsonLines(),
    ".parquet": Parquet(),
}
"""By the ending of a file's name."""


# ---- Errors ----


def wrong_number_of_cells(path: Path, line: int, *, expected: int, got: int) -> UserError:
    """What to raise where a row has more or fewer cells than the header."""
    return broken(path, f"{expected} cells in every row", f"{got} at line {line}", "fix or remove that line")


def not_utf8(path: Path, error: UnicodeDecodeError) -> UserError:
    """What to raise where a file is in another encoding."""
    return broken(path, "text in UTF-8", f"a byte that is not: {error.reason}", "save the file in UTF-8")


def broken(path: Path, expected: str, got: str, do: str) -> UserError:
    """What to raise where a file is not in its format."""
    return UserError(f"file '{path}'", expected=expected, got=got, do=do)


def not_parquet(path: Path, error: Exception) -> UserError:
    """What to raise where a file only claims to be Parquet, or cannot be read."""
    if found := of_files(error, path):
        return found
    return broken(path, "a Parquet file", str(error), "write the file again")
