"""What `codir evaluate` shows and writes beside its scores."""

from __future__ import annotations

import json
import sys

import pytest

from codir import cli
from conftest import make_texts
from families import tiny_classifier

pytestmark = pytest.mark.filterwarnings("default")  # as for a user, a library's warning is no error


@pytest.fixture
def folder(tmp_path, tokenizer, monkeypatch):
    for name, seed in (("student", 1), ("teacher", 2)):
        tiny_classifier("bert", num_labels=2, layers=1, seed=seed).save_pretrained(tmp_path / name)
        tokenizer.save_pretrained(tmp_path / name)
    make_texts(40).to_csv(tmp_path / "dev.csv", index=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    return tmp_path


def run(monkeypatch, capsys, *words: str) -> tuple[int, str]:
    usual = ["--model", "student", "--data", "dev.csv", "--max-length", "32"]
    monkeypatch.setattr(sys, "argv", ["codir", "evaluate", *usual, *words])
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0), "".join(capsys.readouterr())
    return 0, "".join(capsys.readouterr())


def test_a_second_model_that_the_tables_leave_out(folder, monkeypatch, capsys):
    words = ["--against", "teacher", "--differences", "rows.tsv", "--differing-rows", "3", "--output", "found.json"]
    code, printed = run(monkeypatch, capsys, *words, "--predictions", "answers.jsonl")
    assert code == 0, printed
    for shown in (
        "model - second model",
        "Against teacher",
        "share of rows where both models answer the same",
        "Speed",
    ):
        assert shown in " ".join(printed.split())
    assert [line for line in printed.splitlines() if line.startswith("Written:")] == [
        f"Written: {name}" for name in ("found.json", "answers.jsonl", "rows.tsv")
    ]
    assert len((folder / "rows.tsv").read_text().splitlines()) == 4
    assert len((folder / "answers.jsonl").read_text().splitlines()) == 40
    found = json.loads((folder / "found.json").read_text())
    assert found["against"]["model"] == "teacher"
    calibration = found["calibration"]["model"]
    assert f"{calibration['expected_calibration_error']:.1%}" in printed
    assert f"{calibration['brier_score']:.3f}" in printed


def test_a_table_of_one_model_that_names_a_second(folder, monkeypatch, capsys):
    code, printed = run(monkeypatch, capsys)
    assert code == 0, printed
    assert "second model" not in printed
    assert "calibration error  Brier score  mean confidence" in printed
    assert "Written" not in printed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--differences", "rows.tsv"], "--differences: expected a second model beside it"),
        (
            ["--predictions", "answers.csv"],
            "--predictions: expected a file whose name ends in .tsv, .jsonl or .parquet",
        ),
        (["--submission", "out"], "submission: expected a task of GLUE as the data, such as `glue:RTE`, got 'dev.csv'"),
        (["--predictions", "dev.tsv/x.tsv"], "'dev.tsv': expected a file or folder that can be read and written"),
        (["--output", "x.tsv", "--predictions", "x.tsv"], "expected another file than `predictions`"),
        (["--against", "nowhere/model"], "nowhere/model"),
    ],
)
def test_bad_input_that_is_no_message(folder, monkeypatch, capsys, words, message):
    (folder / "dev.tsv").touch()
    code, printed = run(monkeypatch, capsys, *words)
    assert code == 2
    assert message in " ".join(printed.replace("│", " ").split())
    assert {path.name for path in folder.iterdir()} == {"student", "teacher", "dev.csv", "dev.tsv"}
