"""`--teacher answers.parquet`: from a model's predictions to a student, its report and its card."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForSequenceClassification, BartConfig

from codir import cli
from conftest import make_texts
from families import tiny_classifier

pytestmark = pytest.mark.training

SHORT = ["--preset", "kd", "--max-steps", "6", "--batch-size", "8", "--max-length", "16", "--precision", "fp32"]


@pytest.fixture(scope="module")
def made(once_per_suite, tokenizer) -> Path:
    """Data for training and evaluation, a teacher that can tell the classes apart, and a model for the student."""

    def fill(folder: Path) -> None:
        for name, rows, seed in (("train", 48, 0), ("dev", 24, 1)):
            texts = make_texts(rows, seed=seed)
            words = ["bad" if label == 0 else "good" for label in texts["label"][:]]
            texts = texts.remove_columns("label").add_column("label", words)
            texts = texts.add_column("uid", [f"{name}-{row}" for row in range(rows)])
            texts.to_csv(folder / f"{name}.csv", index=False)
        names = {"id2label": {0: "bad", 1: "good"}, "label2id": {"bad": 0, "good": 1}}
        teacher = tiny_classifier("bert", num_labels=2, layers=1, seed=1)
        teacher.config.update(names)
        with torch.no_grad():  # the higher the number of a word, the better
            numbers = torch.arange(100.0) / 100 - 0.5
            teacher.bert.embeddings.word_embeddings.weight.copy_(numbers[:, None] * torch.ones(32))
        teacher.save_pretrained(folder / "teacher")
        tokenizer.save_pretrained(folder / "teacher")
        tiny_classifier("bert", num_labels=2, layers=2, seed=3).bert.save_pretrained(folder / "small")
        tokenizer.save_pretrained(folder / "small")

    return once_per_suite("answers-teacher", fill)


@pytest.fixture
def codir(made, monkeypatch, capsys, tmp_path):
    """The command, run in this process and in a folder of its own: exit code and output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rich.console.Console.width", 200, raising=False)

    def run(*words: str | Path) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["codir", *map(str, words)])
        try:
            cli.main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        printed = capsys.readouterr()
        return code, " ".join((printed.out + printed.err).split())

    return run


def answers_to(path: Path, *sources: Path, right: float = 0.8) -> Path:
    """Answers that agree with the labels of these files, by text and by id."""
    rows = [row for source in sources for row in csv.DictReader(source.read_text().splitlines())]
    good = np.array([right if row["label"] == "good" else 1 - right for row in rows])
    columns = {"text": [row["text"] for row in rows], "uid": [row["uid"] for row in rows]}
    pq.write_table(pa.table({**columns, "p_good": good, "p_bad": 1 - good}), path)
    return path


def test_predictions_that_cannot_be_a_teacher(made, codir, tmp_path):
    """What `codir evaluate --predictions` writes teaches the student that the model itself teaches."""
    code, said = codir(
        *("evaluate", "--model", made / "teacher", "--data", made / "train.csv"),
        *("--max-length", "16", "--predictions", "answers.tsv"),
    )
    assert code == 0, said
    usual = ["--data", made / "train.csv", "--dev", made / "dev.csv", "--student", made / "small", *SHORT]
    for teacher, name in ((made / "teacher", "by-model"), ("answers.tsv", "by-file")):
        code, said = codir("distill", "--teacher", teacher, *usual, "--output-dir", name)
        assert code == 0, said
    students = [AutoModelForSequenceClassification.from_pretrained(tmp_path / n) for n in ("by-model", "by-file")]
    for ours, theirs in zip(*(student.parameters() for student in students), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    assert students[0].config.id2label == students[1].config.id2label == {0: "bad", 1: "good"}


def test_a_report_with_a_teacher_that_nobody_asked(made, codir, tmp_path):
    answers = answers_to(tmp_path / "answers.parquet", made / "train.csv")
    code, said = codir(
        *("distill", "--teacher", answers, "--data", made / "train.csv", "--dev", made / "dev.csv"),
        *("--student", made / "small", "--baseline", *SHORT, "--output-dir", "student"),
    )
    assert code == 0, said
    note = "answers.parquet does not answer all rows of dev, so the report has no row of the teacher"
    assert note in said
    report = json.loads((tmp_path / "student/report.json").read_text())
    for key in ("teacher", "retention", "agreement", "baseline_agreement", "speedup"):
        assert report[key] is None, key
    assert any("answers as the labels of 100.0% of 48 labelled training rows say" in one for one in report["notes"])
    assert any(note in one for one in report["notes"])
    assert set(report["intervals"]) == {"student", "baseline"}
    page = (tmp_path / "student/report.md").read_text()
    assert "| student |" in page
    assert "| teacher |" not in page
    assert "agreement" in (tmp_path / "student/report.html").read_text().lower()
    card = (tmp_path / "student/README.md").read_text()
    assert "on the answers in `answers.parquet`" in card
    assert str(tmp_path) not in card


def test_a_teacher_that_answers_the_evaluation_rows_and_is_left_out(made, codir, tmp_path):
    answers = answers_to(tmp_path / "answers.parquet", made / "train.csv", made / "dev.csv")
    code, said = codir(
        *("distill", "--teacher", answers, "--id-column", "uid", "--data", made / "train.csv"),
        *("--dev", made / "dev.csv", "--student", made / "small", *SHORT, "--output-dir", "student"),
    )
    assert code == 0, said
    report = json.loads((tmp_path / "student/report.json").read_text())
    assert report["teacher"]["metrics"]["accuracy"] == 1.0
    assert report["teacher"]["parameters"] is None
    assert report["retention"] == pytest.approx(report["student"]["metrics"]["accuracy"])
    assert report["agreement"] == pytest.approx(report["student"]["metrics"]["accuracy"])
    rows = [
        line for line in (tmp_path / "student/report.md").read_text().splitlines() if line.startswith("| teacher |")
    ]
    assert rows[0].split(" | ")[1:] == ["100.0%", "100.0%", "—", "—", "—", "—", "— |"]


def test_a_comparison_that_needs_a_model(made, codir, tmp_path):
    answers = answers_to(tmp_path / "answers.parquet", made / "train.csv")
    words = ["compare", "--teacher", answers, "--data", made / "train.csv", "--dev", made / "dev.csv"]
    words += ["--student", made / "small", "--seeds", "1", *SHORT[2:], "--output-dir", "compared"]
    code, said = codir(*words, "--presets", "fine-tune,kd")
    assert code == 0, said
    found = json.loads((tmp_path / "compared/results.json").read_text())
    assert found["teacher"] == {}
    assert [run["agreement"] for run in found["runs"]] == [None, None]
    assert "teacher" not in (tmp_path / "compared/table.md").read_text().split("| preset")[1]
    code, said = codir(*words, "--presets", "kd,codir", "--overwrite")
    assert code == 2
    assert "codir, objectives: expected objectives that need no more of the teacher than answers" in said
    assert "take one of the presets fine-tune, kd, logit-mse" in said
    assert "; a contrast works too where the file has a column `vector`" in said


def test_a_rehearsal_of_a_file_that_does_not_fit(made, codir, tmp_path):
    answers = answers_to(tmp_path / "answers.parquet", made / "train.csv")
    words = ["distill", "--teacher", answers, "--student", made / "small", *SHORT, "--output-dir", "student"]
    code, said = codir(*words, "--data", made / "train.csv", "--dev", made / "dev.csv", "--dry-run")
    assert code == 0, said
    assert "time of a step" in said
    code, said = codir(*words, "--data", made / "dev.csv", "--dry-run")
    assert code == 2
    assert "expected an answer to each of the" in said
    assert not (tmp_path / "student").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["distill", "--student-layers", "1"],
            "student: expected `checkpoint`, since the teacher is a file, answers.parquet",
        ),
        (["distill", "--student", "small", "--preset", "tinybert"], "take one of the presets fine-tune, kd, logit-mse"),
        (["distill", "--student", "small", "--preset", "kd", "--labels", "good,bad,awful"], "labels: expected"),
        (["sweep", "--depths", "1"], "expected a model, for `codir sweep`"),
        (
            ["distill", "--teacher", "teacher", "--student", "small", "--id-column", "uid"],
            "a file of answers as the teacher",
        ),
        (["distill", "--teacher", "missing.parquet", "--student", "small"], "none of that name"),
    ],
)
def test_what_a_file_cannot_do(made, codir, tmp_path, words, said):
    answers = answers_to(tmp_path / "answers.parquet", made / "train.csv")
    words = [made / word if word in ("small", "teacher") else word for word in words]
    usual = [] if "--teacher" in words else ["--teacher", answers]
    usual += ["--data", made / "train.csv", "--dev", made / "dev.csv", *SHORT[2:], "--output-dir", "student"]
    code, printed = codir(*words, *usual)
    assert code == 2, printed
    assert said in printed
    assert not (tmp_path / "student").exists()


@pytest.fixture(scope="module")
def two_stacks(once_per_suite, made, tokenizer) -> Path:
    """A classifier with an encoder and a decoder."""
    shape = {"d_model": 8, "encoder_layers": 1, "decoder_layers": 1, "pad_token_id": tokenizer.pad_token_id}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
    ends = {"eos_token_id": tokenizer.sep_token_id, "decoder_start_token_id": tokenizer.sep_token_id}
    names = {"id2label": {0: "bad", 1: "good"}, "label2id": {"bad": 0, "good": 1}}
    config = BartConfig(vocab_size=len(tokenizer), **shape, **heads, **ends, **names, forced_eos_token_id=None)

    def fill(folder: Path) -> None:
        AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)

    return once_per_suite("two-stacks", fill)


def test_an_encoder_with_a_decoder_that_answers_and_whose_layers_are_read(made, two_stacks, codir, tmp_path):
    """As the teacher and as a file's student it has answers, which are all that `kd` reads of it."""
    words = ["--data", made / "train.csv", "--dev", made / "dev.csv", *SHORT, "--max-steps", "1", "--output-dir"]
    answers = answers_to(tmp_path / "answers.parquet", made / "train.csv", made / "dev.csv")
    for role, teacher, student in (("teacher", two_stacks, made / "small"), ("student", answers, two_stacks)):
        code, said = codir("distill", "--teacher", teacher, "--student", student, *words, tmp_path / role)
        assert code == 0, said
    both = ["distill", "--teacher", two_stacks, "--student", made / "small", *words, tmp_path / "none"]
    code, said = codir(*both, "--preset", "pooled-mse")
    assert code == 2
    assert "teacher, for objectives that read layers: expected an encoder or a decoder, got model type bart" in said
    left_out = json.loads((tmp_path / "teacher" / "report.json").read_text())["analysis"]["left_out"]
    assert "Layers are left out: BartForSequenceClassification gives no hidden states." in left_out
