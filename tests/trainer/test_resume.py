"""A run resumed from any of its checkpoints ends as the run that was never interrupted: weights, state, log history."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from transformers import EarlyStoppingCallback, TrainerCallback


from conftest import make_texts
from test_training import assert_same, codir, make_trainer, weights_of

pytestmark = pytest.mark.training

TIMES = ("runtime", "per_second")
"""What differs between two runs of anything: how long it took."""


def state_of(trainer) -> dict:
    """Everything that the trainer's state says, without times and folders."""
    state = {name: value for name, value in vars(trainer.state).items() if name != "best_model_checkpoint"}
    state["log_history"] = [
        {name: value for name, value in line.items() if not name.endswith(TIMES)} for line in state["log_history"]
    ]
    return state


def steps_saved(folder: Path) -> list[int]:
    return sorted(int(path.name.removeprefix("checkpoint-")) for path in folder.glob("checkpoint-*"))


def assert_resumes_from_each(tmp_path, make, *, least: int = 1) -> None:
    """Train once, then go on from each checkpoint in a folder that holds what the run had written by then."""
    straight = make(tmp_path / "straight")
    straight.train()
    saved = steps_saved(tmp_path / "straight" / "run")
    assert len(saved) >= least
    for step in saved:
        folder = tmp_path / f"from-{step}"
        for earlier in saved[: saved.index(step) + 1]:
            name = f"run/checkpoint-{earlier}"
            shutil.copytree(tmp_path / "straight" / name, folder / name)
        torch.manual_seed(999)  # whatever another process would have done to the generators
        resumed = make(folder)
        resumed.train(resume_from_checkpoint=True)
        assert state_of(resumed) == state_of(straight), step
        assert_same(weights_of(resumed), weights_of(straight))
        assert steps_saved(folder / "run") == saved, step


class Taken(TrainerCallback):
    """Counts the steps that were really taken."""

    def __init__(self) -> None:
        self.steps = 0

    def on_step_end(self, *args, **kwargs) -> None:
        self.steps += 1


STRATEGIES = [
    (save, evaluation, logging)
    for save in ("steps", "epoch", "best")
    for evaluation in ("no", "steps", "epoch")
    for logging in ("steps", "epoch")
    if (save, evaluation) != ("best", "no")
]
SMALL = {"num_train_epochs": 2, "save_steps": 2, "eval_steps": 3, "logging_steps": 3, "max_length": 16}


@pytest.mark.parametrize(("save", "evaluation", "logging"), STRATEGIES)
def test_a_checkpoint_whose_strategies_make_it_end_elsewhere(tmp_path, tokenizer, save, evaluation, logging):
    settings = {**SMALL, "save_strategy": save, "eval_strategy": evaluation, "logging_strategy": logging}
    if save == "best":
        settings |= {"metric_for_best_model": "loss", "greater_is_better": False}
    train, dev = make_texts(40), make_texts(16, seed=5)

    def make(folder):
        return make_trainer(folder, tokenizer, train=train, eval_dataset=dev, **settings)

    assert_resumes_from_each(tmp_path, make)
