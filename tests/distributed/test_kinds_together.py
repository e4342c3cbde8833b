"""Two processes on the command line must train the same tagger, reranker and reader of questions as one does."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from test_command_line import DESCENT, TORCHRUN, losses, run, weights

import codir
from codir.models import load_model, load_tokenizer
from codir.trainer.checkpoints import last_complete_checkpoint
from kind_worlds import WORLDS, answers, data_of, fill_world

pytestmark = pytest.mark.distributed

PLAIN = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "initializer_range": 0.1}
RUNS = {
    "token_classification": "codir",
    "question_answering": "codir",
    "reranking": "rerank-margin",
    "multi_label": "kd",
    "embedding": "embed-soft",
}


@pytest.fixture(scope="module")
def world_of(once_per_suite, tokenizer):
    """Without dropout, whose masks would differ from process to process."""
    return lambda kind: once_per_suite(f"plain-{kind}", lambda folder: fill_world(kind, folder, tokenizer, **PLAIN))


def in_place_of(world: Path, folder: Path) -> Path:
    """A file of what the model says of every text, and beside it the student that would be cut from the model."""
    files = [(world / f"{name}.csv").read_text() for name in ("train", "dev")]
    rows = [row for content in files for row in csv.DictReader(content.splitlines())]
    texts = [row[column] for row in rows for column in ("text", "text_pair")]
    tokenizer = load_tokenizer(world / "model")
    model = load_model(world / "model", tokenizer)
    with torch.no_grad():
        said = answers(model, tokenizer, texts)
    pq.write_table(pa.table({"text": texts, "vector": said.tolist()}), folder / "vectors.parquet")
    codir.build_student(model, layers=1).save_pretrained(folder / "student")
    tokenizer.save_pretrained(folder / "student")
    return folder / "vectors.parquet"


def command_of(kind: str, world: Path, output: Path, file: Path | None = None, **training: object) -> list[str]:
    """The student is cut from the model, or lies beside the file that is the teacher."""
    settings: dict[str, object] = {f"training.{key}": value for key, value in training.items()}
    settings |= {f"data.{key}": value for key, value in data_of(kind, world).items() if key not in ("source", "dev")}
    settings |= {"objectives.preset": RUNS[kind], "keep_checkpoints": True}
    settings |= {"objectives.contrastive.num_negatives": 20} if RUNS[kind] == "codir" else {}
    settings |= {"objectives.embedding_contrast.num_negatives": 20} if RUNS[kind] == "embed-soft" else {}
    given = [word for key, value in settings.items() for word in ("--set", f"{key}={json.dumps(value)}")]
    files = [
        word for key, flag in (("source", "--data"), ("dev", "--dev")) for word in (flag, data_of(kind, world)[key])
    ]
    teacher = ["--teacher", str(world / "model"), "--student-layers", "1", "--cache-dir", f"{output}-cache"]
    teacher = teacher if file is None else ["--teacher", str(file), "--student", str(file.with_name("student"))]
    return ["distill", *teacher, *files, *given, "--output-dir", str(output)]


@pytest.mark.parametrize(("kind", "taught_by"), [*((kind, "a model") for kind in WORLDS), ("embedding", "a file")])
def test_two_processes_that_train_another_student_of_a_kind(kind, taught_by, world_of, tmp_path):
    """Every step reads the same rows in the same micro-batches; one report is written, with the same scores.

    A last step of fewer rows would not: two processes fill it up.
    """
    file = None if taught_by == "a model" else in_place_of(world_of(kind), tmp_path)
    for processes in (1, 2):
        settings = {**DESCENT, "learning_rate": 0.01, "per_device_train_batch_size": 6, "max_steps": 8}
        settings |= {"gradient_accumulation_steps": 2 // processes, "logging_steps": 1, "precision": "fp32"}
        settings |= {"use_cpu": True, "disable_tqdm": True, "eval_strategy": "steps", "eval_steps": 8}
        settings |= {"save_steps": 8, "warmup_steps": 0}
        command = command_of(kind, world_of(kind), tmp_path / str(processes), file, **settings)
        printed = run(TORCHRUN if processes == 2 else [], command)
        assert printed.count("training_curves.png") == 1
    alone, together = (losses(tmp_path / str(processes)) for processes in (1, 2))
    assert len(alone) == 8
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(weights(tmp_path / "2"), weights(tmp_path / "1"), atol=1e-5)
    if file is not None:
        assert np.abs(weights(tmp_path / "1") - weights(tmp_path / "student")).max() > 1e-4
    reports = [json.loads((tmp_path / str(processes) / "report.json").read_text()) for processes in (1, 2)]
    assert reports[1]["student"]["metrics"] == pytest.approx(reports[0]["student"]["metrics"], abs=1e-3)
    evaluated = [evaluations(tmp_path / str(processes)) for processes in (1, 2)]
    assert evaluated[1] == pytest.approx(evaluated[0], abs=2e-2)


def evaluations(folder: Path) -> dict[str, float]:
    """The metrics that the trainer itself found in the end, on evaluation rows that two processes read in parts.

    Its loss is a mean over batches, of which two processes have others.
    """
    checkpoint = last_complete_checkpoint(folder / "checkpoints")
    assert checkpoint is not None
    history = json.loads((checkpoint / "trainer_state.json").read_text())["log_history"]
    last = [line for line in history if any(key.startswith("eval_") for key in line)][-1]
    return {
        key: value
        for key, value in last.items()
        if not key.endswith(("loss", "runtime", "per_second", "model_preparation_time"))
    }
