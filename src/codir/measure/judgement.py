"""What must stand beside a score: what it would be without reading, how sure it is, and on which rows it was found.

Knows answers, labels and lengths; knows nothing of models or words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from codir.measure.bootstrap import Interval, interval_of, resample_metrics
from codir.measure.by_class import ByClass, score_classes, score_labels
from codir.measure.calibration import Calibration, calibrate
from codir.tasks import Kind, Metric, Task, kind_of
from codir.tasks.metrics import find_metric, predictions

LENGTH_GROUPS = 4
HARDLY = 0.1
"""Answers that vary less than this share of what the labels do hardly vary."""
FLOOR = "floor"
"""Answers the same to every row; among the models, its name is none of theirs."""


@dataclass(frozen=True)
class Standing:
    """How a model's answers to one set of rows stand to answers that were given without reading.

    Attributes:
        above: how much better its primary metric is than the floor's.
        variation: how much its answers vary, as a multiple of how much the labels do.
        only_answer: what it answers to every row, in words, if it always answers the same.
        labels_differ: whether the rows can show that a model learned something: one answer is not right for all.
    """

    above: Interval
    variation: float
    only_answer: str | None
    labels_differ: bool = True

    @property
    def is_no_better(self) -> bool:
        """Whether it is no better than those, as a model that gives one answer to every row."""
        return self.above.value <= 0.0

    @property
    def learned_nothing(self) -> bool:
        """Whether it is no better than those on rows that could have shown that it is."""
        return self.is_no_better and self.labels_differ

    @property
    def is_at_floor(self) -> bool:
        """Whether it is no better, or not surely."""
        return self.above.low <= 0.0

    @property
    def hardly_varies(self) -> bool:
        """Whether nearly all answers are the same."""
        return self.variation < HARDLY


@dataclass(frozen=True)
class OfLength:
    """The primary metric on rows of some lengths.

    Attributes:
        shortest: tokens of the shortest row.
        longest: of the longest one.
        rows: how many.
        scores: by model.
    """

    shortest: int
    longest: int
    rows: int
    scores: dict[str, float]


@dataclass(frozen=True)
class Judgement:
    """What must stand beside the scores of all models on the evaluation sets.

    Attributes:
        rows: of each evaluation set.
        primary: the metric that `standings` and `by_length` are about.
        floor_name: what answers without reading.
        floor: its metrics.
        intervals: of each metric, by model; the floor has none.
        differences: of each metric between a model and another, on the same rows, by the one and the other.
        standings: of each model on the first evaluation set.
        by_class: of each model on the first evaluation set; empty for scores.
        by_length: on the first evaluation set, from short to long.
        calibration: of each model on the first evaluation set; empty for scores.
    """

    rows: dict[str, int]
    primary: str
    floor_name: str
    floor: dict[str, float]
    intervals: dict[str, dict[str, Interval]]
    differences: dict[str, dict[str, dict[str, Interval]]]
    standings: dict[str, Standing]
    by_class: dict[str, ByClass]
    by_length: tuple[OfLength, ...]
    calibration: dict[str, Calibration] = field(default_factory=dict)


@dataclass(frozen=True)
class AnsweredSet:
    """All answers to one evaluation set.

    Attributes:
        name: of the evaluation set.
        labels: the right answers.
        answers: by model, in the form of the labels.
        suffix: what the names of its metrics end in.
        probabilities: of each class, by model; empty where there are none.
    """

    name: str
    labels: NDArray[np.generic]
    answers: Mapping[str, NDArray[np.generic]]
    suffix: str = ""
    probabilities: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)


def judge(
    sets: Sequence[AnsweredSet], task: Task, *, lengths: NDArray[np.int64], against: Mapping[str, Sequence[str]]
) -> Judgement:
    """Judge what models answered.

    Args:
        sets: answers to each evaluation set, the first one being that which matters.
        task: how answers are judged.
        lengths: tokens of each row of the first set.
        against: the models that each is compared with.
    """
    kind, first, primary = kind_of(task), sets[0], task.metrics[0]
    measured = [_measure(one, kind, task.metrics) for one in sets]

    def of_each_metric(name: str, other: str | None = None) -> dict[str, Interval]:
        return {
            metric + one.suffix: found.interval(metric, name, other)
            for one, found in zip(sets, measured, strict=True)
            for metric in task.metrics
        }

    return Judgement(
        rows={one.name: len(one.labels) for one in sets},
        primary=primary,
        floor_name=kind.floor_name,
        floor={key: interval.value for key, interval in of_each_metric(FLOOR).items()},
        intervals={name: of_each_metric(name) for name in first.answers},
        differences={
            name: {other: of_each_metric(name, other) for other in others} for name, others in against.items()
        },
        standings={name: _stand(first, name, task, measured[0]) for name in first.answers},
        by_class=_by_class(first, task),
        by_length=_by_length(first, kind, find_metric(primary, kind), lengths),
        calibration={
            name: calibrate(*kind.one_by_one(found, first.labels))
            for name, found in first.probabilities.items()
            if kind.one_class or kind.reads_words
        },
    )


def _by_class(one: AnsweredSet, task: Task) -> dict[str, ByClass]:
    """Of each model; empty where there are no classes."""
    kind, names = kind_of(task), task.id2label
    if kind.one_class or kind.reads_words:
        return {name: score_classes(*kind.by_class(said, one.labels, names)) for name, said in one.answers.items()}
    true = kind.flags(one.labels)
    if true is None:
        return {}
    answered = {name: kind.flags(said) for name, said in one.answers.items()}
    return {name: score_labels(said, true, names) for name, said in answered.items() if said is not None}


def stand(logits: NDArray[np.float32], labels: NDArray[np.generic], task: Task) -> Standing:
    """How one model's answers stand to those that are given without reading.

    Args:
        logits: `[rows, classes]`.
        labels: of the same rows.
        task: how answers are judged.
    """
    kind = kind_of(task)
    one = AnsweredSet("dev", labels, {"model": predictions(logits, kind)})
    return _stand(one, "model", task, _measure(one, kind, task.metrics[:1]))


@dataclass(frozen=True)
class _Measured:
    """Metrics of all models and the floor on one set: as they are, and on each resample of its rows."""

    values: Mapping[str, Mapping[str, float]]
    resampled: Mapping[str, Mapping[str, NDArray[np.float64]]]
    rows: int

    def interval(self, metric: str, name: str, other: str | None = None) -> Interval:
        """Of one model, or of its difference to another."""
        value, spread = self.values[name][metric], self.resampled[name][metric]
        if other is not None:
            value, spread = value - self.values[other][metric], spread - self.resampled[other][metric]
        return interval_of(value, spread, self.rows)


def _measure(one: AnsweredSet, kind: Kind, metrics: Sequence[str]) -> _Measured:
    answers = {**one.answers, FLOOR: kind.floor(one.labels)}
    values = {
        name: {metric: find_metric(metric, kind)(said, one.labels) for metric in metrics}
        for name, said in answers.items()
    }
    return _Measured(values, resample_metrics(answers, one.labels, metrics, kind), len(one.labels))


def _stand(one: AnsweredSet, name: str, task: Task, measured: _Measured) -> Standing:
    kind, metric, said = kind_of(task), task.metrics[0], one.answers[name]
    better, worse = (FLOOR, name) if metric in kind.errors else (name, FLOOR)
    only = kind.in_words(said[0], task.id2label) if kind.is_constant(said) else None
    return Standing(
        measured.interval(metric, better, worse),
        kind.variation(said, one.labels),
        only,
        labels_differ=not kind.is_constant(one.labels),
    )


def _by_length(one: AnsweredSet, kind: Kind, metric: Metric, lengths: NDArray[np.int64]) -> tuple[OfLength, ...]:
    """Groups of about as many rows each; rows of one length are in one group."""
    units = kind.units(one.labels)
    if units is not None:  # a query is as long as its candidates on average, since it is judged as a whole
        _, place, counts = np.unique(units, return_inverse=True, return_counts=True)
        place = place.reshape(-1)
        lengths = np.rint(np.bincount(place, lengths) / counts).astype(np.int64)[place]
    cuts = np.unique(np.quantile(lengths, np.arange(1, LENGTH_GROUPS) / LENGTH_GROUPS, method="higher"))
    group = np.searchsorted(cuts, lengths, side="left")
    return tuple(
        OfLength(
            int(lengths[rows].min()),
            int(lengths[rows].max()),
            len(rows),
            {name: metric(said[rows], one.labels[rows]) for name, said in one.answers.items()},
        )
        for number in np.unique(group)
        for rows in [np.flatnonzero(group == number)]
    )
