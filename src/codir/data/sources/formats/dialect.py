"""How the cells of one file are separated and quoted, found from the file itself.

A separator is taken only where it gives every row at the beginning of the file as many cells as the header. Between
tabs a quote may be a letter of the text, as in GLUE's files, or stand around a cell, as pandas and spreadsheets write
it: the whole file decides, since one quote that is not meant would swallow all rows up to the next.
"""

from __future__ import annotations

import csv
import io
import json
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from codir.data.sources.formats.opening import open_text
from codir.data.sources.formats.reading import broken
from codir.errors.shown import counted

SEPARATORS = (",", ";", "\t", "|")
"""Those that are looked for; any other is named with `data.separator`."""

SAMPLE = 1 << 18
"""Characters at the beginning of a file in which its separator is looked for."""
SAMPLED_ROWS = 100
ANY_SIZE = 2**31 - 1
ROWS_AT_ONCE = 64
LIMIT = threading.RLock()
FOR_EXCEL = re.compile(r"sep=.[ ]*(?=[\r\n]|$)", re.IGNORECASE)
"""Excel takes its separator from such a first line, and shows it to nobody."""


@dataclass(frozen=True)
class Dialect:
    """How one file is written.

    Attributes:
        separator: between two cells.
        has_quotes: quotes around a cell are not part of it; otherwise a quote is a character like any other.
        skips_spaces: spaces after a separator are not part of the cell, since a quote follows them.
        notes: what was guessed.
    """

    separator: str
    has_quotes: bool
    skips_spaces: bool = False
    notes: tuple[str, ...] = ()

    def reader(self, lines: Iterable[str]) -> Any:
        """A strict reader: a quote that is not closed is an error."""
        return csv.reader(
            lines,
            delimiter=self.separator,
            quoting=csv.QUOTE_MINIMAL if self.has_quotes else csv.QUOTE_NONE,
            skipinitialspace=self.skips_spaces,
            strict=True,
        )


def read_rows(reader: Any) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and cells of each row that is not blank; a cell may be of any size."""
    while True:
        with _cells_of_any_size():
            rows = [(reader.line_num, cells) for cells in islice(reader, ROWS_AT_ONCE)]
        if not rows:
            return
        yield from ((line, cells) for line, cells in rows if cells)


@contextmanager
def _cells_of_any_size() -> Iterator[None]:
    """The limit of `csv` holds for the whole process, so it is put back."""
    with LIMIT:
        before = csv.field_size_limit(ANY_SIZE)
        try:
            yield
        finally:
            csv.field_size_limit(before)


def find_dialect(path: Path, encoding: str, usual: str, given: str | None = None) -> Dialect:
    """Find how a file is written.

    Args:
        path: the file.
        encoding: of its text.
        usual: the separator that its ending promises; taken wherever it fits.
        given: the separator that the user named.

    Raises:
        UserError: the usual separator does not fit, and several others do; the file is JSON, or begins with a line for
            Excel alone.
    """
    _refuse_other_beginnings(path, encoding)
    separator, notes = (given, ()) if given is not None else _find_separator(path, encoding, usual)
    if separator == "\t":
        has_quotes, more = _find_quotes(path, encoding)
        return Dialect(separator, has_quotes, notes=(*notes, *more))
    return Dialect(separator, True, _skips_spaces(path, encoding, separator), notes)


def _refuse_other_beginnings(path: Path, encoding: str) -> None:
    """Name what is no row: Excel's own first line, and JSON under another name."""
    with open_text(path, encoding, newline="") as stream:
        sample = stream.read(SAMPLE).lstrip()
    if for_excel := FOR_EXCEL.match(sample):
        got = f"`{for_excel[0].strip()}`, which only Excel reads"
        raise broken(
            path, "a header or a row in the first line", got, "remove that line: the separator is found without it"
        )
    if _is_json(sample):
        do = "rename it so that its name ends in .json"
        raise broken(path, "rows of separated cells, as the ending of its name says", "JSON", do)


def _is_json(sample: str) -> bool:
    """Whether a file begins with a JSON object on lines of its own, or with a list of objects."""
    is_list = sample.startswith("[")
    start = sample[1:].lstrip() if is_list else sample
    try:
        first, end = json.JSONDecoder().raw_decode(start)
    except (ValueError, RecursionError):  # also where one object is larger than the sample
        return False
    after = start[end:].lstrip(" \t")[:1]
    return isinstance(first, dict) and after in ("", "\r", "\n", *(",]" if is_list else ""))


# ---- The separator ----


def _find_separator(path: Path, encoding: str, usual: str) -> tuple[str, tuple[str, ...]]:
    with open_text(path, encoding, newline="") as stream:
        sample = stream.read(SAMPLE)
    is_cut = len(sample) == SAMPLE
    if _fits(sample, usual, is_cut):
        return usual, ()
    others = [separator for separator in SEPARATORS if separator != usual and _fits(sample, separator, is_cut)]
    if not others:
        return usual, ()
    if len(others) > 1:
        shown = " and ".join(map(repr, others))
        raise broken(path, "one separator that fits every row", f"{shown}, which both do", "name it with `--separator`")
    return others[0], (f"{path.name}: cells are separated by {others[0]!r}, as found in the file",)


def _fits(sample: str, separator: str, is_cut: bool) -> bool:
    """Whether the header has several cells and the rows after it as many; a tab does so with quotes or without."""
    kinds = [Dialect(separator, True, _spaces_before_quotes(sample, separator))]
    if separator == "\t":
        kinds.append(Dialect(separator, False))
    return any(_rows_agree(dialect, sample, is_cut) for dialect in kinds)


def _rows_agree(dialect: Dialect, sample: str, is_cut: bool) -> bool:
    rows: list[list[str]] = []
    try:
        with _cells_of_any_size():
            rows.extend(islice(filter(None, dialect.reader(io.StringIO(sample, newline=""))), SAMPLED_ROWS))
    except csv.Error:
        if not is_cut:
            return False
    if is_cut and 1 < len(rows) < SAMPLED_ROWS:
        rows.pop()
    return len(rows[:1]) == 1 and len(rows[0]) > 1 and all(trim(cells, rows[0]) is not None for cells in rows)


def trim(cells: list[str], names: Sequence[str]) -> list[str] | None:
    """Make a row as long as the header where no cell is lost or invented; `None` where that cannot be.

    Empty cells at the end of a row go. Cells that a row lacks come only where the header has no names for them.

    Example:
        >>> trim(["so good", "up", ""], ["text", "label"]), trim(["so good"], ["text", "label"])
        (['so good', 'up'], None)
    """
    missing = len(names) - len(cells)
    if missing == 0:
        return cells
    if missing < 0:
        return None if any(map(str.strip, cells[missing:])) else cells[:missing]
    return None if any(map(str.strip, names[-missing:])) else [*cells, *[""] * missing]


def _skips_spaces(path: Path, encoding: str, separator: str) -> bool:
    with open_text(path, encoding, newline="") as stream:
        return _spaces_before_quotes(stream.read(SAMPLE), separator)


def _spaces_before_quotes(sample: str, separator: str) -> bool:
    """Whether the first line has a quote after a separator and a space."""
    first_line = re.split(r"\r\n|\r|\n", sample.lstrip("\r\n"), maxsplit=1)[0]
    return separator != " " and re.search(re.escape(separator) + ' +"', first_line) is not None


# ---- Quotes between tabs ----


def _find_quotes(path: Path, encoding: str) -> tuple[bool, tuple[str, ...]]:
    """Whether quotes stand around cells, and what should be said of it."""
    seen = _look_at_quotes(path, encoding)
    if seen.num_cells == 0:
        return False, ()
    if not seen.rows_agree:
        return _quoted_rows_agree(path, encoding), ()
    if seen.all_well_formed and seen.any_needed:
        return True, ()
    if not seen.all_well_formed:
        return False, ()
    quoted = counted(seen.num_cells, "cell has quotes around it", "cells have quotes around them")
    return False, (f"{path.name}: {quoted}, which are kept as part of the text",)


@dataclass
class _Quotes:
    """Every line taken for a row: whether the rows agree, and how many cells have quotes in them and of which kind."""

    rows_agree: bool = True
    num_cells: int = 0
    all_well_formed: bool = True
    any_needed: bool = False


def _look_at_quotes(path: Path, encoding: str) -> _Quotes:
    seen, names = _Quotes(), None
    with open_text(path, encoding, newline="") as stream:
        for line in stream:
            cells = line.rstrip("\r\n").split("\t")
            if cells == [""]:
                continue
            is_header, names = names is None, names or cells
            seen.rows_agree = seen.rows_agree and trim(cells, names) is not None
            for cell in cells if '"' in line else ():
                _look_at_cell(cell, seen, is_header)
    return seen


def _look_at_cell(cell: str, seen: _Quotes, is_header: bool) -> None:
    """A writer of quotes puts them around every cell that has one, and doubles those inside."""
    if '"' not in cell:
        return
    inside = cell[1:-1]
    is_well_formed = len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in inside.replace('""', "")
    seen.num_cells += 1
    seen.all_well_formed = seen.all_well_formed and is_well_formed
    seen.any_needed = seen.any_needed or (is_well_formed and ('"' in inside or is_header))


def _quoted_rows_agree(path: Path, encoding: str) -> bool:
    """Whether the file is whole with quotes around cells; a cell that holds a tab and a line end is no evidence."""
    with open_text(path, encoding, newline="") as stream:
        rows = read_rows(Dialect("\t", True).reader(stream))
        try:
            names = next(rows, (0, []))[1]
            return all(trim(cells, names) is not None and not any(map(_is_swallowed, cells)) for _, cells in rows)
        except csv.Error:
            return False


def _is_swallowed(cell: str) -> bool:
    return "\t" in cell and ("\n" in cell or "\r" in cell)
