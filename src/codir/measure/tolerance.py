"""Students beside their teacher: what each scores and loses on the same rows, and which is the smallest that will do.

Knows answers and numbers; knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codir.measure.bootstrap import Interval, interval_of, resample_metrics
from codir.tasks import Task, kind_of
from codir.tasks.metrics import find_metric, predictions

POINTS = 100.0
"""In one of a metric."""
ROUNDING = 1e-9
"""Points; a loss that is above a tolerance by less is at it."""


@dataclass(frozen=True)
class Contender:
    """A student of a sweep, or its teacher.

    Attributes:
        name: of it.
        runs: what runs it, such as `onnx int8 per-channel`.
        score: the first metric, with its interval over rows.
        loss: points (hundredths of the metric) that it is worse than the teacher, with the paired interval.
        parameters: how many it has.
        bytes: size of its weights on disk.
    """

    name: str
    runs: str
    score: Interval
    loss: Interval
    parameters: int
    bytes: int


def measure_losses(
    logits: Mapping[str, NDArray[np.float32]], labels: NDArray[np.generic], task: Task, *, against: str
) -> dict[str, tuple[Interval, Interval]]:
    """The first metric of each model, and how many points it is worse than one of them, on the same rows.

    Args:
        logits: of each model by name, `[rows, classes]`.
        labels: of the same rows.
        task: how answers are judged.
        against: the model that the others are compared with.

    Example:
        >>> from codir.tasks import Task
        >>> task = Task("classification", None, 2, ("accuracy",))
        >>> right = np.eye(2, dtype=np.float32)[[0, 1, 1, 0]]
        >>> score, loss = measure_losses({"t": right, "s": right[[0, 1, 2, 1]]}, np.array([0, 1, 1, 0]), task,
        ...     against="t")["s"]
        >>> score.value, loss.value
        (0.75, 25.0)
    """
    kind, metric = kind_of(task), task.metrics[0]
    answers = {name: predictions(found, kind) for name, found in logits.items()}
    values = {name: find_metric(metric, kind)(said, labels) for name, said in answers.items()}
    drawn = {name: of[metric] for name, of in resample_metrics(answers, labels, [metric], kind).items()}
    points = -POINTS if metric in kind.errors else POINTS  # a loss is positive
    best, drawn_best = values[against], drawn[against]

    def interval(value: float, resampled: NDArray[np.float64]) -> Interval:
        return interval_of(value, resampled, len(labels))

    return {
        name: (
            interval(values[name], drawn[name]),
            interval(points * (best - values[name]), points * (drawn_best - drawn[name])),
        )
        for name in logits
    }


def is_within(contender: Contender, tolerance: float) -> bool:
    """Whether a model loses no more points than are tolerated, as measured."""
    return contender.loss.value <= tolerance + ROUNDING


def choose_smallest(students: Sequence[Contender], tolerance: float) -> Contender | None:
    """The student with the fewest parameters among those inside a tolerance; `None` where none is.

    It is chosen by what was measured. How sure that is, the interval of its loss says.

    Args:
        students: of one teacher.
        tolerance: points that may be lost.

    Example:
        >>> def student(name, loss, parameters):
        ...     return Contender(name, "", Interval(0.8, 0.7, 0.9, 9), Interval(loss, 0, 2, 9), parameters, 1)
        >>> choose_smallest([student("a", 0.1, 30), student("b", 0.9, 20), student("c", 1.1, 10)], 1.0).name
        'b'
    """
    inside = [one for one in students if is_within(one, tolerance)]
    return min(inside, key=lambda one: (one.parameters, one.bytes, one.loss.value), default=None)
