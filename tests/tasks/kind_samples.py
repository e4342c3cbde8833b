"""What the laws of `test_kinds.py` need of each kind: labels, logits, and its formulas in slow plain loops."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import sklearn.metrics
import torch
from scipy.stats import pearsonr, spearmanr
from torch import Tensor

from codir.tasks import IGNORED_CLASS


@dataclass(frozen=True)
class Sample:
    """A kind with data that fits it.

    Attributes:
        outputs: of a model.
        labels: a column of labels for so many rows, with a seed.
        logits: for so many rows, with a seed.
        right: logits of a model that answers every row rightly.
        hard_loss: the hard loss of logits and labels.
        soft_loss: the soft loss of a student's and a teacher's logits at a temperature.
        scores: metrics by name, of answers and labels.
    """

    outputs: int
    labels: Callable[[int, int], list[Any]]
    logits: Callable[[int, int], Tensor]
    right: Callable[[list[Any]], Tensor]
    hard_loss: Callable[[Tensor, Tensor], float]
    soft_loss: Callable[[Tensor, Tensor, float], float]
    scores: Mapping[str, Callable[[np.ndarray, np.ndarray], float]] = field(default_factory=dict)


def draw(rows: int, outputs: int, seed: int) -> Tensor:
    return torch.randn(rows, outputs, generator=torch.Generator().manual_seed(seed))


# ---- Classes ----


def shares(logits: list[float], temperature: float = 1.0) -> list[float]:
    powers = [math.exp(logit / temperature) for logit in logits]
    return [power / sum(powers) for power in powers]


def cross_entropy(logits: Tensor, labels: Tensor) -> float:
    found = [
        -math.log(shares(row)[label])
        for row, label in zip(logits.tolist(), labels.tolist(), strict=True)
        if label != IGNORED_CLASS
    ]
    return sum(found) / max(len(found), 1)


def softened_kl(student: Tensor, teacher: Tensor, temperature: float) -> float:
    total = 0.0
    for ours, theirs in zip(student.tolist(), teacher.tolist(), strict=True):
        q, p = shares(ours, temperature), shares(theirs, temperature)
        total += sum(p_k * math.log(p_k / q_k) for p_k, q_k in zip(p, q, strict=True))
    return temperature**2 * total / len(student)


def classes(outputs: int) -> Sample:
    return Sample(
        outputs=outputs,
        labels=lambda rows, seed: np.random.default_rng(seed).integers(0, outputs, rows).tolist(),
        logits=lambda rows, seed: draw(rows, outputs, seed),
        right=lambda labels: 50.0 * torch.nn.functional.one_hot(torch.tensor(labels), outputs).float(),
        hard_loss=cross_entropy,
        soft_loss=softened_kl,
        scores={
            "accuracy": lambda said, labels: sklearn.metrics.accuracy_score(labels, said),
            "macro_f1": lambda said, labels: sklearn.metrics.f1_score(labels, said, average="macro"),
        },
    )


# ---- Scores ----


def squared_errors(logits: Tensor, labels: Tensor) -> float:
    found = [
        (row[0] - label) ** 2
        for row, label in zip(logits.tolist(), labels.tolist(), strict=True)
        if not math.isnan(label)
    ]
    return sum(found) / max(len(found), 1)


SCORES = Sample(
    outputs=1,
    labels=lambda rows, seed: np.random.default_rng(seed).uniform(0, 5, rows).tolist(),
    logits=lambda rows, seed: draw(rows, 1, seed),
    right=lambda labels: torch.tensor(labels).unsqueeze(1),
    hard_loss=squared_errors,
    soft_loss=lambda student, teacher, _: squared_errors(student, teacher.squeeze(1)),
    scores={
        "pearson": lambda said, labels: pearsonr(said.astype(float), labels)[0],
        "spearman": lambda said, labels: spearmanr(said, labels)[0],
    },
)

# ---- Vectors ----


def angles(student: Tensor, teacher: Tensor, _: float) -> float:
    found = []
    for ours, theirs in zip(student.tolist(), teacher.tolist(), strict=True):
        lengths = math.sqrt(sum(x * x for x in ours)) * math.sqrt(sum(x * x for x in theirs))
        found.append(1.0 - sum(x * y for x, y in zip(ours, theirs, strict=True)) / lengths)
    return sum(found) / len(found)


VECTORS = replace(SCORES, hard_loss=lambda logits, labels: 0.0, soft_loss=angles)

SAMPLES = {"classification": classes(3), "regression": SCORES, "embedding": VECTORS}
"""By the name of the kind; a new kind adds its own."""
