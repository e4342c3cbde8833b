"""JSON: an object on each line, one array of objects, or a data frame as pandas writes it (`to_json`).

Lines and arrays are read object by object; a data frame in columns is one object, which is read whole. An object may
lack a column, which is then no value. An empty text is no value either, as in CSV.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

from codir.data.sources.formats.opening import find_encoding, open_text
from codir.data.sources.formats.reading import Reading, broken
from codir.data.sources.tables import Table
from codir.errors import UserError

CHUNK = 1 << 16
"""Characters of an array that are read at a time."""
SPACE = re.compile(r"\s*")
SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class Records:
    """A JSON object for each row."""

    def table(self, path: Path, reading: Reading) -> Table:
        """The columns of all objects, whose values are read when they are selected."""
        names: dict[str, None] = {}
        nested: dict[str, str] = {}
        notes = list(find_encoding(path, reading.encoding).notes)
        for record in read_records(path, reading, notes):
            names.update(dict.fromkeys(record))
            nested |= {name: ", ".join(map(repr, value)) for name, value in record.items() if isinstance(value, dict)}
        hints = tuple(
            f"column '{name}' holds objects with {held}: write what is needed of them to columns of their own"
            for name, held in nested.items()
        )

        def select(columns: Sequence[str]) -> Table:
            values: list[list[Any]] = [[] for _ in columns]
            for row in self.rows(path, columns, reading):
                for column, value in zip(values, row, strict=True):
                    column.append(value)
            return Table(path.name, dict(zip(columns, values, strict=True)), notes=tuple(notes))

        return Table(path.name, dict.fromkeys(names, ()), notes=tuple(notes), hints=hints, read=select)

    def column_names(self, path: Path, reading: Reading) -> list[str]:
        """Those of the first object."""
        return list(next(read_records(path, reading), {}))

    def rows(self, path: Path, columns: Sequence[str], reading: Reading) -> Iterator[tuple[Any, ...]]:
        """The values of these columns for each object."""
        for record in read_records(path, reading):
            values = map(record.get, columns)
            yield tuple(None if value == "" else value for value in values)


def read_records(path: Path, reading: Reading, notes: list[str] | None = None) -> Iterator[dict[str, Any]]:
    """Yield the objects of a JSON file, whichever way it is written; what is guessed is added to the notes.

    Raises:
        UserError: what is no JSON, or no rows; the message says where.
    """
    encoding = find_encoding(path, reading.encoding).name
    with open_text(path, encoding) as stream:
        first = next((line for line in enumerate(stream, start=1) if line[1].strip()), None)
        if first is None:
            return
        number, text = first
        if text.lstrip().startswith("["):
            yield from _elements(path, text, stream)
        else:
            yield from _lines(path, number, text, stream, notes if notes is not None else [])


# ---- Objects on lines ----


def _lines(path: Path, number: int, text: str, stream: TextIO, notes: list[str]) -> Iterator[dict[str, Any]]:
    """Objects on lines, or one object over the whole file."""
    record = _parse(text)
    if text.strip() == "{":
        whole = _parse(text + stream.read())
        yield from _one_object(path, whole, notes) if whole is not None else iter([_parse_line(path, number, text)])
        return
    rest = ((line, found) for line, found in enumerate(stream, start=number + 1) if found.strip())
    second = next(rest, None)
    if second is None and record is not None:
        yield from _one_object(path, record, notes)
        return
    yield _parse_line(path, number, text)
    yield from (_parse_line(path, line, found) for line, found in chain([second] if second else [], rest))


def _parse(text: str) -> dict[str, Any] | None:
    """One object, or `None`: no JSON, a number of thousands of digits, brackets nested too deep, half a character."""
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and not _has_half_characters(text, record) else None


def _parse_line(path: Path, line: int, text: str) -> dict[str, Any]:
    record = _parse(text)
    if record is not None:
        return record
    got = f"{text.strip()[:40]!r} at line {line}"
    raise broken(path, "one JSON object on each line", got, "write the data as JSON lines")


def _has_half_characters(text: str, record: object) -> bool:
    """Whether a text holds one half of a surrogate pair."""
    if not SURROGATE.search(text):
        return False
    try:
        json.dumps(record, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


# ---- An array ----


def _elements(path: Path, text: str, stream: TextIO) -> Iterator[dict[str, Any]]:
    """Read the objects of one array, each as it comes."""
    decode, place, number, is_whole = json.JSONDecoder().raw_decode, text.index("[") + 1, 0, False
    while True:
        place = _after_space(text, place)
        is_comma_due = number > 0
        if text[place : place + 1] == "]":
            _require_end(path, text[place + 1 :] + stream.read())
            return
        try:
            if is_comma_due and text[place : place + 1] != ",":
                raise ValueError("no comma")
            start = _after_space(text, place + 1) if is_comma_due else place
            element, end = decode(text, start)
        except (ValueError, RecursionError) as error:
            more = "" if is_whole else stream.read(max(CHUNK, len(text) - place))
            is_whole = not more
            if is_whole:
                raise _not_an_element(path, number + 1, text[place : place + 40]) from error
            text, place = text[place:] + more, 0
            continue
        if not isinstance(element, dict) or _has_half_characters(text[start:end], element):
            raise _not_an_element(path, number + 1, text[start : start + 40])
        number, place = number + 1, end
        yield element


def _after_space(text: str, place: int) -> int:
    found = SPACE.match(text, place)
    return found.end() if found else place


def _require_end(path: Path, rest: str) -> None:
    if rest.strip():
        raise broken(path, "one JSON array", f"{rest.strip()[:40]!r} after its end", "write one array, or JSON lines")


def _not_an_element(path: Path, number: int, got: str) -> UserError:
    shown = repr(got) if got.strip() else "the end of the file"
    do = "write the data as JSON lines, an object with the names of the columns for each row"
    return broken(path, "one JSON object on each line, or an array of them", f"{shown} as element {number}", do)


# ---- One object for the whole file ----


def _one_object(path: Path, record: dict[str, Any], notes: list[str]) -> Iterator[dict[str, Any]]:
    """The rows of a data frame as pandas writes it, or a single row."""
    frame = _frame_rows(record)
    if frame is not None:
        notes.append(f"{path.name}: read as a data frame of pandas (`to_json`)")
        return frame
    lists = [name for name, value in record.items() if isinstance(value, list) and value and isinstance(value[0], dict)]
    if lists:
        got = f"one object that holds objects under '{lists[0]}'"
        do = f"save the list under '{lists[0]}' by itself"
        if "paragraphs" in record[lists[0]][0]:
            do = "for questions in SQuAD's form, give `--task question_answering`"
        raise broken(path, "an object for each row", got, do)
    return iter([record])


def _frame_rows(record: dict[str, Any]) -> Iterator[dict[str, Any]] | None:
    """The rows of a data frame in any of pandas' orientations; `None` where the object is none."""
    keys = record.keys()
    data: Any = record.get("data")
    columns: Any = record.get("columns")
    if keys == {"schema", "data"} and _are_all(dict, data):
        return iter(data)
    if keys <= {"columns", "index", "data"} and isinstance(columns, list) and _are_all(list, data, len(columns)):
        names = [str(name) for name in columns]
        return (dict(zip(names, row, strict=True)) for row in data)
    values = list(record.values())
    if not values or not all(isinstance(value, dict) and value.keys() == values[0].keys() for value in values):
        return None
    if all(key.isdigit() for key in keys):
        return iter(values)
    return (dict(zip(keys, row, strict=True)) for row in zip(*(value.values() for value in values), strict=True))


def _are_all(kind: type, rows: Any, length: int | None = None) -> bool:
    """Whether something is a list of lists or objects, all of this length."""
    are = isinstance(rows, list) and all(isinstance(row, kind) for row in rows)
    return are and (length is None or all(len(row) == length for row in rows))
