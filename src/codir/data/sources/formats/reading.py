"""How a user says that files are to be read, and what to raise where one is not in its format.

Knows words and messages. Opens no file.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from pathlib import Path

from codir.config.words import HEADER
from codir.errors import UserError

SEPARATOR_WORDS = {"comma": ",", "tab": "\t", r"\t": "\t", "semicolon": ";", "pipe": "|", "space": " "}
"""Words for separators that a shell or a reader makes hard to write."""


@dataclass(frozen=True)
class Reading:
    """What is said of the user's files; the rest is found in each file.

    Attributes:
        separator: between the cells of CSV and TSV files: one character, or a word such as `tab`.
        header: whether the first line of such a file holds the names of the columns.
        columns: those names, where no line holds them; by default they are called 1, 2 and so on.
        encoding: of all text files without a byte order mark.
        words: whether words with tags are read, so that a file whose ending says nothing is a CoNLL file.
        lines: whether a text is all that is read of a row, so that a `.txt` file has one on each line.

    Raises:
        UserError: a separator that cannot be one, an encoding that nobody has heard of, names beside a header.
    """

    separator: str | None = None
    header: bool = HEADER
    columns: tuple[str, ...] | None = None
    encoding: str | None = None
    words: bool = False
    lines: bool = False

    def __post_init__(self) -> None:
        if self.separator is not None:
            object.__setattr__(self, "separator", _as_separator(self.separator))
        if self.encoding is not None:
            _require_encoding(self.encoding)
        if self.columns is not None and self.header:
            raise UserError(
                "data.columns",
                expected="`data.header: false` beside names for the columns",
                got="names, and a first line that is a header",
                otherwise="the first row would be lost where the file has no header",
                do="set `data.header: false`, or leave `data.columns` out",
            )
        if self.columns is not None and len(set(self.columns)) < len(self.columns):
            raise UserError(
                "data.columns", expected="different names", got=", ".join(self.columns), do="name each column once"
            )


def _as_separator(word: str) -> str:
    separator = SEPARATOR_WORDS.get(word.lower(), word)
    if len(separator) == 1 and separator not in '"\r\n\0':
        return separator
    raise UserError(
        "data.separator",
        expected="one character, or one of the words " + ", ".join(SEPARATOR_WORDS),
        got=repr(word),
        do="give the character that stands between the cells",
    )


def _require_encoding(name: str) -> None:
    try:
        "".encode(name)
        codecs.lookup(name)
    except (LookupError, ValueError):
        raise UserError(
            "data.encoding",
            expected="the name of an encoding, such as utf-8, utf-16, cp1252 or latin-1",
            got=repr(name),
            do="choose one that Python knows: https://docs.python.org/3/library/codecs.html#standard-encodings",
        ) from None


# ---- Errors ----


def broken(path: Path, expected: str, got: str, do: str, otherwise: str | None = None) -> UserError:
    """What to raise where a file is not in its format."""
    return UserError(f"file '{path}'", expected=expected, got=got, do=do, otherwise=otherwise)
