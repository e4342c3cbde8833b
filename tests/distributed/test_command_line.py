"""Two processes on the command line must do what one does, end as one does, and lose nothing where one of them dies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from safetensors.numpy import load_file
from transformers import AutoModelForSequenceClassification, BertTokenizer

from codir.trainer.checkpoints import last_complete_checkpoint
from conftest import SPECIAL, WORDS, make_texts
from families import FAMILIES

STEPS = 50
WATCHED = Path(__file__).with_name("watched.py")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
ACCELERATE = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes=2", "--num_machines=1"]
ACCELERATE += ["--mixed_precision=no", "--dynamo_backend=no", "--main_process_port=0"]
DESCENT = {"optim": "sgd", "learning_rate": "0.05", "lr_scheduler_type": "constant", "warmup_steps": "0"}
"""Plain descent: Adam would make large steps of the rounding in which one process differs from two."""


@pytest.fixture(scope="module")
def material(tmp_path_factory) -> Path:
    """A teacher without dropout, whose masks would differ from process to process, and rows for whole batches of 8."""
    folder = tmp_path_factory.mktemp("material")
    off = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config = FAMILIES["bert"](num_labels=2, num_hidden_layers=3, **off)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder / "teacher")
    BertTokenizer(vocab={word: i for i, word in enumerate(SPECIAL + WORDS)}).save_pretrained(folder / "teacher")
    for name, rows, seed in (("train", 8 * STEPS, 0), ("uneven", 59, 2), ("dev", 20, 1)):
        make_texts(rows, seed=seed).to_csv(folder / f"{name}.csv", index=False)
    rows, rng = make_texts(8 * STEPS, seed=0), np.random.default_rng(3)
    answered = [(text, rng.random(), rng.normal(size=8).tolist()) for text in rows["text"]]
    lines = [{"text": text, "p_0": share, "p_1": 1 - share, "vector": vector} for text, share, vector in answered]
    (folder / "answers.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    return folder


def words(
    material: Path, output: Path, more: dict | None = None, *, command: str = "distill", data: str = "train", **training
) -> list[str]:
    """A command; `training` is laid over what is quick and plain."""
    own = {
        "distill": ["--teacher", material / "teacher", "--student-layers", "2", "--cache-dir", f"{output}-cache"],
        "finetune": ["--model", material / "teacher"],
    }[command]
    common = ["--data", material / f"{data}.csv", "--dev", material / "dev.csv", "--max-length", "32"]
    quick = {"use_cpu": "true", "disable_tqdm": "true", "eval_strategy": "no", "precision": "fp32", **training}
    settings = {f"training.{key}": value for key, value in quick.items()} | {"keep_checkpoints": "true"}
    if command == "distill":
        settings = {"objectives.contrastive.num_negatives": 20, **settings, **(more or {})}
    given = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    return [command, *map(str, [*own, *common, *given]), "--output-dir", str(output)]


def start(launcher: list[str], command: list[str], *, watched: Path | None = None) -> subprocess.Popen[str]:
    script = ["-m", "codir"] if watched is None else [str(WATCHED)]
    if launcher == ACCELERATE and watched is None:
        script = ["--module", "codir"]
    environment = ENVIRONMENT if watched is None else {**ENVIRONMENT, "WATCHED": str(watched)}
    line = [sys.executable, *launcher, *script, *command]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def run(launcher: list[str], command: list[str], *, watched: Path | None = None) -> str:
    """What was printed by a command that ends well."""
    process = start(launcher, command, watched=watched)
    printed, _ = process.communicate(timeout=600)
    assert process.returncode == 0, printed[-4000:]
    return printed


def weights(folder: Path) -> np.ndarray:
    tensors = load_file(folder / "model.safetensors")
    return np.concatenate([tensors[name].ravel() for name in sorted(tensors)])


def losses(folder: Path) -> np.ndarray:
    """Of each step: the loss and every term, from the newest checkpoint."""
    checkpoint = last_complete_checkpoint(folder / "checkpoints")
    assert checkpoint is not None
    history = json.loads((checkpoint / "trainer_state.json").read_text())["log_history"]
    terms = [{k: v for k, v in entry.items() if k.startswith("loss")} for entry in history if "loss" in entry]
    return np.array([[entry[name] for name in sorted(terms[0])] for entry in terms])


# ---- In CI ----


@pytest.mark.training
def test_a_command_that_fails_in_every_process_but_one(material, tmp_path):
    """Exit code 0, one table, one set of files; and a mistake is told once."""
    printed = run(TORCHRUN, words(material, tmp_path / "out", data="uneven", per_device_train_batch_size=4))
    assert printed.count("training_curves.png") == 1
    assert printed.count("the text is read from column") == 1
    assert json.loads((tmp_path / "out" / "report.json").read_text())["student"]["metrics"]
    left = {path.name for path in (tmp_path / "out").iterdir() if path.name.startswith(".")}
    assert left == {".codir-files.jsonl"}
    again = start(TORCHRUN, words(material, tmp_path / "out", data="uneven"))
    refused, _ = again.communicate(timeout=300)
    assert again.returncode != 0
    assert refused.count("which is not empty") == 1


# ---- In `make test-distributed` ----


@pytest.mark.distributed
@pytest.mark.parametrize("launcher", [TORCHRUN, ACCELERATE], ids=["torchrun", "accelerate"])
def test_a_teacher_that_two_processes_cannot_make(material, tmp_path, launcher):
    command = words(material, tmp_path / "out", command="finetune", data="uneven", per_device_train_batch_size=4)
    printed = run(launcher, command)
    assert printed.count("\nNext: train again with `--overwrite`") == printed.count("reading the data") == 1
    AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    evaluation = ["evaluate", "--model", str(tmp_path / "out"), "--data", str(material / "dev.csv")]
    printed = run(launcher, [*evaluation, "--max-length", "32", "--output", str(tmp_path / "metrics.json")])
    assert printed.count("reading the data") == printed.count("By class") == 1
    assert json.loads((tmp_path / "metrics.json").read_text())["accuracy"] >= 0


KINDS = {
    "bank": {"teacher.cache": "true"},
    "queue": {
        "teacher.cache": "false",
        "objectives.contrastive.memory": "queue",
        "objectives.contrastive.keys": "queued",
        "objectives.contrastive.queue_size": "40",
    },
    "file": {
        "teacher.model": "{material}/answers.jsonl",
        "student.layers": "null",
        "student.checkpoint": "{material}/teacher",
    },
}
"""The bank with a cached teacher, the queue with a live one, and a teacher that is a file."""


@pytest.mark.distributed
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", ["random", "group_by_length"])
def test_two_processes_that_train_another_student(material, tmp_path, kind, order):
    """The same rows in each step, so the same losses and weights, whether the teacher is cached or live.

    Negatives are drawn for each micro-batch, so the one process reads each step in two of them.
    """
    for processes in (1, 2):
        settings = {**DESCENT, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 2 // processes}
        settings |= {"logging_steps": 1, "num_train_epochs": 1}
        more = {key: value.format(material=material) for key, value in KINDS[kind].items()}
        command = words(material, tmp_path / str(processes), more, train_sampling_strategy=order, **settings)
        run(TORCHRUN if processes == 2 else [], command, watched=tmp_path)
    alone, together = (losses(tmp_path / str(processes)) for processes in (1, 2))
    assert len(alone) == STEPS
    np.testing.assert_allclose(together, alone, atol=1e-5)
    start_of, end_of = weights(tmp_path / "1"), weights(tmp_path / "2")
    np.testing.assert_allclose(end_of, start_of, atol=1e-5)
    seen = [json.loads((tmp_path / f"{rank}-of-2.json").read_text()) for rank in (0, 1)]
    assert seen[0] == seen[1]
    assert len(set(seen[0])) == STEPS


@pytest.mark.distributed
@pytest.mark.parametrize("launcher", [TORCHRUN, ACCELERATE], ids=["torchrun", "accelerate"])
def test_a_killed_process_that_hangs_the_others_or_loses_the_run(material, tmp_path, launcher):
    """An uneven last batch in each epoch, a kill in the middle, and after `--resume` the weights of a quiet run."""
    settings = {"per_device_train_batch_size": 4, "num_train_epochs": 6, "save_strategy": "steps", "save_steps": 5}
    settings |= {"save_total_limit": 3}
    run(launcher, words(material, tmp_path / "straight", data="uneven", **settings), watched=tmp_path)
    seen = [json.loads((tmp_path / f"{rank}-of-2.json").read_text()) for rank in (0, 1)]
    assert seen[0] == seen[1]
    assert len(seen[0]) == 48

    command = words(material, tmp_path / "out", data="uneven", **settings)
    job = start(launcher, command)
    while last_complete_checkpoint(tmp_path / "out" / "checkpoints") is None:
        assert job.poll() is None, job.communicate()[0][-4000:]
        time.sleep(0.01)
    member_of(job, rank=1).kill()
    printed, _ = job.communicate(timeout=60)
    assert job.returncode != 0
    assert "--resume" in printed, printed[-4000:]
    assert "Saved so far" in printed
    assert not (tmp_path / "out" / "model.safetensors").exists()
    run(launcher, [*command, "--resume"])
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == (
        tmp_path / "straight" / "model.safetensors"
    ).read_bytes()


def member_of(job: subprocess.Popen[str], *, rank: int) -> psutil.Process:
    """The process of one rank."""
    (found,) = (
        child
        for child in psutil.Process(job.pid).children(recursive=True)
        if child.environ().get("RANK") == str(rank) and "codir" in " ".join(child.cmdline())
    )
    return found
