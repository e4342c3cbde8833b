"""Where two models answer differently, and how much. Knows answers; knows nothing of models or texts."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from codir.measure.bootstrap import Interval, interval_of, resample_metrics
from codir.measure.metrics import agreement
from codir.tasks import Kind
from codir.tasks.metrics import predictions


def measure_agreement(
    logits: Float[np.ndarray, "rows ..."], others: Float[np.ndarray, "rows ..."], kind: Kind
) -> Interval:
    """How far two models answer alike, whatever the labels say, with its interval over rows.

    For classes, the share of rows with the same answer; for scores, the Pearson correlation of the two.

    Args:
        logits: of the one.
        others: of the other, on the same rows.
        kind: of the task.

    Example:
        >>> from codir.tasks import KINDS
        >>> logits = np.array([[0.0, 1.0], [2.0, 1.0]] * 50)
        >>> measure_agreement(logits, logits, KINDS["classification"])
        Interval(value=1.0, low=1.0, high=1.0, rows=100)
    """
    said, said_by_other = predictions(logits, kind), predictions(others, kind)
    metric = kind.agreement[0]
    resampled = resample_metrics({"one": said}, said_by_other, [metric], kind)["one"][metric]
    return interval_of(agreement(logits, others, kind), resampled, len(said))


def find_farthest(distances: Float[np.ndarray, " rows"], most: int) -> Int[np.ndarray, " farthest"]:
    """The rows that are farthest apart, the farthest first; rows with equal answers are none of them.

    Args:
        distances: of each row, such as `Kind.distances` gives them.
        most: how many rows at most.

    Example:
        >>> find_farthest(np.array([0.1, 0.0, 0.7, 0.7]), 3)
        array([2, 3, 0])
    """
    order = np.argsort(-distances, kind="stable")[:most]
    return order[distances[order] > 0]
