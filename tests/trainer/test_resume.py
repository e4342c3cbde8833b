"""A run resumed from any of its checkpoints ends as the run that was never interrupted: weights, state, log history."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from test_training import arguments, assert_same, make_trainer, weights_of
from transformers import EarlyStoppingCallback, TrainerCallback

from codir.config import preset_names, read_preset
from codir.data import load_corpus
from codir.runs import preset
from codir.runs.objectives import presets_for
from codir.student import build_student
from codir.tasks import KINDS
from codir.trainer import DistillationTrainer, PretrainingTrainer
from conftest import make_texts
from families import tiny_classifier, tiny_language_model

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
"""With four steps an epoch: checkpoints within epochs and at their ends, evaluation and log lines between them."""


@pytest.mark.parametrize(("save", "evaluation", "logging"), STRATEGIES)
def test_a_checkpoint_whose_strategies_make_it_end_elsewhere(tmp_path, tokenizer, save, evaluation, logging):
    settings = {**SMALL, "save_strategy": save, "eval_strategy": evaluation, "logging_strategy": logging}
    if save == "best":
        settings |= {"metric_for_best_model": "loss", "greater_is_better": False}
    train, dev = make_texts(28), make_texts(16, seed=5)

    def make(folder):
        return make_trainer(folder, tokenizer, train=train, eval_dataset=dev, **settings)

    assert_resumes_from_each(tmp_path, make)


def small_preset(name: str, **settings):
    """A preset that is cut to the size of the tests."""
    contrast = read_preset(name)["objectives"].get("contrastive")
    small = {"num_negatives": 4, "projection_dim": 8, "queue_size": 16}
    return preset(name, **settings, **({} if contrast is None else {"contrastive": small}))


@pytest.mark.parametrize("name", presets_for(KINDS["classification"]))
def test_a_preset_that_a_resume_ends_elsewhere(tmp_path, tokenizer, name):
    """Checkpoints within epochs, at their ends, and at the borders of stages."""
    needs_teacher = small_preset(name).needs.teacher

    def make(folder):
        teacher = tiny_classifier("bert", num_labels=2, seed=1)
        student = build_student(teacher, layers=2)
        args = arguments(
            folder / "run",
            **{**SMALL, "save_steps": 1, "save_strategy": "steps", "eval_strategy": "epoch", "teacher_cache": True},
            teacher_cache_dir=tmp_path / "cache",
        )
        return DistillationTrainer(
            teacher if needs_teacher else None,
            student,
            args,
            small_preset(name),
            make_texts(16),
            make_texts(8, seed=5),
            tokenizer,
        )

    assert_resumes_from_each(tmp_path, make, least=4)


@pytest.mark.parametrize("name", preset_names("pretrain"))
def test_a_preset_of_pretraining_that_a_resume_ends_elsewhere(tmp_path, tokenizer, name):
    texts = make_texts(40, kind="none", longest=30).select_columns(["text"])
    corpus = load_corpus(texts, tokenizer, max_length=16, cache_dir=tmp_path / "corpus")
    train, dev = corpus.select(range(16)), corpus.select(range(16, 24))
    needs_teacher = small_preset(name).needs.teacher

    def make(folder):
        teacher = tiny_language_model("bert", seed=1)
        chosen = {**SMALL, "save_steps": 1, "save_strategy": "steps", "eval_strategy": "epoch", "max_steps": 4}
        return PretrainingTrainer(
            teacher if needs_teacher else None,
            build_student(teacher, layers=2),
            arguments(folder / "run", **chosen),
            small_preset(name),
            train,
            dev,
            tokenizer,
        )

    assert_resumes_from_each(tmp_path, make, least=4)


@pytest.mark.parametrize(
    "settings",
    [
        {"max_steps": 7},  # in the middle of an epoch
        {"num_train_epochs": 1.5},
        {"max_steps": 7, "save_strategy": "epoch", "eval_strategy": "epoch"},
        {"gradient_accumulation_steps": 3, "save_steps": 1},  # whose last step of an epoch has one micro-batch
        {"train_sampling_strategy": "random"},
        {"dataloader_num_workers": 1, "dataloader_persistent_workers": True},
        {"dataloader_drop_last": True},
        {"eval_on_start": True, "eval_strategy": "steps"},
        {"logging_first_step": True, "logging_steps": 100},
        {"lr_scheduler_type": "reduce_lr_on_plateau", "eval_strategy": "epoch", "metric_for_best_model": "loss"},
        {"lr_scheduler_type": "cosine", "warmup_steps": 3, "neftune_noise_alpha": 5.0},
        {"load_best_model_at_end": True, "eval_strategy": "steps", "eval_steps": 2, "save_total_limit": 1},
        {"precision": "bf16"},
        {"logging_nan_inf_filter": True, "include_num_input_tokens_seen": "all"},
    ],
    ids=str,
)
def test_a_setting_that_a_resume_ends_elsewhere(tmp_path, tokenizer, settings):
    chosen = {**SMALL, "save_strategy": "steps", **settings}
    train, dev = make_texts(28), make_texts(16, seed=5)

    def make(folder):
        return make_trainer(folder, tokenizer, train=train, eval_dataset=dev, **chosen)

    assert_resumes_from_each(tmp_path, make)


@pytest.mark.parametrize("evaluation", ["steps", "epoch"])
def test_a_run_that_stopped_early_and_trains_on(tmp_path, tokenizer, evaluation):
    train, dev = make_texts(28), make_texts(16, seed=5)
    chosen = {**SMALL, "num_train_epochs": 6, "save_strategy": "steps", "save_steps": 3, "eval_strategy": evaluation}
    chosen |= {"logging_strategy": "epoch", "metric_for_best_model": "first", "greater_is_better": True}

    def make(folder):
        trainer = make_trainer(
            folder,
            tokenizer,
            train=train,
            eval_dataset=dev,
            compute_metrics=lambda answers: {"first": -float(trainer.state.global_step)},  # worse at every evaluation
            callbacks=[EarlyStoppingCallback(early_stopping_patience=2)],
            **chosen,
        )
        return trainer

    assert_resumes_from_each(tmp_path, make, least=3)


@pytest.mark.parametrize("length", [{"max_steps": 7}, {"num_train_epochs": 1.5}, {"num_train_epochs": 2}])
def test_a_run_that_had_taken_its_last_step_and_takes_another(tmp_path, tokenizer, length):
    settings = {"save_strategy": "steps", "save_steps": 100, "eval_strategy": "epoch", "train": make_texts(28)}
    settings |= {"eval_dataset": make_texts(16, seed=5), **length}
    straight = make_trainer(tmp_path, tokenizer, **settings)
    straight.train()
    taken = Taken()
    resumed = make_trainer(tmp_path, tokenizer, callbacks=[taken], **settings)
    result = resumed.train(resume_from_checkpoint=True)
    assert taken.steps == 0
    assert result.training_loss == straight.state.log_history[-1]["train_loss"]
    assert state_of(resumed) == state_of(straight)
    assert_same(weights_of(resumed), weights_of(straight))
