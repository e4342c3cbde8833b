"""Rows of answers in every format, read back by other programs than the one that wrote them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pandas
import pyarrow.parquet as pq
import pytest

from codir.config.words import ROW_FILES
from codir.errors import UserError
from codir.report import write_rows
from codir.report.row_files import WRITERS

COLUMNS = {
    "row": [1, 2, 3, 4],
    "text": ['a\ttab and a "quote"', "two\nlines", "a\rreturn, é, 漢, 🙂", ""],
    "p_up\tdown": [0.25, 1.0, 1e-06, 0.0],
}


def read(file: Path) -> dict[str, list]:
    """By the format's own library."""
    if file.suffix == ".parquet":
        return pq.read_table(file).to_pydict()
    if file.suffix == ".jsonl":
        rows = [json.loads(line) for line in file.read_text("utf-8").split("\n")[:-1]]
        return {name: [row[name] for row in rows] for name in rows[0]}
    with file.open(encoding="utf-8", newline="") as stream:
        header, *rows = csv.reader(stream, delimiter="\t")
    found = dict(zip(header, map(list, zip(*rows, strict=True)), strict=True))
    return {"row": [int(cell) for cell in found.pop("row")], "text": found.pop("text")} | {
        name: [float(cell) for cell in cells] for name, cells in found.items()
    }


@pytest.mark.parametrize("ending", ROW_FILES)
def test_a_cell_that_is_read_back_as_another(tmp_path, ending):
    write_rows(tmp_path / f"rows{ending}", COLUMNS)
    assert read(tmp_path / f"rows{ending}") == COLUMNS


def test_a_table_that_pandas_reads_as_another(tmp_path):
    write_rows(tmp_path / "rows.tsv", COLUMNS)
    found = pandas.read_csv(tmp_path / "rows.tsv", sep="\t", keep_default_na=False)
    assert found["text"].tolist() == COLUMNS["text"]
    assert found["p_up\tdown"].tolist() == COLUMNS["p_up\tdown"]


@pytest.mark.parametrize("ending", ROW_FILES)
def test_half_a_file_in_place_of_an_old_one(tmp_path, ending):
    file = tmp_path / f"rows{ending}"
    file.write_text("old")
    with pytest.raises((ValueError, TypeError, OverflowError)):
        write_rows(file, {"row": [1, 2], "text": ["a", object()]} if ending != ".tsv" else {"row": [1, 2], "text": [1]})
    assert file.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_an_ending_that_is_written_as_another_format(tmp_path):
    assert tuple(WRITERS) == ROW_FILES
    write_rows(tmp_path / "rows.TSV", {"row": [1]})
    assert (tmp_path / "rows.TSV").read_text() == "row\n1\n"
    with pytest.raises(UserError, match=r"expected one of the endings \.tsv, \.jsonl, \.parquet, got '\.csv'"):
        write_rows(tmp_path / "rows.csv", {"row": [1]})
