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

ROWS_AT_ONCE = 1 << 14
"""Rows that are copied at a time."""


def read_vectors(path: Path, table: Table, column: str) -> NDArray[np.float32]:
    """The vector of each row, `[rows, dim]`.

    Args:
        path: of the file.
        table: of the file, whose column is read here.
        column: that holds a list of numbers in each row.

    Raises:
        UserError: rows without a vector, of different lengths, or with numbers that are not finite.
    """
    where = f"{table.name}, column '{column}'"
    if path.suffix.lower() == ".parquet" and _holds_numbers(pq.read_schema(path).field(column).type):
        return _of_parquet(path, column, where)
    cells = cells_of(table.select([column]).columns[column], where)
    return _as_float32(numbers(cells, where, in_lists=True), where)


def _holds_numbers(kind: pa.DataType) -> bool:
    """Whether a type of Parquet is a list of numbers, without a list in it."""
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return is_list and (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type))


def cells_of(values: Sequence[Any], where: str) -> list[Any]:
    """The cells of a column of lists or objects, which stand in a CSV file as JSON, and in Parquet perhaps as maps.

    Raises:
        UserError: a cell that looks like JSON and is none.
    """
    return [_parsed(value, f"{where}, row {row}") for row, value in enumerate(values, start=1)]


def normalise(vectors: NDArray[np.float32], where: str) -> NDArray[np.float32]:
    """Each vector at length 1, divided in double precision, some rows at a time.

    Raises:
        UserError: a vector of zeros.
    """
    found = np.empty_like(vectors)
    for start in range(0, len(vectors), ROWS_AT_ONCE):
        part = vectors[start : start + ROWS_AT_ONCE].astype(np.float64)
        lengths = np.linalg.norm(part, axis=1, keepdims=True)
        refuse_first(lengths[:, 0] == 0, part, where, "a vector with a direction in every row", before=start)
        found[start : start + ROWS_AT_ONCE] = part / lengths
    return found


def _parsed(value: Any, where: str) -> Any:
    if isinstance(value, list) and value and all(isinstance(one, tuple) for one in value):  # a map, as pyarrow gives it
        return {str(name): content for name, content in value}
    if not isinstance(value, str) or value.lstrip()[:1] not in ("[", "{"):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        do = "write lists as JSON, such as [0.1, 0.9], or save the file as JSON lines or Parquet"
        raise UserError(where, expected="a list or an object in JSON", got=repr(value[:60]), do=do) from error


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
        if not file.metadata.num_rows:
            raise UserError(where, expected="at least one row", got="no rows", do="check how the file was written")
        for batch in file.iter_batches(ROWS_AT_ONCE, columns=[column]):
            lengths = pc.fill_null(pc.list_value_length(batch.column(column)), 0).to_numpy(zero_copy_only=False)
            refuse_first(lengths == 0, lengths[:, None], where, "at least one number in every row", before=begun)
            dim = int(lengths[0]) if dim is None else dim
            refuse_first(lengths != dim, lengths[:, None], where, f"as many numbers in every row, {dim}", before=begun)
            flat = pc.list_flatten(batch.column(column)).to_numpy(zero_copy_only=False)
            parts.append(_as_float32(flat.reshape(len(lengths), dim), where, before=begun))
            begun += len(lengths)
    return np.concatenate(parts)
