"""CSV and TSV: rows of separated cells, which have no type.

A cell stays text until someone asks for labels (`Table.values`); an empty one is no value. Rows without any cell filled
are passed over and counted. A row that does not fit the header is an error, with its line.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from codir.data.sources.formats.dialect import Dialect, find_dialect, read_rows, trim
from codir.data.sources.formats.opening import Encoding, find_encoding, open_text
from codir.data.sources.formats.reading import Reading, broken
from codir.data.sources.tables import Table
from codir.errors import UserError
from codir.errors.shown import counted

PLAIN_TABS = Dialect("\t", has_quotes=False)
"""TSV as GLUE writes it: a quote is a character like any other."""


@dataclass
class Passed:
    """Rows that were passed over."""

    num_empty: int = 0
    num_broken: int = 0

    def notes(self, name: str) -> tuple[str, ...]:
        """What to say of them."""
        empty = f"{name}: passed over {counted(self.num_empty, 'empty row')}"
        broken_rows = f"{name}: skipped {counted(self.num_broken, 'row')} with a wrong number of cells"
        return ((empty,) if self.num_empty else ()) + ((broken_rows,) if self.num_broken else ())


@dataclass(frozen=True)
class Layout:
    """How one file is read: found once, used whenever its rows are.

    Attributes:
        path: the file.
        encoding: of its text.
        dialect: of its cells.
        names: of the columns, each with one.
        in_header: the same as they stand in the file; empty where a column has no name.
        has_header: whether the first row is none.
        notes: what was guessed.
        skips_broken: rows with a wrong number of cells are left out; otherwise they are an error.
    """

    path: Path
    encoding: str
    dialect: Dialect
    names: tuple[str, ...]
    in_header: tuple[str, ...]
    has_header: bool
    notes: tuple[str, ...] = ()
    skips_broken: bool = False

    def rows(self, columns: Sequence[str], passed: Passed | None = None) -> Iterator[tuple[str | None, ...]]:
        """Yield the cells of these columns, row by row."""
        places, passed = [self.names.index(column) for column in columns], passed or Passed()
        for line, found in _cells(self.path, self.encoding, self.dialect, skip=1 if self.has_header else 0):
            if not self.skips_broken and not any(map(str.strip, found)):
                passed.num_empty += 1
                continue
            cells = self._fitted(found)
            if cells is not None:
                yield tuple(cells[place] or None for place in places)
            elif self.skips_broken:
                passed.num_broken += 1
            else:
                raise _wrong_number_of_cells(self.path, line, expected=len(self.names), got=len(found))

    def _fitted(self, cells: list[str]) -> list[str] | None:
        if self.skips_broken:
            return cells if len(cells) == len(self.names) else None
        return trim(cells, self.in_header)

    def table(self) -> Table:
        """The file as columns that are read when they are selected."""
        return Table(
            self.path.name,
            dict.fromkeys(self.names, ()),
            notes=self.notes,
            hints=_hints(self),
            untyped=True,
            read=self.select,
        )

    def select(self, columns: Sequence[str]) -> Table:
        """Read these columns and no others."""
        passed = Passed()
        values: list[list[str | None]] = [[] for _ in columns]
        for row in self.rows(columns, passed):
            for column, cell in zip(values, row, strict=True):
                column.append(cell)
        read = dict(zip(columns, values, strict=True))
        return Table(self.path.name, read, notes=(*self.notes, *passed.notes(self.path.name)), untyped=True)


@dataclass(frozen=True)
class Delimited:
    """Files whose ending promises a separator; what stands in the file decides."""

    usual: str

    def table(self, path: Path, reading: Reading) -> Table:
        """See `Layout.table`."""
        return self._layout(path, reading).table()

    def column_names(self, path: Path, reading: Reading) -> list[str]:
        """Those of the header, or those that stand for them."""
        return list(self._layout(path, reading).names)

    def rows(self, path: Path, columns: Sequence[str], reading: Reading) -> Iterator[tuple[str | None, ...]]:
        """One cell of each column for each row, as text."""
        return self._layout(path, reading).rows(columns)

    def _layout(self, path: Path, reading: Reading) -> Layout:
        encoding = find_encoding(path, reading.encoding)
        dialect = find_dialect(path, encoding.name, self.usual, reading.separator)
        return _with_names(path, encoding, dialect, reading)


def read_plain_tabs(path: Path, *, header: Sequence[str] | None = None, skips_broken: bool = True) -> Table:
    """See a file of GLUE's own kind as a table; rows with a wrong number of cells are left out, and counted.

    Args:
        path: the file, in UTF-8.
        header: names of the columns, for a file whose first line is a row already.
        skips_broken: otherwise such rows are an error.
    """
    encoding = "utf-8-sig"
    names = tuple(header or next(_cells(path, encoding, PLAIN_TABS), (0, []))[1])
    _require_distinct(path, names)
    return Layout(path, encoding, PLAIN_TABS, names, names, header is None, skips_broken=skips_broken).table()


def _with_names(path: Path, encoding: Encoding, dialect: Dialect, reading: Reading) -> Layout:
    """Take the names from the header, from the user, or call the columns by their numbers."""
    first = next(_cells(path, encoding.name, dialect), (0, []))[1]
    notes = [*encoding.notes, *dialect.notes]
    if reading.header:
        in_header = tuple(name.strip() for name in first)
        names = tuple(name or f"unnamed {place}" for place, name in enumerate(in_header, start=1))
    elif reading.columns is not None:
        names = in_header = reading.columns
        if first and trim(first, names) is None:
            got = f"{len(names)} names, and {len(first)} cells in the first row"
            raise broken(path, "a name in `data.columns` for each column", got, "name every column, in order")
    else:
        names = in_header = tuple(str(place) for place in range(1, len(first) + 1))
        notes.append(f"{path.name}: no header, so the columns are called 1 to {len(names)}")
    _require_distinct(path, names)
    return Layout(path, encoding.name, dialect, names, in_header, reading.header, tuple(notes))


def _cells(path: Path, encoding: str, dialect: Dialect, skip: int = 0) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and cells of each row that is not blank."""
    with open_text(path, encoding, newline="") as stream:
        lines = _Lines(stream)
        reader = dialect.reader(lines)
        try:
            rows = read_rows(reader)
            for _ in range(skip):
                next(rows, None)
            yield from rows
        except csv.Error as error:
            raise _broken_cells(path, f"{error} at line {reader.line_num}", lines.last) from error


class _Lines:
    """Lines as they come, and the last of them for messages."""

    def __init__(self, stream: Iterator[str]) -> None:
        self.stream, self.last = stream, ""

    def __iter__(self) -> Iterator[str]:
        for line in self.stream:
            self.last = line
            yield line


def _hints(layout: Layout) -> tuple[str, ...]:
    """What may be the matter where a column is not found: a row was taken for the header."""
    return ("if the first line is a row already, give `--no-header`",) if layout.has_header else ()


def _require_distinct(path: Path, names: Sequence[str]) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise broken(path, "columns with different names", f"'{repeated[0]}' twice", "rename one of them")


def _broken_cells(path: Path, got: str, line: str) -> UserError:
    expected = "cells that begin and end as the format says"
    if '\\"' in line:
        do = 'write a quote inside a cell as "" (\\" has no meaning in CSV), or save the data as JSON lines'
        return broken(path, expected, got, do, otherwise="the cell would end at that quote")
    return broken(path, expected, got, "look for a quote that is not closed, or save the data as JSON lines")


def _wrong_number_of_cells(path: Path, line: int, *, expected: int, got: int) -> UserError:
    do = "fix or remove that line; if the cells are separated by another character, name it with `--separator`"
    return broken(path, f"{expected} cells in every row", f"{got} at line {line}", do)
