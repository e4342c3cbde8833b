"""Metrics: answers and labels in, a fraction or a correlation out; scikit-learn and scipy do the arithmetic.

Logits and labels have axes of different names in the annotations because rows that do not match are the user's
mistake, and get a message.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from itertools import chain

import numpy as np
from jaxtyping import Float, Shaped

from codir.errors import UserError, nearest
from codir.tasks import KINDS, Kind, Metric, kind_of_logits


def compute_metrics(
    logits: Float[np.ndarray, "rows ..."],
    labels: Shaped[np.ndarray, "labels ..."],
    names: Sequence[str],
    kind: Kind | None = None,
) -> dict[str, float]:
    """Score predictions by each named metric.

    Args:
        logits: `[rows, classes]` for classes; `[rows, 1]` or `[rows]` for scores.
        labels: class indices or scores, one per row.
        names: `accuracy`, `f1` (two classes, of class 1), `macro_f1` and `matthews` for classes; `pearson` and
            `spearman` for scores.
        kind: of the task; what the logits say by default.

    Raises:
        UserError: an unknown name, a metric of the other kind of task, or rows that do not match.

    Example:
        >>> logits = np.array([[2.0, 1.0], [0.0, 3.0], [1.0, 5.0], [4.0, 0.0]])
        >>> compute_metrics(logits, np.array([0, 1, 0, 0]), ["accuracy", "f1"])
        {'accuracy': 0.75, 'f1': 0.6666666666666666}
    """
    kind = kind or kind_of_logits(logits)
    predicted = predictions(logits, kind)
    check_same_rows("labels", len(labels), len(predicted))
    return {name: find_metric(name, kind)(predicted, labels) for name in names}


def predictions(logits: Float[np.ndarray, "rows ..."], kind: Kind | None = None) -> Shaped[np.ndarray, "rows ..."]:
    """Turn logits into what the model answers: the likeliest class, or the score itself.

    Raises:
        UserError: a logit is NaN or infinite.
    """
    kind = kind or kind_of_logits(logits)
    broken = ~np.isfinite(logits) & kind.is_answered(logits)
    if broken.any():
        raise UserError(
            "logits",
            expected="finite numbers",
            got=f"NaN or infinity in {np.count_nonzero(broken)} places",
            otherwise="each such row would have been counted as some class",
            do="run the model in fp32, or go back to an earlier checkpoint",
        )
    return kind.answers(logits)


def accuracy(predicted: np.ndarray, labels: np.ndarray) -> float:
    """Share of rows that are right."""
    return float(np.mean(predicted == labels))


def f1(predicted: np.ndarray, labels: np.ndarray) -> float:
    """Harmonic mean of precision and recall of class 1, of two; 0 where class 1 is neither predicted nor there."""
    from sklearn.metrics import f1_score

    classes = int(max(predicted.max(), labels.max())) + 1
    if classes > 2:
        raise UserError(
            "f1",
            expected="two classes",
            got=str(classes),
            otherwise="only class 1 would have been scored",
            do="ask for `macro_f1`",
        )
    return float(f1_score(labels, predicted, labels=[0, 1], pos_label=1, average="binary", zero_division=0.0))


def macro_f1(predicted: np.ndarray, labels: np.ndarray) -> float:
    """Mean of the F1 of each class that is predicted or there."""
    from sklearn.metrics import f1_score

    return float(f1_score(labels, predicted, average="macro", zero_division=0.0))


def matthews(predicted: np.ndarray, labels: np.ndarray) -> float:
    """Matthews' correlation of predicted and true classes; 0 where either never changes."""
    from sklearn.metrics import matthews_corrcoef

    if _is_constant(predicted) or _is_constant(labels):
        return 0.0
    return float(matthews_corrcoef(labels, predicted))


def pearson(predicted: np.ndarray, labels: np.ndarray) -> float:
    """Linear correlation; 0 where either side never changes."""
    from scipy.stats import pearsonr

    return _correlation(pearsonr, predicted, labels)


def spearman(predicted: np.ndarray, labels: np.ndarray) -> float:
    """Correlation of ranks, ties sharing their mean rank; 0 where either side never changes."""
    from scipy.stats import spearmanr

    return _correlation(spearmanr, predicted, labels)


METRICS: dict[str, Metric] = {
    "accuracy": accuracy,
    "f1": f1,
    "macro_f1": macro_f1,
    "matthews": matthews,
    "pearson": pearson,
    "spearman": spearman,
}
METRIC_NAMES = tuple(METRICS)


def _correlation(statistic: Callable[..., tuple[float, float]], predicted: np.ndarray, labels: np.ndarray) -> float:
    from scipy.stats import NearConstantInputWarning

    if _is_constant(predicted) or _is_constant(labels):
        return 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NearConstantInputWarning)  # a collapsed student is a result, not a mishap
        return float(statistic(predicted.astype(np.float64), labels.astype(np.float64))[0])


def _is_constant(values: np.ndarray) -> bool:
    return bool(np.all(values == values[0]))


def find_metric(name: str, kind: Kind) -> Metric:
    """The function of that name; a kind of task may bring its own.

    Raises:
        UserError: there is none, or it belongs to another kind of task.
    """
    if name in kind.own_metrics:
        return kind.own_metrics[name]
    owners = [one for one in KINDS.values() if name in (*one.known_metrics, *one.own_metrics)]
    if not owners:
        every = [*METRIC_NAMES, *chain.from_iterable(one.own_metrics for one in KINDS.values())]
        raise UserError(
            "metric", expected="a metric that codir knows", got=f"'{name}'", do=nearest(name, every).rstrip("?")
        )
    if name not in kind.known_metrics:
        raise UserError(
            f"metric '{name}'",
            expected=f"a model for {' or '.join(one.name for one in owners)}",
            got=f"one for {kind.name}",
            do="choose from " + ", ".join(f"`{metric}`" for metric in kind.known_metrics),
        )
    return METRICS[name]


def check_same_rows(subject: str, found: int, expected: int) -> None:
    """Refuse nothing, and numbers of rows that differ."""
    if found == 0 or found != expected:
        raise UserError(
            subject,
            expected=f"one for each of {expected} rows of logits, and at least one",
            got=str(found),
            do="give logits and labels of the same rows",
        )
