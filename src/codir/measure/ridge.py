"""A linear head on vectors of texts, which shows what can be read out of them. scikit-learn fits it.

Knows vectors and what they are to say; knows nothing of models or kinds of task.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

STRENGTHS = tuple(10.0**power for power in range(-1, 6))
"""Of the penalty; each head takes the one that leave-one-out prefers."""


def read_out(
    vectors: NDArray[Any], targets: NDArray[Any], others: NDArray[Any], *, are_classes: bool
) -> NDArray[np.generic]:
    """What a ridge head on standardised vectors says of other vectors.

    Args:
        vectors: that it is fitted to, `[rows, dim]`.
        targets: what each is to say: class indices, of two classes or more, or numbers, `[rows]` or `[rows, n]`.
        others: that it is asked of, `[other_rows, dim]`.
        are_classes: whether the targets are class indices.

    Returns:
        A class index, or numbers in double precision, for each of `others`.

    Example:
        >>> line = np.arange(8.0)[:, None]
        >>> read_out(line, np.array([0, 0, 0, 0, 1, 1, 1, 1]), np.array([[0.0], [9.0]]), are_classes=True)
        array([0, 1])
    """
    from sklearn.linear_model import RidgeClassifierCV, RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    head = RidgeClassifierCV(alphas=STRENGTHS) if are_classes else RidgeCV(alphas=STRENGTHS)
    fitted = make_pipeline(StandardScaler(), head).fit(vectors.astype(np.float64), targets)
    said: NDArray[np.generic] = fitted.predict(others.astype(np.float64))
    return said
