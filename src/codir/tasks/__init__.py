"""One file for each kind of task. Whether something is a class or a score is asked here, and nowhere else."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from codir.errors import UserError, nearest
from codir.tasks.base import Kind, Metric, Task
from codir.tasks.classification import IGNORED_CLASS, Classification
from codir.tasks.embedding import Embedding, Retrieval
from codir.tasks.language import LanguageTask, language_task
from codir.tasks.regression import Regression

__all__ = [
    "IGNORED_CLASS",
    "KINDS",
    "NAMED_IN_CONFIG",
    "Kind",
    "LanguageTask",
    "Metric",
    "Task",
    "better_than",
    "is_share",
    "kind_named",
    "kind_of",
    "kind_of_config",
    "kind_of_labels",
    "kind_of_logits",
    "kind_of_metric",
    "kind_of_outputs",
    "language_task",
    "retention",
]

KINDS: dict[str, Kind] = {kind.name: kind for kind in (Classification(), Regression(), Embedding(), Retrieval())}
"""Every kind by its name; of several that fit, the first counts."""

NAMED_IN_CONFIG = "codir_task"
"""Where a model's configuration names its kind, if its outputs alone do not say which it is."""


def kind_named(name: str) -> Kind:
    """The kind that a recipe names.

    Raises:
        UserError: there is none of that name.
    """
    if name not in KINDS:
        raise UserError("task", expected="a kind of task", got=repr(name), do=nearest(name, ["auto", *KINDS]))
    return KINDS[name]


def kind_of(task: Task) -> Kind:
    """The kind of a task."""
    return kind_named(task.kind)


def kind_of_outputs(outputs: int) -> Kind:
    """What a model with so many outputs answers, where nothing else says it: one output is a score."""
    return KINDS["regression"] if outputs == 1 else KINDS["classification"]


def kind_of_config(config: Any) -> Kind:
    """What a model with this configuration answers.

    Raises:
        UserError: several labels at once, or classes with a single output.
    """
    problem, outputs = getattr(config, "problem_type", None), int(config.num_labels)
    if problem == "multi_label_classification":
        raise UserError(
            "model",
            expected="one class out of several, or one score",
            got="`problem_type: multi_label_classification`, several labels at once",
            otherwise="its labels would have been taught as if one excluded the others",
            do="take a model that gives one class, or train one for each label",
        )
    if outputs == 1 and problem == "single_label_classification":
        raise UserError(
            "model",
            expected="one output for each class",
            got="`problem_type: single_label_classification` with one output",
            otherwise="its logit would have been taught as a score",
            do="fine-tune it with `num_labels=2`, or set `problem_type: regression` if it gives a score",
        )
    named = getattr(config, NAMED_IN_CONFIG, None)
    return kind_of_outputs(outputs) if named is None else kind_named(named)


def kind_of_logits(logits: np.ndarray) -> Kind:
    """The same from a model's answers, `[rows, outputs]`; `[rows]` are scores."""
    return kind_of_outputs(1 if logits.ndim == 1 else logits.shape[1])


def kind_of_labels(labels: NDArray[np.generic]) -> Kind:
    """What labels of this dtype are, where no model is at hand: fractions are scores."""
    return KINDS["regression"] if np.issubdtype(labels.dtype, np.floating) else KINDS["classification"]


def is_share(metric: str) -> bool:
    """Whether a metric is a share, shown in percent; `metric` may end in the name of an evaluation set.

    Example:
        >>> is_share("accuracy"), is_share("matthews"), is_share("pearson_heldout")
        (True, False, False)
    """
    numbers = frozenset().union(*(kind.correlations | kind.errors for kind in KINDS.values()))
    return not any(metric == name or metric.startswith(f"{name}_") for name in numbers)


def better_than(metric: str, score: float, other: float) -> bool:
    """Whether one score of a metric is better than another.

    Example:
        >>> better_than("accuracy", 0.6, 0.5), better_than("accuracy", 0.5, 0.5)
        (True, False)
    """
    return score < other if _is_error(metric) else score > other


def _is_error(metric: str) -> bool:
    """Whether lower scores are better."""
    return any(metric in kind.errors for kind in KINDS.values())


def retention(metric: str, student: float, teacher: float) -> float | None:
    """A student's score over its teacher's; the other way round where lower is better. `None` for a score of 0 or less.

    Example:
        >>> retention("accuracy", 0.81, 0.9), retention("matthews", 0.1, -0.1)
        (0.9, None)
    """
    better, worse = (student, teacher) if _is_error(metric) else (teacher, student)
    return worse / better if better > 0 else None


def kind_of_metric(metric: str) -> Kind:
    """The first kind that a metric belongs to."""
    return next(kind for kind in KINDS.values() if metric in (*kind.known_metrics, *kind.own_metrics))
