"""`--dry-run` says what a run would take and leaves nothing; early stopping stops; a finished run says so."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from test_cli import bad, files, pretrained, run, teacher  # noqa: F401 - fixtures
from test_display import distill_words

from codir.config import FinetuneConfig, TrainingConfig, validate
from codir.data import encode_windows, load_data
from codir.runs.rehearsal import count_evaluations, count_steps
from codir.runs.rehearse import rehearse
from kind_worlds import TRAIN_ROWS, data_of, fill_world

pytestmark = pytest.mark.training


@pytest.fixture
def codir(monkeypatch, capsys):
    """The command, run in this process: `codir("distill", "--teacher", ...)` gives exit code and output."""
    return lambda *words: run(monkeypatch, capsys, *words)


def paths_in(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_dry_run_that_writes(codir, teacher, files, tmp_path, tmp_path_factory, monkeypatch):  # noqa: F811
    scratch = tmp_path_factory.mktemp("scratch")
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    (tmp_path / "out").mkdir()
    before = paths_in(tmp_path)
    code, said = codir(*distill_words(teacher, files, tmp_path), "--dry-run")
    assert code == 0, said
    assert paths_in(tmp_path) == before
    assert os.listdir(scratch) == []
    for line in (
        "training rows 240",
        "evaluation rows 120",
        "epochs 2",
        "steps 30",
        "time of a step ",
        "disk, the teacher's cache ",
        "disk, checkpoints",
        "memory, of this process",
        "time in all",
    ):
        assert line in said, line  # fmt: skip
    assert "is read from column" in said


def test_a_dry_run_of_fine_tuning_that_writes(codir, pretrained, files, tmp_path):  # noqa: F811
    before = paths_in(tmp_path)
    words = ["--model", pretrained, "--data", files["csv"], "--output-dir", tmp_path / "out", "--max-length", 32]
    code, said = codir("finetune", *words, "--max-steps", 50, "--dry-run", "--set", "training.use_cpu=true")
    assert code == 0, said
    assert "steps 50 " in said
    assert paths_in(tmp_path) == before


def test_a_dry_run_that_counts_questions_where_steps_read_windows(tmp_path, tokenizer):
    fill_world("question_answering", tmp_path, tokenizer)
    data = data_of("question_answering", tmp_path, max_length=20)
    training = {"num_train_epochs": 1, "per_device_train_batch_size": 8, "use_cpu": True, "precision": "fp32"}
    config = {"model": str(tmp_path / "model"), "data": data, "training": training, "output_dir": str(tmp_path / "out")}
    told = rehearse(FinetuneConfig.model_validate(config))
    assert told.rows == TRAIN_ROWS
    windows = len(encode_windows(load_data(data["source"], task="question_answering").train, tokenizer, max_length=20))
    assert windows > 1.2 * TRAIN_ROWS
    assert told.steps == pytest.approx(windows / 8, rel=0.2)


def test_a_dry_run_that_promises_what_the_run_refuses(codir, teacher, files, tmp_path):  # noqa: F811
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    code, said = codir(*distill_words(teacher, files, tmp_path), "--dry-run")
    assert code == 2
    assert "not empty" in said


def test_a_complete_run_that_does_not_say_so(codir, teacher, files, tmp_path):  # noqa: F811
    words = distill_words(teacher, files, tmp_path, "--baseline")
    assert codir(*words)[0] == 0
    assert not (tmp_path / "out" / "checkpoints").exists()
    assert not (tmp_path / "out" / "baseline" / "checkpoints").exists()
    before = paths_in(tmp_path / "out")
    code, said = codir(*words, "--resume")
    assert code == 0
    assert "is complete" in said
    assert "training" not in said
    assert paths_in(tmp_path / "out") == before


def test_early_stopping_that_does_not_stop(codir, pretrained, files, tmp_path):  # noqa: F811
    """At a learning rate of nothing no evaluation is better than the first."""
    words = ["--model", pretrained, "--data", files["csv"], "--dev", files["dev"], "--max-length", 32]
    words += ["--output-dir", tmp_path / "out", "--epochs", 9, "--early-stopping", 2, "--best", "--keep-checkpoints"]
    code, said = codir("finetune", *words, "--learning-rate", 1e-12, "--set", "training.use_cpu=true")
    assert code == 0, said
    last = max((tmp_path / "out" / "checkpoints").iterdir(), key=lambda path: int(path.name.rpartition("-")[2]))
    state = json.loads((last / "trainer_state.json").read_text())
    evaluations = [entry for entry in state["log_history"] if "eval_accuracy" in entry]
    assert len(evaluations) == 3
    assert state["best_global_step"] == evaluations[0]["step"]
    assert state["best_metric"] == evaluations[0]["eval_accuracy"]
    assert {path.name for path in (tmp_path / "out" / "checkpoints").iterdir()} == {"checkpoint-8", "checkpoint-24"}
    assert "Next: train again with `--overwrite`; the model is no better than one answer" in said
    assert f"Model: {tmp_path / 'out'}" in said
    assert "Training stopped early, after 24 of 72 steps." in said
    assert "The model of step 8 is kept, the best by `accuracy`." in said


@pytest.mark.parametrize("flag", [["--early-stopping", "2"], ["--best"]])
def test_a_judgement_without_evaluation_that_is_refused_late(codir, tmp_path, flag):
    words = ["--teacher", "none", "--data", "none", "--student-layers", "2", "--output-dir", tmp_path / "out"]
    said = bad(codir, "distill", *words, *flag, "--set", "training.eval_strategy=no")
    assert "expected evaluation while training" in said
    assert flag[0] in said


def test_a_comparison_whose_runs_end_at_different_steps(codir, tmp_path):
    words = ["--teacher", "none", "--data", "none", "--student-layers", "2", "--output-dir", tmp_path / "out"]
    said = bad(codir, "compare", *words, "--presets", "kd", "--set", "training.early_stopping_patience=2")
    assert "trained to their end" in said


def finetuning(**training: object) -> FinetuneConfig:
    return validate(FinetuneConfig, {"model": "m", "data": {"source": "d"}, "output_dir": "o", "training": training})


@pytest.mark.parametrize(
    ("training", "expected"),
    [
        ({}, (24, 3.0, 3)),
        ({"gradient_accumulation_steps": 3}, (9, 3.0, 3)),
        ({"num_train_epochs": 0.5}, (4, 0.5, 1)),
        ({"max_steps": 20, "eval_strategy": "steps", "eval_steps": 8}, (20, 2.5, 3)),
        ({"max_steps": 20, "eval_strategy": "steps", "eval_steps": 0.1}, (20, 2.5, 10)),
        ({"eval_strategy": "no", "dataloader_drop_last": True}, (21, 3.0, 0)),
    ],
)
def test_steps_counted_otherwise_than_by_the_trainer(training, expected):
    config = finetuning(**training)
    steps, epochs = count_steps(config, rows=250)
    assert (steps, epochs, count_evaluations(config, steps, epochs)) == expected


@pytest.mark.parametrize("steps", [20, 30, 76, 400, 12_345])
def test_a_curve_of_too_few_points(steps):
    """`logging_steps` below 1 is a share of all steps, rounded up as `Trainer` does."""
    share = TrainingConfig().logging_steps
    every = -(-steps * share // 1)
    assert 20 <= steps // every <= 40
