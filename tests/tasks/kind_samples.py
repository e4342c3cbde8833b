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
# ---- Tags of words ----

WORDS = 6
"""Of the longest row; the first row and the second have as many."""


def tags(rows: int, seed: int) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    lengths = [WORDS, WORDS, *rng.integers(1, WORDS + 1, max(rows - 2, 0))][:rows]
    return [rng.integers(0, 4, length).tolist() for length in lengths]


def of_words(logits: Tensor, labels: Tensor) -> list[tuple[list[float], int]]:
    """Logits and label of each word that has one."""
    pairs = [pair for row in zip(logits.tolist(), labels.tolist(), strict=True) for pair in zip(*row, strict=False)]
    return [(scores, label) for scores, label in pairs if label != IGNORED_CLASS]


def right_tags(column: list[list[int]]) -> Tensor:
    logits = torch.full((len(column), max(map(len, column)), 4), -math.inf)
    for row, labels in enumerate(column):
        logits[row, : len(labels)] = 50.0 * torch.nn.functional.one_hot(torch.tensor(labels), 4).float()
    return logits


def on_words(score: Callable[..., float], **settings: Any) -> Callable[[np.ndarray, np.ndarray], float]:
    def compute(said: np.ndarray, labels: np.ndarray) -> float:
        pairs = [(a, b) for row in zip(said, labels, strict=True) for a, b in zip(*row, strict=True) if b >= 0]
        return score([b for _, b in pairs], [a for a, _ in pairs], **settings)

    return compute


TAGS = Sample(
    outputs=4,
    labels=tags,
    logits=lambda rows, seed: draw(rows * WORDS, 4, seed).view(rows, WORDS, 4),
    right=right_tags,
    hard_loss=lambda logits, labels: cross_entropy(
        torch.tensor([scores for scores, _ in of_words(logits, labels)]),
        torch.tensor([label for _, label in of_words(logits, labels)]),
    ),
    soft_loss=lambda student, teacher, temperature: softened_kl(
        student.flatten(0, 1), teacher.flatten(0, 1), temperature
    ),
    scores={
        "token_accuracy": on_words(sklearn.metrics.accuracy_score),
        "token_macro_f1": on_words(sklearn.metrics.f1_score, average="macro"),
    },
)

# ---- Several labels ----


def binary_cross_entropy(logits: Tensor, labels: Tensor) -> float:
    of_rows = []
    for row, truths in zip(logits.tolist(), labels.tolist(), strict=True):
        known = [(logit, truth) for logit, truth in zip(row, truths, strict=True) if not math.isnan(truth)]
        losses = []
        for logit, truth in known:
            share = 1 / (1 + math.exp(-logit))
            losses.append(-truth * math.log(share) - (1 - truth) * math.log(1 - share))
        if known:
            of_rows.append(sum(losses) / len(known))
    return sum(of_rows) / max(len(of_rows), 1)


def softened_binary_kl(student: Tensor, teacher: Tensor, temperature: float) -> float:
    total, number = 0.0, 0
    for ours, theirs in zip(student.flatten().tolist(), teacher.flatten().tolist(), strict=True):
        q, p = (1 / (1 + math.exp(-logit / temperature)) for logit in (ours, theirs))
        total += p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
        number += 1
    return temperature**2 * total / number


def draw_sets(rows: int, seed: int) -> list[list[float]]:
    """Four labels, of which a row has none to three."""
    found = np.random.default_rng(seed).random((rows, 4)) < [0.5, 0.3, 0.3, 0.2]
    return found.astype(float).tolist()


def f1_of_sets(average: str) -> Callable[[np.ndarray, np.ndarray], float]:
    return lambda said, labels: sklearn.metrics.f1_score(labels, said >= 0.5, average=average, zero_division=0.0)


SETS = Sample(
    outputs=4,
    labels=draw_sets,
    logits=lambda rows, seed: draw(rows, 4, seed),
    right=lambda labels: 100.0 * (torch.tensor(labels) - 0.5),
    hard_loss=binary_cross_entropy,
    soft_loss=softened_binary_kl,
    scores={
        "micro_f1": f1_of_sets("micro"),
        "macro_f1": f1_of_sets("macro"),
        "average_precision": lambda said, labels: sklearn.metrics.average_precision_score(labels, said),
        "subset_accuracy": lambda said, labels: sklearn.metrics.accuracy_score(labels, said >= 0.5),
    },
)

# ---- Candidates ----


def relevances(rows: int, seed: int) -> list[list[float]]:
    """Of candidates of three queries, in turns."""
    found = np.random.default_rng(seed).integers(0, 4, rows)
    return [[float(relevance), float(row % 3)] for row, relevance in enumerate(found)]


def mean_ndcg(said: np.ndarray, labels: np.ndarray) -> float:
    of_query = [labels[:, 1] == query for query in np.unique(labels[:, 1])]
    return np.mean([sklearn.metrics.ndcg_score([labels[rows, 0]], [said[rows]], k=10) for rows in of_query])


def mean_reciprocal_rank(said: np.ndarray, labels: np.ndarray) -> float:
    found = []
    for query in np.unique(labels[:, 1]):
        rows = labels[:, 1] == query
        ranked = labels[rows, 0][np.argsort(-said[rows])]
        found.append(next((1 / (place + 1) for place, relevance in enumerate(ranked) if relevance > 0), 0.0))
    return np.mean(found)


CANDIDATES = replace(
    SCORES,
    labels=relevances,
    right=lambda labels: torch.tensor(labels)[:, :1],
    hard_loss=lambda logits, labels: squared_errors(logits, labels[:, 0]),
    scores={"ndcg@10": mean_ndcg, "mrr": mean_reciprocal_rank},
)

# ---- Spans ----

TOKENS = 6


def spans(rows: int, seed: int) -> list[list[int]]:
    found = np.sort(np.random.default_rng(seed).integers(0, TOKENS, (rows, 2)), axis=1)
    return found.tolist()


def marked(labels: list[list[int]]) -> Tensor:
    logits = torch.zeros(len(labels), TOKENS, 2)
    for row, (first, last) in enumerate(labels):
        logits[row, first, 0] = logits[row, last, 1] = 50.0
    return logits


def of_both_ends(loss: Callable[..., float]) -> Callable[..., float]:
    """The mean over starts and ends of a loss over tokens."""
    return lambda logits, other, *rest: sum(loss(logits[..., end], other[..., end], *rest) for end in (0, 1)) / 2


def overlap(said: np.ndarray, labels: np.ndarray) -> float:
    found = []
    for (first, last), (start, end) in zip(said.tolist(), labels.tolist(), strict=True):
        ours, right = {*range(first, last + 1)}, {*range(start, end + 1)}
        found.append(2 * len(ours & right) / (len(ours) + len(right)))
    return np.mean(found)


SPANS = Sample(
    outputs=2,
    labels=spans,
    logits=lambda rows, seed: draw(rows * TOKENS, 2, seed).unflatten(0, (rows, TOKENS)),
    right=marked,
    hard_loss=of_both_ends(cross_entropy),
    soft_loss=of_both_ends(softened_kl),
    scores={"exact_match": lambda said, labels: np.mean([*map(np.array_equal, said, labels)]), "f1": overlap},
)

SAMPLES = {
    "classification": classes(3),
    "regression": SCORES,
    "reranking": CANDIDATES,
    "multi_label": SETS,
    "embedding": VECTORS,
    "token_classification": TAGS,
    "question_answering": SPANS,
}
"""By the name of the kind; a new kind adds its own."""
