"""GLUE's unlabelled test rows, and answers in the form that its server wants."""

from __future__ import annotations

from pathlib import Path

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from codir.data import read_submissions
from codir.data.sources import tables
from codir.data.sources.glue import GLUE_TASKS, find_glue_task
from codir.errors import UserError

HEADERS = {
    "CoLA": "index\tsentence",
    "SST-2": "index\tsentence",
    "MRPC": "index\t#1 ID\t#2 ID\t#1 String\t#2 String",
    "QQP": "id\tquestion1\tquestion2",
    "STS-B": "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2",
    "MNLI": "index\tpromptID\tpairID\tgenre\tsentence1_parse\tsentence2_parse\tsentence1\tsentence2",
    "QNLI": "index\tquestion\tsentence",
    "RTE": "index\tsentence1\tsentence2",
    "WNLI": "index\tsentence1\tsentence2",
}
"""The first lines of the test files in GLUE's own download."""
SENTENCES = {
    "MRPC": "#1 String #2 String",
    "QQP": "question1 question2",
    "QNLI": "question sentence",
    "CoLA": "sentence",
    "SST-2": "sentence",
}
WANTED = {
    "CoLA": {"CoLA.tsv": ["0", "1"]},
    "SST-2": {"SST-2.tsv": ["0", "1"]},
    "MRPC": {"MRPC.tsv": ["0", "1"]},
    "QQP": {"QQP.tsv": ["0", "1"]},
    "STS-B": {"STS-B.tsv": ["0.000", "1.000"]},
    "MNLI": {name: ["entailment", "neutral"] for name in ("MNLI-m.tsv", "MNLI-mm.tsv", "AX.tsv")},
    "QNLI": {"QNLI.tsv": ["entailment", "not_entailment"]},
    "RTE": {"RTE.tsv": ["entailment", "not_entailment"]},
    "WNLI": {"WNLI.tsv": ["0", "1"]},
}
"""Names of files, and what the answers 0 and 1 are there; from the list on gluebenchmark.com/submit."""
FILES = ["CoLA", "SST-2", "MRPC", "STS-B", "QQP", "MNLI-m", "MNLI-mm", "QNLI", "RTE", "WNLI", "AX"]


def write_rows(file: Path, header: str) -> None:
    texts = ['He said "no.', "Why?"]
    columns = header.split("\t")
    first, *_ = [name for name in columns if name.startswith(("sentence", "question", "#")) and "ID" not in name]
    lines = [header]
    for row in range(2):
        cells = {name: f"{name}-{row}" for name in columns} | {columns[0]: str(row), first: f"{texts[row]} {row}"}
        lines.append("\t".join(cells[name] for name in columns))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_tests(folder: Path, name: str) -> Path:
    for part in find_glue_task(name).test_parts:
        write_rows(folder / name / f"{part}.tsv", HEADERS[name])
    if name == "MNLI":
        write_rows(folder / "diagnostic" / "diagnostic.tsv", "index\tsentence1\tsentence2")
    return folder


def test_a_file_of_the_servers_that_no_task_writes():
    assert list(WANTED) == list(HEADERS)
    assert {task.name for task in GLUE_TASKS} == set(WANTED)
    assert sorted(file for of_task in WANTED.values() for file in of_task) == sorted(f"{name}.tsv" for name in FILES)


@pytest.mark.parametrize("name", list(WANTED))
def test_answers_that_the_server_would_not_take(tmp_path, name):
    found = read_submissions(f"glue:{name}", write_tests(tmp_path, name))
    assert [one.file_name for one in found] == list(WANTED[name])
    for one in found:
        predictions = WANTED[name][one.file_name]
        assert one.write([0, 1]) == f"index\tprediction\n0\t{predictions[0]}\n1\t{predictions[1]}\n"
        is_pair = len(SENTENCES.get(name, "two texts").split()) > 1
        assert one.rows.column_names == (["text", "text_pair"] if is_pair else ["text"])


def test_a_test_row_that_a_quote_or_the_wrong_column_changes(tmp_path):
    rows = read_submissions("glue:MRPC", write_tests(tmp_path, "MRPC"))[0].rows
    assert rows[0] == {"text": 'He said "no. 0', "text_pair": "#2 String-0"}
    rows = read_submissions("glue:MNLI", write_tests(tmp_path, "MNLI"))[0].rows
    assert rows[1]["text_pair"] == "sentence2-1"


def test_a_score_outside_of_zero_to_five(tmp_path):
    (one,) = read_submissions("glue:stsb", write_tests(tmp_path, "STS-B"))
    assert one.write([-0.2, 5.4]).split() == ["index", "prediction", "0", "0.000", "1", "5.000"]
    assert one.write([3.14159, 2.0005]).split()[3::2] == ["3.142", "2.001"]


def test_a_model_whose_classes_stand_in_another_order_than_the_servers(tmp_path):
    (rte,) = read_submissions("glue:RTE", write_tests(tmp_path, "RTE"))
    assert rte.write([0, 1], ("not_entailment", "entailment")).split()[3::2] == ["not_entailment", "entailment"]
    (wnli,) = read_submissions("glue:WNLI", write_tests(tmp_path, "WNLI"))
    assert wnli.write([0, 1], ("entailment", "not_entailment")).split()[3::2] == ["1", "0"]


def test_rows_that_the_server_counts_otherwise(tmp_path):
    write_tests(tmp_path, "RTE")
    file = tmp_path / "RTE" / "test.tsv"
    file.write_text("index\tsentence1\tsentence2\n7\ta\tb\n3\tc\t\n")
    (one,) = read_submissions("glue:RTE", tmp_path)
    assert one.write([0, 0]).split()[2::2] == ["7", "3"]
    assert one.rows["text_pair"][:] == ["b", ""]  # an empty text is a row that the server asks about
    file.write_text("sentence1\tsentence2\na\tb\nc\td\n")
    assert read_submissions("glue:RTE", tmp_path)[0].index == ("0", "1")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("0\ta\n", "line 2"),
        ("0\ta\tb\tc\n", "line 2"),
        ("0\ta\tb\n0\tc\td\n", "got one number twice"),
        ("x\ta\tb\n", "expected a different whole number in each row, got x"),
        ("", "no rows"),
    ],
)
def test_a_test_row_that_is_left_out_in_silence(tmp_path, rows, message):
    (write_tests(tmp_path, "RTE") / "RTE" / "test.tsv").write_text(f"index\tsentence1\tsentence2\n{rows}")
    with pytest.raises(UserError, match=message):
        read_submissions("glue:RTE", tmp_path)


def test_labelled_rows_taken_for_test_rows_of_another_task(tmp_path):
    write_tests(tmp_path, "QNLI")
    (tmp_path / "QNLI").rename(tmp_path / "RTE")
    with pytest.raises(
        UserError, match=r"RTE test.tsv: expected the columns of GLUE's test rows, among them 'sentence1'"
    ):
        read_submissions("glue:RTE", tmp_path)


@pytest.mark.parametrize("source", ["reviews.csv", "someone/glue", "sst2"])
def test_data_that_the_server_does_not_score(source):
    with pytest.raises(UserError, match="submission: expected a task of GLUE as the data, such as `glue:RTE`"):
        read_submissions(source, None)


def test_no_diagnostic_set_that_stops_a_submission_of_mnli(tmp_path):
    write_tests(tmp_path, "MNLI")
    (tmp_path / "diagnostic" / "diagnostic.tsv").rename(tmp_path / "MNLI" / "diagnostic.tsv")
    assert [one.file_name for one in read_submissions("glue:MNLI", tmp_path)] == list(WANTED["MNLI"])
    (tmp_path / "MNLI" / "diagnostic.tsv").unlink()
    assert [one.file_name for one in read_submissions("glue:MNLI", tmp_path)] == ["MNLI-m.tsv", "MNLI-mm.tsv"]


def test_the_hubs_copy_whose_test_rows_have_a_label_that_is_none(monkeypatch):
    features = Features(
        {
            "premise": Value("string"),
            "hypothesis": Value("string"),
            "label": ClassLabel(names=["entailment", "neutral", "contradiction"]),
            "idx": Value("int32"),
        }
    )
    content = {"premise": ["a", "b"], "hypothesis": ["c", "d"], "label": [-1, -1], "idx": [0, 1]}
    rows = Dataset.from_dict(content, features=features)
    hub = {
        "mnli": DatasetDict({"test_matched": rows, "test_mismatched": rows.select([1])}),
        "ax": DatasetDict({"test": rows}),
    }
    monkeypatch.setattr(tables, "load_dataset", lambda name, config: hub[config])
    found = {one.file_name: one for one in read_submissions("glue:MNLI", None)}
    assert list(found) == list(WANTED["MNLI"])
    assert found["MNLI-mm.tsv"].write([2]) == "index\tprediction\n1\tcontradiction\n"
    assert found["AX.tsv"].rows[0] == {"text": "a", "text_pair": "c"}
