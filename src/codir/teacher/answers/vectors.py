"""Vectors of a file, without a Python object for each number where the file is Parquet."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from codir.data import Table
from codir.errors import UserError
from codir.teacher.answers.forms import numbers, refuse_first


def read_vectors(path: Path, table: Table, column: str) -> NDArray[np.float32]:
    """The vector of each row, `[rows, dim]`.

    Raises:
        UserError: rows without a vector, of different lengths, or with numbers that are not finite.
    """
    where = f"{table.name}, column '{column}'"
    if path.suffix.lower() == ".parquet" and pa.types.is_nested(pq.read_schema(path).field(column).type):
        return _of_parquet(path, column, where)
    return _as_float32(_two_axes(numbers(cells_of(table.columns[column], where), where), where), where)


def cells_of(values: Sequence[Any], where: str) -> list[Any]:
    """The cells of a column of lists or objects, which stand in a CSV file as JSON.

    Raises:
        UserError: a cell that looks like JSON and is none.
    """
    return [_parsed(value, f"{where}, row {row}") for row, value in enumerate(values, start=1)]


def _parsed(value: Any, where: str) -> Any:
    if not isinstance(value, str) or value.lstrip()[:1] not in ("[", "{"):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        do = "write lists as JSON, such as [0.1, 0.9], or save the file as JSON lines or Parquet"
        raise UserError(where, expected="a list or an object in JSON", got=repr(value[:60]), do=do) from error


def _two_axes(found: NDArray[np.float64], where: str) -> NDArray[np.float64]:
    if found.ndim == 2:
        return found
    raise UserError(where, expected="a list of numbers in each row", got="a single number", do="write a list")


def _as_float32(found: NDArray[Any], where: str, *, before: int = 0) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        narrow = found.astype(np.float32)
    is_wrong = ~np.isfinite(narrow).all(axis=1)
    refuse_first(is_wrong, narrow, where, "a finite number in every cell, in float32", before=before)
    return narrow


def _of_parquet(path: Path, column: str, where: str) -> NDArray[np.float32]:
    parts: list[NDArray[np.float32]] = []
    dim, begun = None, 0
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(1 << 14, columns=[column]):
            lengths = pc.fill_null(pc.list_value_length(batch.column(column)), 0).to_numpy(zero_copy_only=False)
            dim = int(lengths[0]) if dim is None else dim
            refuse_first(lengths != dim, lengths[:, None], where, f"as many numbers in every row, {dim}", before=begun)
            flat = pc.list_flatten(batch.column(column)).to_numpy(zero_copy_only=False)
            parts.append(_as_float32(flat.reshape(len(lengths), dim), where, before=begun))
            begun += len(lengths)
    return np.concatenate(parts)
