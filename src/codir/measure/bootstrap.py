"""How far a metric could be another on other rows: the bootstrap over rows, all models on the same ones.

A resample draws as many rows as there are, with replacement. All that a resample changes is how often each row counts,
so metrics are computed from weights, for many resamples at once. Knows numbers alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped
from numpy.typing import NDArray

from codir.tasks import Kind, Metric, Weighted
from codir.tasks.metrics import find_metric

RESAMPLES, LEVEL = 1000, 0.95
MOST_WEIGHTS = 250_000
"""How many weights are computed on at a time: few, so that they stay in the processor's cache."""
NO_SPREAD = 1e-12
"""Below this share of all rows' variance, those of a resample vary by rounding only."""

Answers = Shaped[np.ndarray, "rows ..."]
Weights = Float[np.ndarray, "resamples rows"]


@dataclass(frozen=True)
class Interval:
    """A number measured on rows, and the 95% interval of what other rows could have given.

    Attributes:
        value: as measured.
        low: 2.5% of the resamples give less.
        high: 2.5% give more.
        rows: how many it was measured on.
    """

    value: float
    low: float
    high: float
    rows: int


def resample_metrics(
    answers: Mapping[str, Answers],
    labels: Answers,
    metrics: Sequence[str],
    kind: Kind,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Each metric of each model on the same resamples of the rows, so that differences are paired.

    Where rows belong to groups, whole groups are drawn, and all rows of a group count equally often.

    Args:
        answers: of each model by name, in the form of the labels.
        labels: of the same rows.
        metrics: their names.
        kind: of the task.
        resamples: how many.
        seed: of the draws.

    Returns:
        The metric of each resample, by model and metric.

    Example:
        >>> from codir.tasks import KINDS
        >>> labels = np.array([0, 1] * 50)
        >>> found = resample_metrics({"m": labels}, labels, ["accuracy"], KINDS["classification"], resamples=3)
        >>> found["m"]["accuracy"]
        array([1., 1., 1.])
    """
    units = kind.units(labels)
    if units is None:
        columns, place = _distinct([labels, *answers.values()])
        labels, of_models = columns[0], dict(zip(answers, columns[1:], strict=True))
        draws = _draw(place, resamples, seed)
    else:
        of_models, draws = dict(answers), _draw_units(units, resamples, seed)
    found: dict[str, dict[str, list[NDArray[np.float64]]]] = {
        name: {metric: [] for metric in metrics} for name in answers
    }
    for weights in draws:
        for name, predicted in of_models.items():
            for metric in metrics:
                found[name][metric].append(_weighted(metric, kind)(weights, predicted, labels))
    return {
        name: {metric: np.concatenate(values) for metric, values in of_model.items()}
        for name, of_model in found.items()
    }


def interval_of(value: float, resampled: NDArray[np.float64], rows: int) -> Interval:
    """The percentile interval of a number and its resamples.

    Args:
        value: as measured.
        resampled: the same of each resample, `[resamples]`.
        rows: how many it was measured on.

    Example:
        >>> found = interval_of(20.0, np.arange(41.0), rows=9)
        >>> round(found.low, 6), round(found.high, 6)
        (1.0, 39.0)
    """
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(value), float(low), float(high), rows)


def _distinct(columns: Sequence[Answers]) -> tuple[list[Answers], NDArray[np.int64]]:
    """Rows that are the same in all columns become one: of few classes, few are left. And which one each row became."""
    codes = [
        np.unique(column, return_inverse=True, axis=0 if column.ndim > 1 else None)[1].reshape(-1) for column in columns
    ]
    _, first, place = np.unique(np.stack(codes, axis=1), axis=0, return_index=True, return_inverse=True)
    return [column[first] for column in columns], place.reshape(-1)


def _draw(place: NDArray[np.int64], resamples: int, seed: int) -> Iterator[Weights]:
    """How often each distinct row is drawn, some resamples at a time; which rows are, only their number decides."""
    generator, rows, distinct = np.random.default_rng(seed), len(place), int(place.max()) + 1
    at_once = max(1, MOST_WEIGHTS // rows)
    for start in range(0, resamples, at_once):
        size = min(at_once, resamples - start)
        drawn = place[generator.integers(0, rows, (size, rows))] + distinct * np.arange(size)[:, None]
        yield np.bincount(drawn.reshape(-1), minlength=size * distinct).reshape(size, distinct).astype(np.float64)


def _draw_units(units: NDArray[np.generic], resamples: int, seed: int) -> Iterator[Weights]:
    """How often each row is drawn, where all rows of a unit are drawn together."""
    names, place = np.unique(units, return_inverse=True)
    for weights in _draw(np.arange(len(names)), resamples, seed):
        yield weights[:, place.reshape(-1)]


# ---- Metrics of weighted rows ----


def _weighted(metric: str, kind: Kind) -> Weighted:
    """A metric over resamples; one that only a kind of task knows is computed from the rows of each."""
    if metric in kind.own_weighted:
        return kind.own_weighted[metric]
    if metric in WEIGHTED and metric not in kind.own_metrics:
        return WEIGHTED[metric]
    return _row_by_row(find_metric(metric, kind))


def _row_by_row(metric: Metric) -> Weighted:
    def compute(weights: Weights, predicted: Answers, labels: Answers) -> NDArray[np.float64]:
        drawn = [np.repeat(np.arange(len(labels)), row.astype(np.int64)) for row in weights]
        return np.array([metric(predicted[rows], labels[rows]) for rows in drawn])

    return compute


def _counts(weights: Weights, predicted: Answers, labels: Answers) -> list[NDArray[np.float64]]:
    """For each class: rows answered so and rightly, rows answered so, rows that are so; each `[resamples, classes]`."""
    classes = np.union1d(predicted, labels)
    said, true = (found[:, None] == classes for found in (predicted, labels))
    return [weights @ chosen.astype(np.float64) for chosen in (said & true, said, true)]


def _accuracy(weights: Weights, predicted: Answers, labels: Answers) -> NDArray[np.float64]:
    return weights @ (predicted == labels).astype(np.float64) / weights.sum(axis=1)


def _f1(weights: Weights, predicted: Answers, labels: Answers) -> NDArray[np.float64]:
    right, said, true = (weights @ chosen.astype(np.float64) for chosen in _of_class_1(predicted, labels))
    return _ratio(2 * right, said + true)


def _of_class_1(predicted: Answers, labels: Answers) -> tuple[Answers, Answers, Answers]:
    said, true = predicted == 1, labels == 1
    return said & true, said, true


def _macro_f1(weights: Weights, predicted: Answers, labels: Answers) -> NDArray[np.float64]:
    right, said, true = _counts(weights, predicted, labels)
    return _ratio(2 * right, said + true).sum(axis=1) / (said + true > 0).sum(axis=1)


def _matthews(weights: Weights, predicted: Answers, labels: Answers) -> NDArray[np.float64]:
    right, said, true = _counts(weights, predicted, labels)
    rows = weights.sum(axis=1)
    together = rows * right.sum(axis=1) - (said * true).sum(axis=1)
    apart = (rows**2 - (said**2).sum(axis=1)) * (rows**2 - (true**2).sum(axis=1))
    return _ratio(together, np.sqrt(apart))


def _pearson(weights: Weights, predicted: Answers, labels: Answers) -> NDArray[np.float64]:
    left, right = (found.astype(np.float64) - np.mean(found.astype(np.float64)) for found in (predicted, labels))
    sums = weights @ np.stack([left, right, left**2, right**2, left * right], axis=1)
    return _correlation(sums / weights.sum(axis=1, keepdims=True), [np.mean(left**2), np.mean(right**2)])


def _spearman(weights: Weights, predicted: Answers, labels: Answers) -> NDArray[np.float64]:
    rows = weights.sum(axis=1, keepdims=True)
    left, right = (_ranks(weights, found) - (rows + 1) / 2 for found in (predicted, labels))
    by_weight = weights * left
    sums = [by_weight, weights * right, by_weight * left, weights * right * right, by_weight * right]
    means = np.stack([found.sum(axis=1) for found in sums], axis=1) / rows
    return _correlation(means, [float(rows[0, 0]) ** 2 / 12] * 2)


def _ranks(weights: Weights, values: Answers) -> NDArray[np.float64]:
    """The rank of each row in each resample, equal values sharing their mean rank."""
    _, place = np.unique(values, return_inverse=True)
    order = np.argsort(place.reshape(-1), kind="stable")
    starts = np.flatnonzero(np.diff(place.reshape(-1)[order], prepend=-1))
    tied = np.add.reduceat(weights[:, order], starts, axis=1)
    mean_rank = np.cumsum(tied, axis=1) - (tied - 1) / 2
    return mean_rank[:, place.reshape(-1)]


def _correlation(means: NDArray[np.float64], usual: Sequence[float]) -> NDArray[np.float64]:
    """From the means of `x`, `y`, `x^2`, `y^2` and `xy` in each resample; `usual` variances say what is none."""
    x, y, xx, yy, xy = means.T
    spreads = xx - x**2, yy - y**2
    varies = (spreads[0] > NO_SPREAD * usual[0]) & (spreads[1] > NO_SPREAD * usual[1])
    return np.where(varies, _ratio(xy - x * y, np.sqrt(np.maximum(spreads[0] * spreads[1], 0.0))), 0.0)


def _ratio(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    """Zero where there is nothing below."""
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


WEIGHTED: dict[str, Weighted] = {
    "accuracy": _accuracy,
    "f1": _f1,
    "macro_f1": _macro_f1,
    "matthews": _matthews,
    "pearson": _pearson,
    "spearman": _spearman,
}
