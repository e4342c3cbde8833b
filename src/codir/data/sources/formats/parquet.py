"""Parquet: typed columns, and class names where `datasets` wrote the file. Only the columns asked for are read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from codir.data.sources.formats.reading import Reading, broken
from codir.data.sources.tables import Table
from codir.errors import UserError, of_files

ROWS_AT_ONCE = 100
"""Rows that are in memory at a time while a file is streamed."""
REFUSED = (pa.ArrowException, OSError, ValueError)


class Parquet:
    """What pyarrow reads, whatever the types of other columns; an empty text is no value, as in CSV."""

    def table(self, path: Path, reading: Reading) -> Table:
        """The columns of the schema, whose values are read when they are selected."""
        del reading
        schema = _schema(path)
        names = class_names(schema)

        def select(columns: Sequence[str]) -> Table:
            values: list[list[Any]] = [[] for _ in columns]
            for batch in _batches(path, columns, rows_at_once=1 << 16):
                for column, more in zip(values, batch, strict=True):
                    column.extend(more)
            return Table(path.name, dict(zip(columns, values, strict=True)), class_names=names)

        return Table(path.name, dict.fromkeys(schema.names, ()), names, hints=_hints(schema), read=select)

    def column_names(self, path: Path, reading: Reading) -> list[str]:
        """Those of the schema."""
        del reading
        return list(_schema(path).names)

    def rows(self, path: Path, columns: Sequence[str], reading: Reading) -> Iterator[tuple[Any, ...]]:
        """A few rows at a time."""
        del reading
        for batch in _batches(path, columns, rows_at_once=ROWS_AT_ONCE):
            yield from zip(*batch, strict=True)


def _schema(path: Path) -> pa.Schema:
    try:
        return pq.read_schema(path)
    except REFUSED as error:
        raise _not_parquet(path, error) from error


def _batches(path: Path, columns: Sequence[str], *, rows_at_once: int) -> Iterator[list[list[Any]]]:
    """The values of each column, in the order asked for."""
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(rows_at_once, columns=list(columns)):
                yield [[None if value == "" else value for value in batch.column(name).to_pylist()] for name in columns]
    except REFUSED as error:
        raise _not_parquet(path, error) from error


def class_names(schema: pa.Schema) -> dict[str, tuple[str, ...]]:
    """The names of classes that `datasets` keeps in a schema; other metadata is nobody's business."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        kinds = {name: kind.get("feature", kind) for name, kind in features.items()}  # or those of a list
        kinds = {name: kind for name, kind in kinds.items() if kind.get("_type") == "ClassLabel"}
        return {name: tuple(map(str, kind["names"])) for name, kind in kinds.items() if name in schema.names}
    except (KeyError, TypeError, AttributeError, ValueError):
        return {}


def _hints(schema: pa.Schema) -> tuple[str, ...]:
    nested = [column for column in schema if pa.types.is_struct(column.type)]
    return tuple(
        f"column '{column.name}' holds {', '.join(repr(part.name) for part in column.type)}: "
        "write what is needed of them to columns of their own"
        for column in nested
    )


def _not_parquet(path: Path, error: Exception) -> UserError:
    """What to raise where a file only claims to be Parquet, or cannot be read."""
    if found := of_files(error, path):
        return found
    return broken(path, "a Parquet file", str(error), "write the file again")
