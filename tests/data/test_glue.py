"""GLUE in its own layout: real files where the machine holds them, and small ones written here for the other tasks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from codir.data.sources import tables
from codir.data.sources.glue import GLUE_TASKS, find_glue_task
from codir.data.sources.load import load_data
from codir.errors import UserError

GLUE_DIR = Path(os.environ.get("CODIR_GLUE_DIR", Path(__file__).parents[3] / "shared" / "data" / "glue"))
NAMES = ["CoLA", "SST-2", "MRPC", "QQP", "STS-B", "MNLI", "QNLI", "RTE", "WNLI"]

SMALL_FILES = {
    "QNLI": (
        "index\tquestion\tsentence\tlabel",
        '0\tWho?\tHe said "no.\tentailment',
        "1\tWhen?\tHere.\tnot_entailment",
    ),
    "QQP": (
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate",
        '0\t1\t2\t"Why" is it so?\tWhy?\t1',
        "1\t3\t4\tHow?\tWho?\t0",
        "2\t5\t6\tcut off",
        "3\t7\t8\t\tempty?\t0",
    ),
    "WNLI": ("index\tsentence1\tsentence2\tlabel", "0\tIt fell.\tThe cup fell.\t1", "1\tIt fell.\tThe sun fell.\t0"),
    "MNLI": (
        "index\tgenre\tsentence1\tsentence2\tlabel1\tgold_label",
        "0\tfiction\tA man.\tA person.\tneutral\tentailment",
        "1\tfiction\tA man.\tA tall man.\tneutral\tneutral",
        "2\tfiction\tA man.\tNo man.\tneutral\tcontradiction",
    ),
}


def write_task(folder: Path, name: str) -> Path:
    task_folder = folder / name
    task_folder.mkdir(parents=True)
    for part in ("train", *find_glue_task(name).dev_parts):
        (task_folder / f"{part}.tsv").write_text("\n".join(SMALL_FILES[name]) + "\n", encoding="utf-8")
    return folder


def test_every_task_of_glue_is_there() -> None:
    assert [task.name for task in GLUE_TASKS] == NAMES


@pytest.mark.parametrize(
    ("name", "train_rows", "dev_rows", "first_label", "is_pair"),
    [
        ("SST-2", 67_349, 872, 0, False),
        ("CoLA", 8_551, 1_043, 1, False),
        ("MRPC", 3_668, 408, 1, True),
        ("STS-B", 5_749, 1_500, 5.0, True),
        ("RTE", 2_490, 277, 1, True),
    ],
)
def test_no_row_of_the_real_files_is_lost_to_a_quote(
    name: str, train_rows: int, dev_rows: int, first_label: float, is_pair: bool
) -> None:
    if not GLUE_DIR.is_dir():
        pytest.skip(f"no GLUE data at {GLUE_DIR}; CODIR_GLUE_DIR names another folder")
    data = load_data(f"glue:{name}", data_dir=GLUE_DIR)
    assert data.train is not None
    assert (len(data.train), len(data.dev["dev"])) == (train_rows, dev_rows)
    assert data.train[0]["label"] == first_label
    assert data.train.column_names == (["text", "text_pair", "label"] if is_pair else ["text", "label"])
    assert data.task.metrics == find_glue_task(name).metrics
    assert not [note for note in data.notes if "skipped" in note]


@pytest.mark.parametrize(
    ("name", "text", "pair", "labels", "names"),
    [
        ("QNLI", "Who?", 'He said "no.', [0, 1], ("entailment", "not_entailment")),
        ("QQP", '"Why" is it so?', "Why?", [1, 0], ("not_duplicate", "duplicate")),
        ("WNLI", "It fell.", "The cup fell.", [1, 0], ("not_entailment", "entailment")),
        ("MNLI", "A man.", "A person.", [0, 1, 2], ("entailment", "neutral", "contradiction")),
    ],
)
def test_columns_are_not_taken_by_position_and_labels_keep_the_official_order(
    tmp_path: Path, name: str, text: str, pair: str, labels: list[int], names: tuple[str, ...]
) -> None:
    data = load_data(f"glue:{name}", data_dir=write_task(tmp_path, name))
    assert data.train is not None
    assert data.train[0] == {"text": text, "text_pair": pair, "label": labels[0]}
    assert data.train["label"][:] == labels
    assert data.task.label_names == names
    assert data.task.id2label == dict(enumerate(names))


def test_mnli_does_not_lose_its_second_dev_set(tmp_path: Path) -> None:
    data = load_data("glue:mnli", data_dir=str(write_task(tmp_path, "MNLI")))
    assert {name: len(rows) for name, rows in data.dev.items()} == {"dev_matched": 3, "dev_mismatched": 3}


def test_broken_rows_of_qqp_are_not_skipped_in_silence(tmp_path: Path) -> None:
    notes = load_data("glue:QQP", data_dir=write_task(tmp_path, "QQP")).notes
    assert "train.tsv: skipped 1 row with a wrong number of cells" in notes
    assert "train.tsv: skipped 1 row with an empty text or label" in notes


def test_a_name_without_hyphen_or_a_folder_in_lower_case_is_still_found(tmp_path: Path) -> None:
    write_task(tmp_path, "WNLI").joinpath("WNLI").rename(tmp_path / "wnli")
    assert load_data("GLUE:W-NLI", data_dir=tmp_path).task.num_labels == 2


def test_evaluation_does_not_need_the_training_file(tmp_path: Path) -> None:
    write_task(tmp_path, "QNLI").joinpath("QNLI", "train.tsv").unlink()
    data = load_data("glue:QNLI", data_dir=tmp_path, evaluation_only=True)
    assert data.train is None
    assert len(data.dev["dev"]) == 2


def test_a_dev_set_without_one_of_the_classes_keeps_the_class_order(tmp_path: Path) -> None:
    write_task(tmp_path, "MNLI")
    for name in find_glue_task("MNLI").dev_parts:
        path = tmp_path / "MNLI" / f"{name}.tsv"
        path.write_text("\n".join((SMALL_FILES["MNLI"][0], SMALL_FILES["MNLI"][3])))
    data = load_data("glue:MNLI", data_dir=tmp_path, evaluation_only=True)
    assert data.dev["dev_matched"]["label"][:] == [2]
    assert data.task.num_labels == 3


def test_a_teachers_own_label_order_does_not_mix_up_classes_given_as_numbers(tmp_path: Path) -> None:
    data = load_data("glue:WNLI", data_dir=write_task(tmp_path, "WNLI"), labels=("entailment", "not_entailment"))
    assert data.train is not None
    assert data.train["label"][:] == [0, 1]


def test_a_file_of_another_task_is_not_read_as_this_one(tmp_path: Path) -> None:
    write_task(tmp_path, "QNLI").joinpath("QNLI").rename(tmp_path / "RTE")
    with pytest.raises(UserError, match=r"RTE train.tsv: expected a column 'sentence1', got the columns 'index'"):
        load_data("glue:RTE", data_dir=tmp_path)


def test_a_class_that_is_none_of_the_tasks_is_refused(tmp_path: Path) -> None:
    write_task(tmp_path, "WNLI")
    (tmp_path / "WNLI" / "train.tsv").write_text("index\tsentence1\tsentence2\tlabel\n0\ta\tb\t2\n1\ta\tb\t0\n")
    with pytest.raises(UserError, match=r"labels: expected the 2 classes .* got 2 in the data: '2', 'not_entailment'"):
        load_data("glue:WNLI", data_dir=tmp_path)


def test_an_unknown_task_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'glue:SST-3'.*did you mean 'SST-2'"):
        load_data("glue:SST-3", data_dir=tmp_path)


def test_a_missing_task_folder_is_answered_with_those_that_are_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"expected a folder 'RTE' .*, got WNLI"):
        load_data("glue:RTE", data_dir=write_task(tmp_path, "WNLI"))


def test_a_missing_dev_file_is_not_replaced_by_training_rows(tmp_path: Path) -> None:
    write_task(tmp_path, "WNLI").joinpath("WNLI", "dev.tsv").unlink()
    with pytest.raises(UserError, match=r"dev.tsv': expected a file.*valid values are 'train.tsv'"):
        load_data("glue:WNLI", data_dir=tmp_path)


def test_a_file_with_only_a_header_is_empty(tmp_path: Path) -> None:
    write_task(tmp_path, "WNLI").joinpath("WNLI", "train.tsv").write_text(SMALL_FILES["WNLI"][0] + "\n")
    with pytest.raises(UserError, match="expected at least one row"):
        load_data("glue:WNLI", data_dir=tmp_path)


def test_the_hubs_copy_has_other_column_names(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = ClassLabel(names=["entailment", "neutral", "contradiction"])
    features = Features({"premise": Value("string"), "hypothesis": Value("string"), "label": labels})
    rows = Dataset.from_dict({"premise": ["a", "b"], "hypothesis": ["c", "d"], "label": [2, 0]}, features=features)
    hub = DatasetDict({"train": rows, "validation_matched": rows, "validation_mismatched": rows})
    monkeypatch.setattr(tables, "load_dataset", lambda name, config: hub)
    data = load_data("glue:MNLI")
    assert data.train is not None
    assert data.train[0] == {"text": "a", "text_pair": "c", "label": 2}
    assert set(data.dev) == {"dev_matched", "dev_mismatched"}


@pytest.mark.parametrize(
    ("source", "message"),
    [("glue:RTE", "no data folder given, and the hub"), ("someone/something", "no such file, and the hub")],
)
def test_an_unreachable_hub_ends_in_a_message_and_not_in_a_traceback(source: str, message: str) -> None:
    with pytest.raises(UserError, match=f"{message} could not be reached"):
        load_data(source)  # `conftest` takes the hub away
