"""Metrics of several labels at once: probabilities `[rows, labels]` against 0 and 1, for all rows and for resamples.

A label is answered where its probability is at least 0.5. Knows numpy alone.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from codir.tasks.base import Metric, Weighted

Sets = Float[np.ndarray, "rows labels"]
Weights = Float[np.ndarray, "resamples rows"]
Counts = NDArray[np.float64]


def has(shares: NDArray[np.generic]) -> Bool[np.ndarray, ...]:
    """Which labels a row has, or is answered; one that is not known it has not."""
    return shares.astype(np.float64) >= 0.5


def micro_f1(answers: Sets, labels: Sets) -> float:
    """F1 over all pairs of a row and a label: `2 TP / (2 TP + FP + FN)`; 0 where nothing is answered or there."""
    return float(_micro(*_counts(_one(labels), answers, labels))[0])


def macro_f1(answers: Sets, labels: Sets) -> float:
    """Mean over labels of the F1 of each; 0 for a label that is neither answered nor there."""
    return float(_macro(*_counts(_one(labels), answers, labels))[0])


def average_precision(answers: Sets, labels: Sets) -> float:
    """Mean over labels of `sum_n (R_n - R_n-1) P_n`, precision and recall over the rows from the likeliest on.

    No threshold counts. Labels that no row has are left out; 0 where that leaves none.
    """
    return float(_average_precision(_one(labels), answers, labels)[0])


def subset_accuracy(answers: Sets, labels: Sets) -> float:
    """Share of rows whose labels are answered exactly."""
    return float((has(answers) == has(labels)).all(axis=1).mean())


def best_constant(labels: Sets) -> Float[np.ndarray, " labels"]:
    """The labels that score the best micro F1 if every row is answered the same: the most frequent ones.

    Example:
        >>> best_constant(np.array([[1.0, 0.0, 0.0], [1.0, 0.0, 1.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]))
        array([1., 0., 1.])
    """
    counts = has(labels).sum(axis=0)
    order = np.argsort(-counts, kind="stable")
    found = np.cumsum(counts[order])
    scores = 2 * found / (len(labels) * np.arange(1, len(order) + 1) + counts.sum())
    chosen = np.zeros(len(counts))
    chosen[order[: int(scores.argmax()) + 1]] = 1.0
    return chosen


# ---- Over resamples ----


def _one(labels: Sets) -> Weights:
    """Every row counts once."""
    return np.ones((1, len(labels)))


def _counts(weights: Weights, answers: Sets, labels: Sets) -> tuple[Counts, Counts, Counts]:
    """For each label: answered rightly, answered, there; each `[resamples, labels]`."""
    said, true = has(answers), has(labels)
    right, of_said, of_true = (weights @ found.astype(np.float64) for found in (said & true, said, true))
    return right, of_said, of_true


def _micro(right: Counts, said: Counts, true: Counts) -> Counts:
    return _ratio(2 * right.sum(axis=1), said.sum(axis=1) + true.sum(axis=1))


def _macro(right: Counts, said: Counts, true: Counts) -> Counts:
    return _ratio(2 * right, said + true).mean(axis=1)


def _subset_accuracy(weights: Weights, answers: Sets, labels: Sets) -> Counts:
    right = (has(answers) == has(labels)).all(axis=1)
    return weights @ right.astype(np.float64) / weights.sum(axis=1)


def _average_precision(weights: Weights, answers: Sets, labels: Sets) -> Counts:
    """Rows of equal probability are one step, as in scikit-learn."""
    total, number = np.zeros(len(weights)), np.zeros(len(weights))
    for said, true in zip(answers.astype(np.float64).T, has(labels).T, strict=True):
        order = np.argsort(-said, kind="stable")
        ends = np.flatnonzero(np.append(np.diff(said[order]) != 0, True))
        counted = weights[:, order]
        seen = np.cumsum(counted, axis=1)[:, ends]
        found = np.cumsum(counted * true[order], axis=1)[:, ends]
        steps = np.diff(found, axis=1, prepend=0.0)
        total += _ratio((steps * _ratio(found, seen)).sum(axis=1), found[:, -1])
        number += found[:, -1] > 0
    return _ratio(total, number)


def _ratio(above: Counts, below: Counts) -> Counts:
    """Zero where there is nothing below."""
    return np.divide(above, below, out=np.zeros_like(above, dtype=np.float64), where=below > 0)


METRICS: dict[str, Metric] = {
    "micro_f1": micro_f1,
    "macro_f1": macro_f1,
    "average_precision": average_precision,
    "subset_accuracy": subset_accuracy,
}
WEIGHTED: dict[str, Weighted] = {
    "micro_f1": lambda weights, answers, labels: _micro(*_counts(weights, answers, labels)),
    "macro_f1": lambda weights, answers, labels: _macro(*_counts(weights, answers, labels)),
    "average_precision": _average_precision,
    "subset_accuracy": _subset_accuracy,
}
