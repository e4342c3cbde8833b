"""The documents of text files and tables, one by one: nothing is held but the document at hand.

Knows file formats. Knows nothing of `datasets`, and nothing of tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, TextIO

from codir.config.words import DocumentBoundary
from codir.data.sources.columns import choose_text_column, not_a_text
from codir.data.sources.formats import (
    FORMATS,
    PLAIN,
    broken,
    ending_of,
    find_encoding,
    is_table,
    open_text,
    require_file,
)
from codir.data.sources.tables import Table
from codir.errors import UserError

TEXT_ENDING = ".txt"
ENDINGS = (TEXT_ENDING, *FORMATS)


def is_readable(path: Path) -> bool:
    """Whether a name has the ending of a text file or of a table, compressed or not."""
    return ending_of(path) == TEXT_ENDING or is_table(path)


def find_files(path: Path) -> list[Path]:
    """The file itself, or all files under a folder that can be read, in the order of their names.

    Raises:
        UserError: no such file, an ending that is not known, or nothing to read in the folder.
    """
    if not path.is_dir():
        if not is_readable(path):
            raise UserError(
                f"corpus '{path}'",
                expected="a folder, or a file with one of the endings " + ", ".join(ENDINGS),
                got=f"'{path.suffix}'" if path.suffix else "no ending",
                do=f"rename it if it is plain text: '{path.name}{TEXT_ENDING}'",
            )
        require_file(path)
        return [path]
    shown = (file for file in path.rglob("*") if not any(part.startswith(".") for part in file.relative_to(path).parts))
    found = sorted(file for file in shown if file.is_file() and is_readable(file))
    if not found:
        raise UserError(
            f"corpus '{path}'",
            expected="a folder with files that end in " + ", ".join(ENDINGS),
            got="none of them",
            do="check the path, or rename plain text files so that they end in .txt",
        )
    return found


def read_documents(file: Path, convention: DocumentBoundary = "line", column: str | None = None) -> Iterator[str]:
    """Read the documents of one file.

    Args:
        file: its ending says how it is read.
        convention: what a document is in a text file.
        column: of the texts, in every other file.

    Raises:
        UserError: the file breaks its format; the message says where.
    """
    if column is None:
        with open_text(file, find_encoding(file).name) as stream:
            yield from SPLITTERS[convention](stream)
    else:
        rows = FORMATS[ending_of(file)].rows(file, [column], PLAIN)
        yield from as_texts((value for (value,) in rows), f"file '{file}', column '{column}'")


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


SPLITTERS: dict[DocumentBoundary, Callable[[TextIO], Iterator[str]]] = {
    "file": split_whole,
    "line": split_lines,
    "blank-line": split_paragraphs,
}


def find_column(file: Path, named: str | None) -> str | None:
    """The column of the texts; `None` in a text file, which has no columns.

    Raises:
        UserError: no such column, or none with a usual name; a file that is empty or not in its format.
    """
    if ending_of(file) == TEXT_ENDING:
        return None
    names = FORMATS[ending_of(file)].column_names(file, PLAIN)
    if not names:
        raise broken(file, "rows under the names of their columns", "an empty file", "leave it out")
    return choose_text_column(Table(f"file '{file}'", dict.fromkeys(names, ())), named)


def as_texts(values: Iterable[Any], where: str) -> Iterator[str]:
    """Values of a column as texts, no value as an empty one; anything else is a `UserError` with its row."""
    for row, value in enumerate(values, start=1):
        if not isinstance(value, str | None):
            raise not_a_text(value, f"{where}, row {row}")
        yield value or ""
