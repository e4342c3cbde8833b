"""The column of ids that a teacher in a file finds its rows by stays with its rows, wherever they go."""

from __future__ import annotations

import pytest

from codir.data import load_data
from codir.errors import UserError


def write(path, rows, *, labels: bool = True) -> str:
    header = "uid,text" + (",label" if labels else "")
    path.write_text("\n".join([header, *rows]) + "\n")
    return str(path)


def test_ids_that_stay_behind_when_rows_are_dealt_out(tmp_path):
    source = write(tmp_path / "train.csv", [f"{row:03d},text {row},{'up' if row % 2 else 'down'}" for row in range(40)])
    more = write(tmp_path / "more.csv", ["x1,more 1", "x2,more 2"], labels=False)
    data = load_data(source, unlabelled=[more], id_column="UID", heldout_rows=6, max_train_rows=20, unlabelled_rows=4)
    for rows in (data.train, *data.dev.values()):
        for text, found in zip(rows["text"], rows["id"], strict=True):
            kind, number = text.split()
            assert found == (f"{int(number):03d}" if kind == "text" else f"x{number}")
    assert "x2" in data.train["id"]
    assert "id" not in load_data(source).train.column_names


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["7,a,up", "8,b,down", " 7,c,up"], "row 3: expected an id in every row, each once, got '7' again"),
        (["7,a,up", ",b,down", "9,c,up"], "row 2: expected an id in every row, each once, got none"),
    ],
)
def test_ids_that_name_no_row_or_two(tmp_path, rows, said):
    with pytest.raises(UserError) as refused:
        load_data(write(tmp_path / "train.csv", rows), id_column="uid", dev_fraction=0.4)
    assert said in " ".join(str(refused.value).split())


def test_an_id_column_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="a column 'key'"):
        load_data(write(tmp_path / "train.csv", ["7,a,up", "8,b,down"]), id_column="key")
