"""CoNLL: a word on each line with its tags behind it, and a blank line after each sentence.

The first cell of a line is the word and the last one its tag; cells are separated by tabs, or else by spaces. Lines of
`-DOCSTART-` are passed over. A file of words alone has no tags. In CoNLL-U, which has ten cells with names, the word is
`form` and the tag `upos`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codir.data.sources.formats.opening import ending_of, find_encoding, open_text
from codir.data.sources.formats.reading import Reading, broken
from codir.data.sources.tables import Table

WORDS, TAGS = "words", "tags"
DOCUMENT = "-DOCSTART-"
OF_UNIVERSAL = ("id", WORDS, "lemma", TAGS, "xpos", "feats", "head", "deprel", "deps", "misc")
UNIVERSAL = ".conllu"
NO_VALUE = "_"


@dataclass(frozen=True)
class Conll:
    """Sentences of words and tags."""

    def table(self, path: Path, reading: Reading) -> Table:
        """A row for each sentence: `words`, `tags`, and the cells between them under their numbers, all lists."""
        encoding = find_encoding(path, reading.encoding)
        sentences = list(self._sentences(path, encoding.name))
        names = _names_of(path, len(sentences[0][0]) if sentences else 2)
        columns = {
            name: [[cells[place] for cells in sentence] for sentence in sentences] for place, name in enumerate(names)
        }
        return Table(path.name, columns, notes=encoding.notes)

    def column_names(self, path: Path, reading: Reading) -> list[str]:
        """Those of the first sentence's lines."""
        first = next(self._sentences(path, find_encoding(path, reading.encoding).name), [("", "")])
        return _names_of(path, len(first[0]))

    def rows(self, path: Path, columns: Sequence[str], reading: Reading) -> Iterator[tuple[Any, ...]]:
        """The cells of these columns, a list for each sentence."""
        for sentence in self._sentences(path, find_encoding(path, reading.encoding).name):
            places = [_names_of(path, len(sentence[0])).index(name) for name in columns]
            yield tuple([cells[place] for cells in sentence] for place in places)

    def _sentences(self, path: Path, encoding: str) -> Iterator[list[tuple[str, ...]]]:
        """The cells of each line, sentence by sentence."""
        width: int | None = None
        with open_text(path, encoding) as stream:
            for block in _blocks(stream):
                sentence = []
                for line, cells in _without_comments(block, path):
                    if ending_of(path) == UNIVERSAL and not cells[0].isdecimal():
                        continue  # what is written together (`3-4`), or not at all (`5.1`)
                    width = width or len(cells)
                    if len(cells) != width:
                        raise _wrong_number_of_cells(path, line, cells, width)
                    sentence.append(tuple(cells))
                if sentence:
                    yield sentence


Line = tuple[int, list[str]]


def _blocks(stream: Iterator[str]) -> Iterator[list[Line]]:
    """Lines that belong together, with their numbers, as cells."""
    block: list[Line] = []
    for number, text in enumerate(stream, start=1):
        cells = _cells(text)
        if cells and cells[0] != DOCUMENT:
            block.append((number, cells))
        elif block:
            yield block
            block = []
    if block:
        yield block


def _cells(text: str) -> list[str]:
    """Between tabs, or else between spaces. A word may hold spaces where there are tabs, and others (U+00A0) always."""
    if not text.strip():
        return []
    if "\t" in text.strip():
        return [cell.strip() for cell in text.strip("\r\n").rstrip("\t ").split("\t")]
    return re.findall(r"[^ \r\n]+", text)


def _without_comments(block: list[Line], path: Path) -> list[Line]:
    """Sentences may begin with comments, `# id 7`, which have other cells than the words that follow."""
    start = 0
    is_universal = ending_of(path) == UNIVERSAL
    while start < len(block) - 1 and block[start][1][0].startswith("#"):
        is_comment = is_universal or len(block[start][1]) != len(block[-1][1])
        if not is_comment:
            break
        start += 1
    return block[start:]


def _names_of(path: Path, width: int) -> list[str]:
    if ending_of(path) == UNIVERSAL and width == len(OF_UNIVERSAL):
        return list(OF_UNIVERSAL)
    return [WORDS, *map(str, range(2, width)), TAGS][:width] if width > 1 else [WORDS]


def _wrong_number_of_cells(path: Path, line: int, cells: list[str], width: int) -> Exception:
    expected = "a word and its tag on each line" if width == 2 else f"{width} cells on each line, as on the first"
    got = f"{len(cells)} at line {line}: {' '.join(cells)[:40]!r}"
    return broken(path, expected, got, "correct that line; a blank line stands between sentences, none within them")
