"""One reader for each file format: a table whose columns are read when they are selected, or its rows as a stream.

Knows file formats. Knows nothing of which column is the text, of labels or of tasks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from codir.data.sources.formats.conll import UNIVERSAL, Conll
from codir.data.sources.formats.delimited import Delimited, read_plain_tabs
from codir.data.sources.formats.lines import read_lines
from codir.data.sources.formats.opening import COMPRESSIONS, ending_of, find_encoding, open_text, stem_of
from codir.data.sources.formats.parquet import ROWS_AT_ONCE, Parquet
from codir.data.sources.formats.reading import Reading, broken
from codir.data.sources.formats.records import Records
from codir.data.sources.formats.saved import holds_splits, is_saved, read_saved, read_splits
from codir.data.sources.tables import Table, not_empty
from codir.errors import UserError, naming, nearest

__all__ = [
    "ENDINGS",
    "FORMATS",
    "PLAIN",
    "ROWS_AT_ONCE",
    "TAGGED",
    "Format",
    "Reading",
    "broken",
    "ending_of",
    "find_encoding",
    "holds_splits",
    "is_saved",
    "is_table",
    "open_text",
    "read_plain_tabs",
    "read_splits",
    "read_table",
    "require_file",
    "stem_of",
]

PLAIN = Reading()
"""Nothing is said of the files: all is found."""


class Format(Protocol):
    """How files of one format are read."""

    def table(self, path: Path, reading: Reading) -> Table:
        """All columns, by name; their values are read when they are selected."""

    def column_names(self, path: Path, reading: Reading) -> list[str]:
        """The names of the columns, from the beginning of the file alone; none in an empty file."""

    def rows(self, path: Path, columns: Sequence[str], reading: Reading) -> Iterator[tuple[Any, ...]]:
        """The values of some columns, row by row, without holding the file."""


TAGGED = (".conll", UNIVERSAL, ".bio", ".iob", ".iob2", ".bioes")
"""Endings of files of words with tags."""

FORMATS: dict[str, Format] = {
    ".csv": Delimited(","),
    ".tsv": Delimited("\t"),
    ".jsonl": Records(),
    ".ndjson": Records(),
    ".json": Records(),
    **dict.fromkeys(TAGGED, Conll()),
    ".parquet": Parquet(),
}
"""By the ending of a file's name, without that of its compression."""

PLAIN_TEXT = ".txt"
"""Of CoNLL files too where words are read with tags, as any file named then is; of one text on each line where
no more is read of a row."""

ENDINGS = f"{', '.join(FORMATS)}; all but the last also with {' or '.join(COMPRESSIONS)} after it"
"""In words, for messages."""


def is_table(path: Path, reading: Reading = PLAIN) -> bool:
    """Whether a name has the ending of a table; Parquet has compression of its own."""
    ending = ending_of(path)
    if (reading.words or reading.lines) and ending == PLAIN_TEXT:
        return True
    return ending in FORMATS and (ending != ".parquet" or path.suffix.lower() == ending)


def read_table(path: str | Path, reading: Reading = PLAIN) -> Table:
    """Read the names of a table's columns; its values are read when they are selected.

    Args:
        path: a CSV, TSV, JSON or Parquet file, whose ending says which, or a folder that `save_to_disk` wrote.
        reading: what is said of the file.

    Raises:
        UserError: no such file, an ending that is not known, a file that breaks its format, or a file without rows.
    """
    path = Path(path)
    if path.is_dir() and is_saved(path):
        return read_saved(path)
    if not is_table(path, reading) and not reading.words:
        raise UserError(
            f"file '{path}'",
            expected=f"one of the endings {ENDINGS}",
            got=f"'{_whole_ending(path)}'" if path.suffix else "no ending",
            do="rename it if it is one of these, as many .txt files with tabs are, or save the data as one",
        )
    require_file(path)
    with naming(path):
        is_lines = reading.lines and ending_of(path) == PLAIN_TEXT
        table = read_lines(path, reading) if is_lines else FORMATS.get(ending_of(path), Conll()).table(path, reading)
    return table if table.columns else not_empty(table)


def _whole_ending(path: Path) -> str:
    """With the one before it, if the last one is that of a compression."""
    return "".join(path.suffixes[-2:]) if path.suffix.lower() in COMPRESSIONS else path.suffix


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
