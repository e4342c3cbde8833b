"""One file for each kind of task. Whether something is a class or a score is asked here, and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codir.errors import UserError, nearest
from codir.tasks.base import DIGITS, OFFERS, Kind, Metric, Offer, Task, Weighted
from codir.tasks.classification import IGNORED_CLASS, Classification
from codir.tasks.embedding import Embedding, Retrieval
from codir.tasks.language import LanguageTask, language_task
from codir.tasks.multi_label import MultiLabel
from codir.tasks.question_answering import NOWHERE, QuestionAnswering
from codir.tasks.regression import Regression
from codir.tasks.reranking import Reranking
from codir.tasks.spans import OUTSIDE, Span, are_span_tags, spans_of, split_tag
from codir.tasks.token_classification import NO_ENTITY, NO_LOGIT, TokenClassification, pad_rows

__all__ = [
    "DIGITS",
    "IGNORED_CLASS",
    "KINDS",
    "NAMED_IN_CONFIG",
    "NOWHERE",
    "NO_ENTITY",
    "NO_LOGIT",
    "OFFERS",
    "OUTSIDE",
    "Kind",
    "LanguageTask",
    "Metric",
    "Offer",
    "Span",
    "Task",
    "TokenClassification",
    "Weighted",
    "are_span_tags",
    "better_than",
    "is_share",
    "kind_named",
    "kind_of",
    "kind_of_config",
    "kind_of_head",
    "kind_of_labels",
    "kind_of_logits",
    "kind_of_metric",
    "kind_of_outputs",
    "language_task",
    "must_be_named",
    "name_kind",
    "pad_rows",
    "retention",
    "spans_of",
    "split_tag",
]

_ALL = (
    Classification(),
    Regression(),
    Reranking(),
    MultiLabel(),
    TokenClassification(),
    QuestionAnswering(),
    Embedding(),
    Retrieval(),
)
KINDS: dict[str, Kind] = {kind.name: kind for kind in _ALL}
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
    return kind_named(task.kind).named(task.label_names)


def kind_of_outputs(outputs: int) -> Kind:
    """What a model with so many outputs answers, where nothing else says it: one output is a score."""
    return KINDS["regression"] if outputs == 1 else KINDS["classification"]


def kind_of_config(config: Any, architecture: str | None = None) -> Kind:
    """What a model with this configuration answers.

    Args:
        config: of the model.
        architecture: name of its class; the first that the configuration names by default.

    Raises:
        UserError: classes with a single output, or a problem type that no kind has.
    """
    problem, outputs = getattr(config, "problem_type", None), int(config.num_labels)
    if outputs == 1 and problem == "single_label_classification":
        raise UserError(
            "model",
            expected="one output for each class",
            got="`problem_type: single_label_classification` with one output",
            otherwise="its logit would have been taught as a score",
            do="fine-tune it with `num_labels=2`, or set `problem_type: regression` if it gives a score",
        )
    named = getattr(config, NAMED_IN_CONFIG, None)
    if named is not None:
        return kind_named(named).named(_names_in(config))
    told = _kind_of_architecture(architecture or (getattr(config, "architectures", None) or [""])[0])
    return (told or _kind_of_problem(problem) or kind_of_outputs(outputs)).named(_names_in(config))


def name_kind(config: Any, name: str | None) -> None:
    """Have a model's configuration name its kind; with `None` it names none, whatever it named before."""
    if name is not None:
        setattr(config, NAMED_IN_CONFIG, name)
    elif hasattr(config, NAMED_IN_CONFIG):
        delattr(config, NAMED_IN_CONFIG)


def _names_in(config: Any) -> list[str] | None:
    """What a configuration calls its classes; `None` where it only numbers them."""
    names = [str(name) for _, name in sorted((getattr(config, "id2label", None) or {}).items())]
    return None if not names or names[0] == "LABEL_0" else names


def _kind_of_architecture(name: str) -> Kind | None:
    """The kind that a class of this name answers; `None` where several have that head, or none."""
    heads = {kind: kind.auto_class.removeprefix("AutoModel") or "Model" for kind in KINDS.values()}
    found = [kind for kind, head in heads.items() if name.endswith(head)]
    return found[0] if len({heads[kind] for kind in found}) == len(found) == 1 else None


def _kind_of_problem(problem: str | None) -> Kind | None:
    """The kind whose own problem type this is; classes and scores are known by their outputs."""
    if problem is None or problem in {kind_of_outputs(outputs).problem_type for outputs in (1, 2)}:
        return None
    found = next((kind for kind in KINDS.values() if kind.problem_type == problem), None)
    if found is None:
        raise UserError(
            "model",
            expected=f"a kind of task that codir has: {', '.join(KINDS)}",
            got=f"`problem_type: {problem}`",
            otherwise="its answers would have been taught as classes",
            do="take another model, or correct `problem_type` in its config.json",
        )
    return found


def kind_of_head(head: Mapping[str, Any]) -> Kind:
    """What a new head is to answer: of `num_labels` outputs, with a `problem_type`, and perhaps its kind by name."""
    return kind_of_config(SimpleNamespace(**head))


def must_be_named(kind: Kind, outputs: int) -> bool:
    """Whether a model with such a head must name its kind, since nothing else in its configuration says it."""
    return kind_of_head({"num_labels": outputs, "problem_type": kind.problem_type}) is not kind


def kind_of_logits(logits: np.ndarray) -> Kind:
    """The same from a model's answers, `[rows, outputs]`; `[rows]` are scores."""
    return kind_of_outputs(1 if logits.ndim == 1 else logits.shape[1])


def kind_of_labels(labels: NDArray[np.generic]) -> Kind:
    """What labels of this form are, where no model is at hand: fractions are scores, rows of numbers are labels."""
    if labels.ndim == 2:
        return KINDS["multi_label"]
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
