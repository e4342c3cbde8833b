"""Whether a model's probabilities can be believed: how sure it is against how often it is right.

Knows probabilities and labels alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

BINS = 15


@dataclass(frozen=True)
class ConfidenceBin:
    """Rows of about the same confidence.

    Attributes:
        rows: how many; at least one.
        confidence: mean probability of the answer.
        accuracy: share of the rows that are right.
    """

    rows: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """How a model's probabilities stand to what is true.

    Attributes:
        expected_calibration_error: how far confidence and accuracy are apart, from 0 to 1.
        brier_score: mean squared error of the probabilities, from 0 to 1 for two classes, to 2 for more.
        mean_confidence: mean probability of the answer; above the accuracy, the model is too sure.
        bins: the bins that hold a row, from unsure to sure.
    """

    expected_calibration_error: float
    brier_score: float
    mean_confidence: float
    bins: tuple[ConfidenceBin, ...]


def calibrate(probabilities: Float[np.ndarray, "rows classes"], labels: Int[np.ndarray, " rows"]) -> Calibration:
    """Compare the probabilities that a model gives with the labels.

    The expected calibration error is `sum_m |B_m| / n * |accuracy(B_m) - confidence(B_m)|` (Guo et al. 2017, eq. 5),
    where bin `B_m` of 15 holds the rows whose answer has a probability in `((m-1)/15, m/15]`. The Brier score (1950) is
    `mean_i sum_k (p_ik - y_ik)^2`, and half of that for two classes, as in scikit-learn.

    Args:
        probabilities: of each class, each row with the sum 1; at least one row.
        labels: class indices of the same rows.

    Example:
        >>> found = calibrate(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 0]))
        >>> round(found.expected_calibration_error, 3), round(found.brier_score, 3), round(found.mean_confidence, 3)
        (0.45, 0.325, 0.85)
    """
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    place = np.searchsorted(np.arange(1, BINS) / BINS, confidence, side="left")
    bins = tuple(
        ConfidenceBin(int(rows.sum()), float(confidence[rows].mean()), float(right[rows].mean()))
        for number in np.unique(place)
        for rows in [place == number]
    )
    squared = np.square(probabilities - np.eye(probabilities.shape[1])[labels]).sum(axis=1).mean()
    return Calibration(
        expected_calibration_error=sum(one.rows * abs(one.accuracy - one.confidence) for one in bins) / len(labels),
        brier_score=float(squared / 2 if probabilities.shape[1] == 2 else squared),
        mean_confidence=float(confidence.mean()),
        bins=bins,
    )
