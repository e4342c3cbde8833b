"""Rows of answers as a file that other programs read: TSV, JSON lines or Parquet, by its ending.

Knows columns and formats; knows nothing of what stands in them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from codir.config.words import ROW_FILES
from codir.errors import UserError, naming
from codir.store import files_added_whole

Columns = Mapping[str, Sequence[Any]]
"""Texts and numbers by column, all of one length."""


def write_rows(file: Path, columns: Columns) -> None:
    """Write a file that is whole or not there; its ending says in which format.

    Args:
        file: ends in `.tsv`, `.jsonl` or `.parquet`.
        columns: by name. In TSV, a cell with a tab, a quote or an end of line stands in double quotes.

    Raises:
        UserError: another ending, or a place that cannot be written to.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "answers.tsv"
        >>> write_rows(file, {"row": [1, 2], "answer": ["up", "down"]})
        >>> file.read_text()
        'row\\tanswer\\n1\\tup\\n2\\tdown\\n'
    """
    if file.suffix.lower() not in WRITERS:
        expected = f"one of the endings {', '.join(ROW_FILES)}"
        raise UserError(f"file '{file}'", expected=expected, got=f"'{file.suffix}'", do="rename the file")
    with naming(file), files_added_whole(file.parent) as drafts:
        WRITERS[file.suffix.lower()](drafts / file.name, columns)


def _write_tsv(draft: Path, columns: Columns) -> None:
    with draft.open("w", encoding="utf-8", newline="") as stream:
        for row in (columns, *zip(*columns.values(), strict=True)):
            stream.write("\t".join(map(_cell, row)) + "\n")


def _cell(value: object) -> str:
    """As `csv` quotes it, and quotes around a bare carriage return too, at which readers would end the row."""
    text = str(value)
    return '"' + text.replace('"', '""') + '"' if re.search('[\t\n\r"]', text) else text


def _write_json_lines(draft: Path, columns: Columns) -> None:
    with draft.open("w", encoding="utf-8") as stream:
        for row in zip(*columns.values(), strict=True):
            stream.write(json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False) + "\n")


def _write_parquet(draft: Path, columns: Columns) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({name: list(values) for name, values in columns.items()}), draft)


WRITERS: dict[str, Callable[[Path, Columns], None]] = dict(
    zip(ROW_FILES, (_write_tsv, _write_json_lines, _write_parquet), strict=True)
)
