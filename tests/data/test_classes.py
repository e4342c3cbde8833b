"""Labels that are not what they seem: what stands for none is left out, and what is odd about classes is said."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, Features, Value

from codir.data import LoadedData
from codir.data.sources.load import from_datasets, load_data
from codir.errors import UserError


def load(tmp_path: Path, labels: Sequence[object], name: str = "d.jsonl", /, **options: Any) -> LoadedData:
    """Rows with these labels, to train on and to evaluate on."""
    path = tmp_path / name
    if path.suffix == ".csv":
        path.write_text("text,label\n" + "".join(f"row {row},{label}\n" for row, label in enumerate(labels)))
    elif path.suffix == ".parquet":
        pq.write_table(pa.table({"text": [f"row {row}" for row in range(len(labels))], "label": labels}), path)
    else:
        rows = [{"text": f"row {row}", "label": label} for row, label in enumerate(labels)]
        path.write_text("\n".join(map(json.dumps, rows)))
    return load_data(str(path), **{"dev": path, **options})


def train_labels(data: LoadedData) -> list[Any]:
    assert data.train is not None
    return list(data.train["label"])


def said(data: LoadedData, words: str) -> list[str]:
    return [note for note in data.notes if words in note]


# ---- Labels that stand for none ----


@pytest.mark.parametrize("sign", ["-", "?", "--"])
@pytest.mark.parametrize("name", ["d.jsonl", "d.csv", "d.parquet"])
def test_a_sign_for_no_label_is_no_class(tmp_path: Path, name: str, sign: str) -> None:
    data = load(tmp_path, ["calm", "loud", sign, "calm", sign, "loud"], name)
    assert data.task.label_names == ("calm", "loud")
    assert train_labels(data) == [0, 1, 0, 1]
    assert data.dev["dev"]["text"][:] == ["row 0", "row 1", "row 3", "row 5"]
    assert len(said(data, f"2 rows are left out, since the label '{sign}' stands for no label")) == 2


def test_a_sign_for_no_label_in_the_evaluation_set_alone(tmp_path: Path) -> None:
    (tmp_path / "dev.csv").write_text("text,label\na,-\nb,calm\n")
    data = load(tmp_path, ["calm", "loud"] * 3, dev=tmp_path / "dev.csv")
    assert data.dev["dev"]["label"][:] == [0]
    (tmp_path / "dev.csv").write_text("text,label\na,-\nb,-\n")
    with pytest.raises(UserError, match="a label in at least one row, got labels that stand for none: '-'"):
        load(tmp_path, ["calm", "loud"] * 3, dev=tmp_path / "dev.csv")


def test_rows_left_out_do_not_make_words_of_numbers(tmp_path: Path) -> None:
    assert load(tmp_path, ["0.5", "-", "1.5"], "d.csv").task.kind == "regression"
    assert load(tmp_path, ["2", "-", "10"], "d.csv").task.label_names == ("2", "10")


@pytest.mark.parametrize("labels", [["+", "-"] * 3, ["-", "calm"] * 3])
def test_a_sign_that_is_a_class(tmp_path: Path, labels: list[str]) -> None:
    assert load(tmp_path, labels).task.num_labels == 2
    assert load(tmp_path, ["calm", "loud", "-"] * 3, labels=("calm", "loud", "-")).task.num_labels == 3


@pytest.mark.parametrize("name", ["d.jsonl", "d.csv", "d.parquet"])
def test_minus_one_beside_class_indices_is_no_class(tmp_path: Path, name: str) -> None:
    data = load(tmp_path, [0, 1, 2, -1, 2, 1], name)
    assert train_labels(data) == [0, 1, 2, 2, 1]
    assert said(data, "1 row is left out, since the label '-1'")


def test_minus_one_beside_named_classes_is_no_class() -> None:
    features = Features({"text": Value("string"), "label": ClassLabel(names=["calm", "loud"])})
    rows = Dataset.from_dict({"text": ["a", "b", "c"], "label": [1, -1, 0]}, features=features)
    data = from_datasets(rows, rows)
    assert train_labels(data) == [1, 0]
    assert len(said(data, "stands for no label")) == 2


@pytest.mark.parametrize("labels", [[-1, 0, 1] * 3, [-1, 1] * 3])
def test_minus_one_that_is_a_class(tmp_path: Path, labels: list[int]) -> None:
    data = load(tmp_path, labels, "d.csv")
    assert data.task.label_names == tuple(map(str, sorted(set(labels))))
    assert bool(said(data, "read as classes, though")) == (0 in labels)


def test_minus_one_that_is_a_score(tmp_path: Path) -> None:
    assert train_labels(load(tmp_path, [-1, 0, 1, 2, 3], task="regression")) == [-1, 0, 1, 2, 3]
    assert train_labels(load(tmp_path, [-1, 0, 1, 2, 3], num_labels=1)) == [-1, 0, 1, 2, 3]


def test_words_for_nothing_are_kept_and_said(tmp_path: Path) -> None:
    data = load(tmp_path, ["NA", "None", "null"] * 2, "d.csv")
    assert data.task.label_names == ("NA", "None", "null")
    assert said(data, "'NA' (2 rows), 'None' (2 rows), 'null' (2 rows)")


# ---- Numbers that are written as texts ----


@pytest.mark.parametrize(
    ("labels", "expected", "names"),
    [
        (["0.0", "1.0"], [0, 1], None),
        ([1, "1", 0, "0"], [1, 1, 0, 0], None),
        ([" 1", "1", "0 "], [1, 1, 0], None),
        (["10", "9", "1"], [2, 1, 0], ("1", "9", "10")),
        (["-1", "0", "1"], [0, 1, 2], ("-1", "0", "1")),
        ([True, False, True], [1, 0, 1], None),
        (["007", "7"], [0, 1], ("007", "7")),
    ],
)
def test_the_classes_that_a_person_would_expect(
    tmp_path: Path, labels: list[Any], expected: list[int], names: tuple[str, ...] | None
) -> None:
    data = load(tmp_path, labels)
    assert train_labels(data) == expected
    assert data.task.label_names == names


def test_fractions_that_are_written_as_texts_are_scores(tmp_path: Path) -> None:
    assert train_labels(load(tmp_path, ["0.5", "1.5", "2"])) == [0.5, 1.5, 2.0]


def test_numbers_with_a_point_in_one_file_and_without_in_the_other(tmp_path: Path) -> None:
    (tmp_path / "dev.csv").write_text("text,label\na,0\nb,1\n")
    assert load(tmp_path, ["0.0", "1.0"], "d.csv", dev=tmp_path / "dev.csv").dev["dev"]["label"][:] == [0, 1]


def test_spaces_around_numbers_are_said(tmp_path: Path) -> None:
    assert said(load(tmp_path, [" 1", " 0", "1"], "d.csv"), "2 numbers have spaces around them")


def test_decimal_commas_that_make_names_of_numbers_are_said(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("text;label\na;0,5\nb;1\nc;1,5\n")
    data = load_data(str(tmp_path / "d.csv"), dev=tmp_path / "d.csv")
    assert said(data, "labels such as '0,5' are read as names of classes")
    assert not said(load(tmp_path, ["a,b", "1"] * 3), "such as")


@pytest.mark.parametrize("labels", [["0,5", "1.5", "2"], ["0.5"] * 5 + ["1,25"]])
def test_decimal_commas_in_a_part_of_the_rows_that_are_not_answered_with_a_point(tmp_path: Path, labels) -> None:
    (tmp_path / "d.csv").write_text("text;label\n" + "".join(f"a;{label}\n" for label in labels))
    (comma,) = [label for label in labels if "," in label]
    said = f"got '{comma}'.*decimal point, here {comma.replace(',', '.')}, in every row"
    with pytest.raises(UserError, match=said):
        load_data(str(tmp_path / "d.csv"), dev=tmp_path / "d.csv")


def test_decimal_commas_in_most_rows_are_said(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("text;label\na;0,5\nb;1,5\nc;2.5\nd;3\n")
    data = load_data(str(tmp_path / "d.csv"), dev=tmp_path / "d.csv")
    assert said(data, "labels such as '0,5' are read as names of classes, beside '2.5'")


# ---- Labels of other types ----


@pytest.mark.parametrize(
    ("label", "do"),
    [
        (pa.array([["a"], ["b"]]), "read several labels in a row with `--task multi_label`"),
        (pa.array([Decimal(0), Decimal(1)]), "write that column as whole numbers"),
        (pa.array([{"a": 1}, {"a": 2}]), "--label-column"),
    ],
    ids=["lists", "decimals", "objects"],
)
def test_a_label_of_another_type_is_refused_with_what_to_do(tmp_path: Path, label: pa.Array, do: str) -> None:
    pq.write_table(pa.table({"text": ["a", "b"], "label": label}), tmp_path / "d.parquet")
    with pytest.raises(UserError, match=rf"column 'label', row 1: expected a name or a number.*{do}"):
        load_data(str(tmp_path / "d.parquet"))


# ---- What is odd about classes ----


@pytest.mark.parametrize("other", ["calm ", " calm", "Calm", "CALM\u00a0"])
def test_classes_that_differ_in_spaces_or_capitals_are_named(tmp_path: Path, other: str) -> None:
    data = load(tmp_path, ["calm", "loud", "calm", "loud", "calm", other, other, other])
    assert data.task.num_labels == 3
    (note,) = said(data, "differ in spaces or capitals only")
    assert "'calm' (3 rows)" in note
    assert f"{other!r} (3 rows)" in note


def test_a_misspelt_label_is_named_with_its_one_row(tmp_path: Path) -> None:
    data = load(tmp_path, ["calm", "loud"] * 5 + ["clam"])
    assert said(data, "classes with fewer than 3 rows: 'clam' (1 row)")


def test_a_class_that_the_evaluation_set_lacks_is_named(tmp_path: Path) -> None:
    (tmp_path / "dev.csv").write_text("text,label\na,calm\nb,loud\n")
    data = load(tmp_path, ["calm", "loud", "mute"] * 4, dev=tmp_path / "dev.csv")
    assert said(data, "classes of the training set without a row in dev: 'mute' (4 rows)")
    held_out = load(tmp_path, ["calm", "loud"] * 9 + ["mute"], dev=None)
    assert said(held_out, "without a row in dev: 'mute' (1 row)")


def test_hundreds_of_rare_classes_do_not_fill_the_screen(tmp_path: Path) -> None:
    (note,) = said(load(tmp_path, [f"class {row}" for row in range(500)]), "fewer than 3 rows")
    assert note.endswith("and 492 more")
    assert len(note) < 300


def test_classes_in_order_are_not_talked_about(tmp_path: Path) -> None:
    for labels, more in ((["calm", "loud"], ""), ([-1, 1], "; `--task regression` reads them as scores")):
        data = load(tmp_path, labels * 9)
        assert [note for note in data.notes if "classes" in note] == [
            f"the labels are read as 2 classes ({labels[0]}, {labels[1]}){more}"
        ]
    assert not [note for note in load(tmp_path, [0.5, 1.5, 2.5]).notes if "classes with" in note]
