"""An exported model's answers beside those of the model that it was made from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from codir.config.words import Engine
from codir.measure.bootstrap import Interval
from codir.measure.metrics import agreement
from codir.measure.tolerance import measure_losses
from codir.tasks import Kind, Task, kind_of


@dataclass(frozen=True)
class Verdict:
    """An exported model's answers beside the original's, on the same rows.

    Attributes:
        rows: how many.
        largest_difference: of any logit.
        agreement: share of rows with the same answer; for scores, the correlation.
        metric: that is compared.
        before: the original's.
        after: the export's.
        loss: how much worse the export is, in points (hundredths of the metric), with its paired interval.
    """

    rows: int
    largest_difference: float
    agreement: float
    metric: str
    before: float
    after: float
    loss: Interval


@dataclass(frozen=True)
class Candidate:
    """One way to run a model.

    Attributes:
        engine: that runs it.
        precision: `fp32`, or `int8` and the recipe.
        folder: where its files are.
        verdict: of its answers.
        left: layers in fp32 of an int8 model.
    """

    engine: Engine
    precision: str
    folder: Path
    verdict: Verdict
    left: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What tables call it."""
        return f"{self.engine} {self.precision}"


@dataclass(frozen=True)
class Rejected:
    """A way to run a model that was tried and gave nothing to weigh.

    Attributes:
        engine: that would have run it.
        precision: `fp32`, or `int8` and the recipe.
        fault: what is wrong with it.
    """

    engine: Engine
    precision: str
    fault: str

    @property
    def name(self) -> str:
        """What notes call it."""
        return f"{self.engine} {self.precision}"


def find_fault(answers: Iterable[NDArray[np.float32]], kind: Kind | None = None) -> str | None:
    """Why answers cannot be weighed; `None` where they can.

    Args:
        answers: logits of any shape.
        kind: of the task, which says where there is no answer on purpose; everywhere is one by default.

    Example:
        >>> find_fault([np.array([[0.0, np.nan], [np.inf, 1.0]], np.float32)])
        'NaN or infinity in 2 of 4 logits'
        >>> find_fault([np.zeros((2, 2), np.float32)]) is None
        True
    """
    given = list(answers)
    are_meant = [True if kind is None else kind.is_answered(logits) for logits in given]
    broken = (~np.isfinite(logits) & meant for logits, meant in zip(given, are_meant, strict=True))
    strange = sum(map(np.count_nonzero, broken))
    return f"NaN or infinity in {strange:,} of {sum(logits.size for logits in given):,} logits" if strange else None


def weigh(before: NDArray[np.float32], after: NDArray[np.float32], labels: NDArray[np.generic], task: Task) -> Verdict:
    """Compare two models' answers, by the first metric of the task.

    Args:
        before: the original's logits, `[rows, classes]`.
        after: the export's.
        labels: of the same rows.
        task: how answers are judged.

    Example:
        >>> from codir.tasks import Task
        >>> task = Task("classification", None, 2, ("accuracy",))
        >>> right = np.array([[0.0, 1.0], [1.0, 0.0]], np.float32)
        >>> weigh(right, right + 0.5, np.array([1, 0]), task).loss.value
        0.0
    """
    measured = measure_losses({"before": before, "after": after}, labels, task, against="before")
    kind = kind_of(task)
    is_there = kind.is_answered(before) & kind.is_answered(after)
    (kept, _), (left, loss) = measured["before"], measured["after"]
    return Verdict(
        rows=len(labels),
        largest_difference=float(np.abs(after[is_there] - before[is_there]).max(initial=0.0)),
        agreement=agreement(after, before, kind),
        metric=task.metrics[0],
        before=kept.value,
        after=left.value,
        loss=loss,
    )
