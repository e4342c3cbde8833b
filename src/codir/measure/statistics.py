"""What seeds say together: a mean with its interval, and whether two methods differ. Knows numbers alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

ROUNDING = 1e-12
"""Differences of metrics that differ by less are the same."""


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds, and half the width of its 95% interval; `None` for a single seed."""

    mean: float
    half_width: float | None
    count: int


def estimate_mean(values: Sequence[float], *, level: float = 0.95) -> Estimate:
    """Mean and Student's t interval: `mean ± t(level, n - 1) s / sqrt(n)`.

    Example:
        >>> found = estimate_mean([1.0, 2.0, 3.0])  # s = 1, t = 4.303
        >>> found.mean, round(found.half_width, 3), found.count
        (2.0, 2.484, 3)
    """
    found = np.asarray(values, np.float64)
    if len(found) < 2:
        return Estimate(float(found.mean()), None, len(found))
    quantile = stats.t.ppf((1 + level) / 2, len(found) - 1)
    half_width = quantile * found.std(ddof=1) / np.sqrt(len(found))
    return Estimate(float(found.mean()), float(half_width), len(found))


def paired_p_value(values: Sequence[float], reference: Sequence[float]) -> float | None:
    """Two-sided p of the paired t-test: would differences like these be seen if there were none?

    Pairs are runs of one seed. `None` where the test has nothing to judge by: fewer than two pairs, or differences that
    are all the same, as they are where few rows make few different scores. Differences that are all 0 give 1.

    Example:
        >>> round(paired_p_value([2.0, 4.0, 6.0], [1.0, 2.0, 3.0]), 4)  # t = 2 / (1 / sqrt(3)) = 3.46
        0.0742
    """
    differences = np.asarray(values, np.float64) - np.asarray(reference, np.float64)
    if len(differences) < 2:
        return None
    if np.ptp(differences) <= ROUNDING:
        return 1.0 if abs(differences[0]) <= ROUNDING else None
    return float(stats.ttest_1samp(differences, 0.0).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p for the number of comparisons (Holm 1979): the i-th smallest of n times `n - i + 1`, never falling.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    corrected, highest = [0.0] * len(p_values), 0.0
    for place, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[index]))
        corrected[index] = highest
    return corrected
