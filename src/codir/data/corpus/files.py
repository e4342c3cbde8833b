"""The documents of text files and tables, one by one: nothing is held but the document at hand.

Knows file formats. Knows nothing of `datasets`, and nothing of tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from codir.data.sources.columns import choose_text_column, not_a_text
from codir.data.sources.tables import (
    READERS,
    Table,
    broken,
    not_utf8,
    parse_record,
    read_cells,
    require_file,
    wrong_number_of_cells,
)
from codir.errors import UserError

Convention = Literal["file", "line", "blank-line"]
"""What a document is in a text file: all of it, a line, or what stands between blank lines."""

TEXT_ENDING = ".txt"
ENDINGS = (TEXT_ENDING, *READERS)
ROWS_AT_ONCE = 100
"""Rows of a table that are in memory at a time."""


def find_files(path: Path) -> list[Path]:
    """The file itself, or all files under a folder that can be read, in the order of their names.

    Raises:
        UserError: no such file, an ending that is not known, or nothing to read in the folder.
    """
    if not path.is_dir():
        if path.suffix.lower() not in ENDINGS:
            raise UserError(
                f"corpus '{path}'",
                expected="a folder, or a file with one of the endings " + ", ".join(ENDINGS),
                got=f"'{path.suffix}'" if path.suffix else "no ending",
                do=f"rename it if it is plain text: '{path.name}{TEXT_ENDING}'",
            )
        require_file(path)
        return [path]
    shown = (file for file in path.rglob("*") if not any(part.startswith(".") for part in file.relative_to(path).parts))
    found = sorted(file for file in shown if file.is_file() and file.suffix.lower() in ENDINGS)
    if not found:
        raise UserError(
            f"corpus '{path}'",
            expected="a folder with files that end in " + ", ".join(ENDINGS),
            got="none of them",
            do="check the path, or rename plain text files so that they end in .txt",
        )
    return found


def read_documents(file: Path, convention: Convention = "line", column: str | None = None) -> Iterator[str]:
    """Read the documents of one file.

    Args:
        file: its ending says how it is read.
        convention: what a document is in a text file.
        column: of the texts, in every other file.

    Raises:
        UserError: the file breaks its format; the message says where.
    """
    try:
        if column is None:
            with file.open(encoding="utf-8-sig") as stream:
                yield from SPLITTERS[convention](stream)
        else:
            values = TABLE_READERS[file.suffix.lower()](file, column)
            yield from as_texts(values, f"file '{file}', column '{column}'")
    except UnicodeDecodeError as error:
        raise not_utf8(file, error) from error


def split_whole(stream: TextIO) -> Iterator[str]:
    """One document, if there is anything in it."""
    return filter(str.strip, [stream.read()])


def split_lines(stream: TextIO) -> Iterator[str]:
    """A document on every line that is not blank."""
    return (line.strip() for line in stream if not line.isspace())


def split_paragraphs(stream: TextIO) -> Iterator[str]:
    """A document between blank lines.

    Example:
        >>> import io
        >>> list(split_paragraphs(io.StringIO("\\nA line,\\nand one more.\\n \\n\\nAnother document.")))
        ['A line,\\nand one more.', 'Another document.']
    """
    return ("".join(lines).strip() for is_blank, lines in groupby(stream, key=str.isspace) if not is_blank)


SPLITTERS: dict[Convention, Callable[[TextIO], Iterator[str]]] = {
    "file": split_whole,
    "line": split_lines,
    "blank-line": split_paragraphs,
}


def _cells(file: Path, column: str, delimiter: str) -> Iterator[str]:
    rows = read_cells(file, delimiter)
    names = next(rows)[1]
    place = names.index(column)
    for line, cells in rows:
        if len(cells) != len(names):
            raise wrong_number_of_cells(file, line, expected=len(names), got=len(cells))
        yield cells[place]


def _json_lines(file: Path, column: str) -> Iterator[Any]:
    with file.open(encoding="utf-8-sig") as stream:
        for line, text in enumerate(stream, start=1):
            if text.strip():
                yield parse_record(file, line, text).get(column)


def _parquet(file: Path, column: str) -> Iterator[Any]:
    with pq.ParquetFile(file) as table:
        for batch in table.iter_batches(ROWS_AT_ONCE, columns=[column]):
            yield from batch.column(0).to_pylist()


TABLE_READERS: dict[str, Callable[[Path, str], Iterator[Any]]] = {
    ".csv": lambda file, column: _cells(file, column, ","),
    ".tsv": lambda file, column: _cells(file, column, "\t"),
    ".jsonl": _json_lines,
    ".json": _json_lines,
    ".parquet": _parquet,
}


def find_column(file: Path, named: str | None) -> str | None:
    """The column of the texts; `None` in a text file, which has no columns.

    Raises:
        UserError: no such column, or none with a usual name; a file that is empty or not in its format.
    """
    if file.suffix.lower() == TEXT_ENDING:
        return None
    try:
        names = _column_names(file)
    except UnicodeDecodeError as error:
        raise not_utf8(file, error) from error
    if not names:
        raise broken(file, "rows under the names of their columns", "an empty file", "leave it out")
    return choose_text_column(Table(f"file '{file}'", dict.fromkeys(names, ())), named)


def _column_names(file: Path) -> list[str]:
    ending = file.suffix.lower()
    if ending == ".parquet":
        try:
            return list(pq.read_schema(file).names)
        except pa.ArrowInvalid as error:
            raise broken(file, "a Parquet file", str(error), "write the file again") from error
    if ending in (".csv", ".tsv"):
        return next(read_cells(file, "," if ending == ".csv" else "\t"), (0, []))[1]
    with file.open(encoding="utf-8-sig") as stream:
        first = next(((line, text) for line, text in enumerate(stream, start=1) if text.strip()), (1, "{}"))
    return list(parse_record(file, *first))


def as_texts(values: Iterable[Any], where: str) -> Iterator[str]:
    """Values of a column as texts, no value as an empty one; anything else is a `UserError` with its row."""
    for row, value in enumerate(values, start=1):
        if not isinstance(value, str | None):
            raise not_a_text(value, f"{where}, row {row}")
        yield value or ""
