"""Rows without a label: micro-batches and processes must add up to the mean over the labelled rows of a whole step."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import test_pretraining
import torch
from test_training import PLAIN_DESCENT, make_trainer, run_processes
from transformers import TrainerCallback

from codir.data import load_corpus
from codir.objectives import HardLabel, SoftTarget, WeightedObjectives
from codir.signals import IGNORED_CLASS
from codir.tasks import KINDS
from codir.trainer.label_weights import weigh_labels
from codir.trainer.rows import LabelledRows
from conftest import make_texts
from families import tiny_classifier

pytestmark = pytest.mark.training

UNEVEN = (8, 1, 5, 0)
"""Labelled rows of each micro-batch of eight."""


class KeepGradients(TrainerCallback):
    """The gradients of every step, just before it is taken."""

    def __init__(self) -> None:
        self.steps: list[torch.Tensor] = []

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        self.steps.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))


def partly_labelled(kind: str):
    rows = make_texts(32, kind=kind)
    labels = [
        label if row % 8 < UNEVEN[row // 8] else KINDS["regression" if kind == "scores" else "classification"].no_label
        for row, label in enumerate(rows["label"])
    ]
    return rows.remove_columns("label").add_column("label", labels)


def hard_and_soft() -> WeightedObjectives:
    return WeightedObjectives(
        {"hard_label": HardLabel(), "soft_target": SoftTarget()}, {"hard_label": 0.7, "soft_target": 0.3}
    )


@pytest.mark.parametrize("kind", ["classes", "scores"])
def test_micro_batches_that_weigh_the_same_however_many_labels_they_have(tmp_path, tokenizer, kind):
    gradients, logged = [], []
    outputs = 1 if kind == "scores" else 2
    for size, accumulation in ((32, 1), (8, 4)):
        kept = KeepGradients()
        trainer = make_trainer(
            tmp_path / str(size),
            tokenizer,
            dropout=False,
            objectives=hard_and_soft(),
            teacher=tiny_classifier("bert", num_labels=outputs, seed=1),
            student=tiny_classifier("bert", num_labels=outputs, layers=2, seed=2),
            train=partly_labelled(kind),
            per_device_train_batch_size=size,
            gradient_accumulation_steps=accumulation,
            max_steps=1,
            callbacks=[kept],
            **PLAIN_DESCENT,
        )
        trainer.train()
        gradients += kept.steps
        logged += [line["loss/hard_label"] for line in trainer.state.log_history if "loss/hard_label" in line]
    whole, parts = gradients
    assert whole.norm() > 0.01
    assert (whole - parts).norm() < 1e-6 * max(1.0, whole.norm())
    assert logged[1] == pytest.approx(logged[0], rel=1e-5)


@pytest.mark.parametrize("preset", ["mlm", "kd-pre"])
def test_sequences_whose_few_masks_weigh_as_much_as_many(tmp_path, tokenizer, preset):
    documents = test_pretraining.make_documents(60, longest=16)  # sequences of 4 to 16 tokens
    corpus = load_corpus(documents, tokenizer, max_length=16, packing="apart", cache_dir=tmp_path / "corpora")
    gradients = []
    for size, accumulation in ((32, 1), (8, 4)):
        kept = KeepGradients()
        trainer = test_pretraining.make_trainer(
            tmp_path / str(size),
            tokenizer,
            corpus,
            preset=preset,
            per_device_train_batch_size=size,
            gradient_accumulation_steps=accumulation,
            max_steps=1,
            callbacks=[kept],
            **{**PLAIN_DESCENT, "train_sampling_strategy": "sequential"},
        )
        without_dropout(trainer)
        trainer.train()
        gradients += kept.steps
    whole, parts = gradients
    assert whole.norm() > 0.01
    assert (whole - parts).norm() < 1e-6 * max(1.0, whole.norm())


def without_dropout(trainer) -> None:
    for module in trainer.student.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        elif hasattr(module, "attention_dropout"):
            module.attention_dropout = 0.0


@pytest.mark.parametrize("job", ["unlabelled", "label_sets"])
def test_two_processes_that_weigh_the_same_however_many_labels_they_have(once_per_suite, job):
    first, second = run_processes(once_per_suite, job, processes=2)
    (alone,) = run_processes(once_per_suite, job, processes=1)
    assert first == second
    moves = [np.array(report["moves"]) for report in (first, alone)]
    assert np.linalg.norm(moves[1]) > 0.01
    assert np.linalg.norm(moves[0] - moves[1]) < 1e-5 * np.linalg.norm(moves[1])


@pytest.mark.parametrize(
    ("labels", "weights"),
    [
        ([[0, 1], [1, 1]], [1.0, 1.0]),
        ([[0, IGNORED_CLASS], [1, 1]], [2 / 3, 4 / 3]),
        ([[IGNORED_CLASS] * 2] * 2, [1.0, 1.0]),
    ],
    ids=["all labelled", "some", "none"],
)
def test_a_weight_that_is_not_the_share_of_the_steps_labels(tokenizer, labels, weights):
    rows = LabelledRows(tokenizer, 2, KINDS["classification"], 16)
    step = [{"labels": torch.tensor(of_batch)} for of_batch in labels]
    alone = SimpleNamespace(num_processes=1, device=torch.device("cpu"), gather=lambda tensor: tensor)
    weigh_labels(step, rows, alone)
    assert [batch["label_weight"].item() for batch in step] == pytest.approx(weights)


def test_a_score_of_minus_a_hundred_taken_for_no_label():
    scores = torch.tensor([-100.0, float("nan"), 1.0])
    assert KINDS["regression"].is_labelled(scores).tolist() == [True, False, True]
    assert KINDS["classification"].is_labelled(torch.tensor([0, IGNORED_CLASS])).tolist() == [True, False]
