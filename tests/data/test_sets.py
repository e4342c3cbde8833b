"""Several labels in a row: each form in which people write them is read as the same rows, and nothing else is."""

from __future__ import annotations

import json
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import codir
from codir.data import build_negative_sampler, from_datasets, load_data
from codir.data.negatives import SetNegativeSampler
from codir.data.sources.labels import LabelOptions
from codir.errors import UserError
from codir.tasks import KINDS

SETS = [["calm"], ["loud", "mute"], [], ["calm", "mute"], ["loud"]] * 4
NAMES = ("calm", "loud", "mute")
FLAGS = [[float(name in labels) for name in NAMES] for labels in SETS]
TEXTS = [f"text number {row}" for row in range(len(SETS))]


def write(folder: Path, form: str) -> tuple[Path, dict]:
    """The same rows in one of the forms; and what `load_data` has to be told beside the task."""
    file = folder / f"rows.{'csv' if form in ('columns', 'texts') else 'parquet' if form == 'parquet' else 'jsonl'}"
    if form == "columns":
        lines = [",".join([text, *(f"{flag:g}" for flag in row)]) for text, row in zip(TEXTS, FLAGS, strict=True)]
        file.write_text("\n".join([f"text,{','.join(NAMES)}", *lines]) + "\n")
        return file, {"label_column": list(NAMES)}
    if form == "texts":
        lines = [f"{text},{'; '.join(labels)}" for text, labels in zip(TEXTS, SETS, strict=True)]
        file.write_text("\n".join(["text,label", *lines]) + "\n")
        return file, {"label_separator": ";"}
    if form == "parquet":
        pq.write_table(pa.table({"text": TEXTS, "label": SETS}), file)
        return file, {}
    cells = {"names": SETS, "flags": [[int(flag) for flag in row] for row in FLAGS], "numbers": SETS}[form]
    if form == "numbers":
        cells = [[NAMES.index(name) for name in labels] for labels in SETS]
    file.write_text("".join(json.dumps({"text": t, "label": c}) + "\n" for t, c in zip(TEXTS, cells, strict=True)))
    return file, {} if form == "names" else {"labels": NAMES}


def rows_of(data: codir.data.LoadedData) -> dict[str, list[float]]:
    parts = [data.train, *data.dev.values()] if data.train is not None else [*data.dev.values()]
    return {row["text"]: row["label"] for part in parts for row in part}


@pytest.mark.parametrize("form", ["columns", "texts", "parquet", "names", "flags", "numbers"])
def test_a_form_of_writing_several_labels_that_is_read_as_other_rows(tmp_path, form):
    file, told = write(tmp_path, form)
    data = load_data(str(file), task="multi_label", **told)
    assert data.task.kind == "multi_label"
    assert data.task.label_names == NAMES
    assert rows_of(data) == dict(zip(TEXTS, FLAGS, strict=True))
    assert any("3 labels, 1.2 per row, 4 rows with none" in note for note in data.notes)
    scored = load_data(str(file), task="multi_label", evaluation_only=True, num_labels=3, model_names=NAMES, **told)
    assert rows_of(scored) == rows_of(data)


def test_class_labels_of_a_sequence_that_lose_their_names(tmp_path):
    feature = datasets.Features(
        {"text": datasets.Value("string"), "labels": datasets.Sequence(datasets.ClassLabel(names=["z", "a", "m"]))}
    )
    cells = [[("calm", "loud", "mute").index(name) for name in labels] for labels in SETS]
    rows = datasets.Dataset.from_dict({"text": TEXTS, "labels": cells}, features=feature)
    data = from_datasets(rows, labels=LabelOptions(task="multi_label"))
    assert data.task.label_names == ("z", "a", "m")
    assert rows_of(data) == dict(zip(TEXTS, FLAGS, strict=True))
    rows.to_parquet(tmp_path / "rows.parquet")
    again = load_data(str(tmp_path / "rows.parquet"), task="multi_label")
    assert again.task == data.task
    assert rows_of(again) == rows_of(data)


def test_columns_in_another_order_than_the_models_labels(tmp_path):
    file, told = write(tmp_path, "columns")
    data = load_data(
        str(file), evaluation_only=True, num_labels=3, model_names=("mute", "loud", "calm"), task="multi_label", **told
    )
    assert data.task.label_names == ("mute", "loud", "calm")
    assert rows_of(data) == {text: row[::-1] for text, row in zip(TEXTS, FLAGS, strict=True)}


def test_several_columns_that_do_not_say_what_they_are(tmp_path):
    file, told = write(tmp_path, "columns")
    assert load_data(str(file), **told).task.kind == "multi_label"
    with pytest.raises(UserError, match="expected one column, or several different ones of 0 and 1"):
        load_data(str(file), task="classification", **told)
    with pytest.raises(UserError, match="got calm, calm"):
        load_data(str(file), label_column=["calm", "calm"])
    with pytest.raises(UserError, match="expected a column 'soft'"):
        load_data(str(file), label_column=["calm", "soft"])


def test_a_column_with_commas_in_its_name(tmp_path):
    (tmp_path / "rows.csv").write_text('text,"good,bad"\n' + "a,up\nb,down\n" * 10)
    assert load_data(str(tmp_path / "rows.csv"), label_column=["good", "bad"]).task.label_names == ("down", "up")


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([["a"], "b"], r"row 2: expected a list of labels.*label_separator"),
        ([["a"], None], r"row 2: expected a list of labels, got no value.*empty list"),
        ([["a", None], ["b"]], "row 1: expected names or numbers of labels, got None"),
        ([["a"], ["a"]], "expected at least two labels"),
    ],
    ids=["text", "no value", "no label", "one label"],
)
def test_a_cell_that_is_no_set_of_labels(tmp_path, cells, message):
    lines = [json.dumps({"text": f"t {row}", "label": cell}) + "\n" for row, cell in enumerate(cells)]
    (tmp_path / "rows.jsonl").write_text("".join(lines))
    with pytest.raises(UserError, match=message):
        load_data(str(tmp_path / "rows.jsonl"), task="multi_label")


@pytest.mark.parametrize("cell", ["2", "yes", ""])
def test_a_column_of_a_label_with_something_else_in_it(tmp_path, cell):
    (tmp_path / "rows.csv").write_text(f"text,a,b\nx,0,1\ny,{cell},0\n")
    with pytest.raises(UserError, match=r"column 'a', row [12]: expected 0 or 1"):
        load_data(str(tmp_path / "rows.csv"), label_column=["a", "b"])


def test_a_list_that_is_taken_for_several_labels_where_nobody_asked(tmp_path):
    file, _ = write(tmp_path, "names")
    with pytest.raises(UserError, match="--task multi_label"):
        load_data(str(file))


def test_a_label_that_only_the_evaluation_set_has(tmp_path):
    file, _ = write(tmp_path, "names")
    (tmp_path / "dev.jsonl").write_text(json.dumps({"text": "x", "label": ["soft"]}) + "\n")
    with pytest.raises(UserError, match=r"expected a label known from training.*got 'soft'"):
        load_data(str(file), task="multi_label", dev=tmp_path / "dev.jsonl")


# ---- Negatives ----


def test_negatives_that_share_a_label_with_their_anchor():
    rng = np.random.default_rng(0)
    labels = (rng.random((400, 6)) < 0.2).astype(float)
    labels[::17] = np.nan
    kind, rows = KINDS["multi_label"], np.arange(400)
    settings = {"num_examples": 400, "count": 30, "batch_size": 16, "kind": kind}
    sampler = build_negative_sampler(labels, strategy="auto", **settings)
    assert isinstance(sampler, SetNegativeSampler)
    seen = set()
    for batch in np.split(rng.permutation(400)[:384], 24):
        drawn = sampler.sample(batch)
        for row, group in zip(batch, drawn.group, strict=True):
            negatives = drawn.index[group]
            assert len({*negatives}) == 30
            if np.isnan(labels[row]).any():
                assert not {*negatives} & {*batch}
                continue
            assert not np.isnan(labels[negatives]).any()
            assert (labels[negatives] @ labels[row] == 0).all()
            assert labels[row].any() or labels[negatives].any(axis=1).all()
            seen |= {(int(row), int(one)) for one in negatives}
    assert len({one for _, one in seen}) > 300  # of 376 with a label, every one is some row's negative
    is_negative, is_kin = sampler.relate(rows, rows)
    shares = np.nan_to_num(labels) @ np.nan_to_num(labels).T > 0
    has, known = np.nan_to_num(labels).any(axis=1), ~np.isnan(labels).any(axis=1)
    shares |= ~has[:, None] & ~has[None]
    both = known[:, None] & known[None]
    assert (is_negative[known] == (~shares & both)[known]).all()
    assert (is_kin == (shares & both) | np.eye(400, dtype=bool)).all()
    allowed = sampler.allows(np.arange(16), rows)
    groups = np.unique(sampler.labels[:16], return_inverse=True)[1]
    assert all((allowed[groups[row]] == is_negative[row]).all() for row in range(16) if known[row])


def test_every_row_that_is_allowed_drawn_about_as_often():
    labels = np.array([[1.0, 0, 0]] * 5 + [[1, 1, 0]] * 10 + [[0, 1, 0]] * 20 + [[0, 0, 1]] * 5)
    places = KINDS["multi_label"].places(labels)
    samplers = [SetNegativeSampler(places, count=5, batch_size=1, seed=seed) for seed in range(500)]
    drawn = np.bincount(np.concatenate([one.sample(np.array([0])).index[0] for one in samplers]), minlength=40)
    assert drawn[:15].sum() == 0
    assert drawn[15:].min() > 60  # 100 each on average


def test_a_label_that_no_row_is_without():
    labels = np.array([[1.0, 1], [1, 0], [1, 1]])
    with pytest.raises(UserError, match=r"without any of its labels.*none for label set \[0"):
        build_negative_sampler(labels, num_examples=3, count=1, batch_size=1, kind=KINDS["multi_label"])


def test_truth_values_as_pandas_writes_them(tmp_path):
    lines = [",".join([text, *(str(bool(flag)) for flag in row)]) for text, row in zip(TEXTS, FLAGS, strict=True)]
    (tmp_path / "rows.csv").write_text("\n".join([f"text,{','.join(NAMES)}", *lines]) + "\n")
    data = load_data(str(tmp_path / "rows.csv"), label_column=list(NAMES))
    assert rows_of(data) == dict(zip(TEXTS, FLAGS, strict=True))


@pytest.mark.parametrize(
    ("name", "written", "settings", "advice"),
    [
        ("rows.csv", "text,label\na,\"['calm', 'loud']\"\n", {}, "save the data as JSON lines or Parquet"),
        ("rows.csv", "text,label\na,\"['calm', 'loud']\"\n", {"label_separator": ","}, "JSON lines or Parquet"),
        ("rows.csv", "text,label\na,\nb,calm; loud\n", {}, '--set "data.label_separator=;"'),
        ("rows.jsonl", '{"text": "a", "label": {"calm": 1, "loud": 0}}\n', {}, "a column of 0 and 1 for each label"),
        ("rows.csv", "text,calm,loud\na,1,0\n", {}, "--label-column first,second,third"),
    ],
    ids=["a list in a cell", "a list that is separated", "no separator", "an object", "columns that nobody named"],
)
def test_labels_in_a_form_that_cannot_be_read_without_a_way_out(tmp_path, name, written, settings, advice):
    (tmp_path / name).write_text(written)
    with pytest.raises(UserError) as caught:
        load_data(str(tmp_path / name), task="multi_label", **settings)
    assert advice in str(caught.value)


def test_the_advice_on_separators_that_is_no_yaml():
    from codir.config.yaml import parse_settings

    assert parse_settings(["data.label_separator=;"]) == {"data": {"label_separator": ";"}}


def write_lists(path: Path, cells: list[list[int]]) -> str:
    path.write_text("".join(json.dumps({"text": f"{path.stem} {n}", "label": c}) + "\n" for n, c in enumerate(cells)))
    return str(path)


def test_lists_that_are_numbers_in_one_file_and_flags_in_another(tmp_path):
    train = write_lists(tmp_path / "train.jsonl", [[0, 1], [2]] * 10)
    data = load_data(train, dev=write_lists(tmp_path / "dev.jsonl", [[0, 1], [1, 0]]), task="multi_label")
    assert data.dev["dev"]["label"][:] == [[1.0, 1.0, 0.0]] * 2


def test_flags_that_become_numbers_where_one_row_has_fewer(tmp_path):
    train = write_lists(tmp_path / "train.jsonl", [[0, 1, 1], [1, 0, 0]] * 10)
    with pytest.raises(UserError, match=r"row 2: expected 3 numbers 0 and 1, a flag for each label.*got \[1, 0\]"):
        load_data(train, dev=write_lists(tmp_path / "dev.jsonl", [[0, 1, 1], [1, 0]]), task="multi_label")


def test_numbers_of_labels_that_are_scored_as_flags(tmp_path):
    """A model of three labels, and rows that all have two of the first two: flags, or their numbers?"""
    file = write_lists(tmp_path / "dev.jsonl", [[0, 1], [1, 0]])
    with pytest.raises(UserError, match="a flag for each of the 3 labels that the model has, got lists of 2 numbers"):
        load_data(file, task="multi_label", evaluation_only=True, num_labels=3)
