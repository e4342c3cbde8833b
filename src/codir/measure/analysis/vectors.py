"""Vectors of one layer: how close texts of a class are, how evenly all are spread, and a picture in two dimensions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from codir.measure.representation import alignment, uniformity


@dataclass(frozen=True)
class VectorSpread:
    """How vectors of length 1 lie on the sphere (Wang & Isola 2020, arXiv 2005.10242).

    Attributes:
        alignment: mean squared distance of two texts of one class; `None` where there are no classes. Lower is closer.
        uniformity: log of the mean over pairs of `exp(-2 distance^2)`; the lower, the more evenly all are spread.
    """

    alignment: float | None
    uniformity: float


@dataclass(frozen=True)
class Projection:
    """Vectors in two dimensions.

    Attributes:
        points: of each text.
        explained: share of the variance that each of the two axes holds.
    """

    points: tuple[tuple[float, float], ...]
    explained: tuple[float, float]


def describe_vectors(
    vectors: NDArray[np.float32], classes: NDArray[np.integer] | None, *, seed: int = 0
) -> VectorSpread:
    """Alignment and uniformity of vectors, which are brought to length 1 first.

    Args:
        vectors: `[rows, dim]`, at least two rows.
        classes: of each row; `None` where there are none.
        seed: of the order in which texts of a class are paired.
    """
    unit = F.normalize(torch.from_numpy(vectors).double(), dim=1)
    aligned = None if classes is None else class_alignment(unit.numpy(), classes, seed=seed)
    return VectorSpread(aligned, uniformity(unit))


def class_alignment(vectors: NDArray[Any], classes: NDArray[np.integer], *, seed: int = 0) -> float | None:
    """`codir.measure.alignment` of texts and others of their class: each text once, with the next of a random order.

    Args:
        vectors: of length 1.
        classes: of each row.
        seed: of the order.

    Returns:
        `None` where no two texts are of one class.

    Example:
        >>> class_alignment(np.eye(3), np.array([0, 0, 1])), class_alignment(np.eye(2), np.array([0, 1]))
        (2.0, None)
    """
    order = np.random.default_rng(seed).permutation(len(vectors))
    firsts, seconds = [], []
    for one in np.unique(classes):
        of_class = order[classes[order] == one]
        if len(of_class) > 1:
            firsts.append(of_class)
            seconds.append(np.roll(of_class, 1))
    if not firsts:
        return None
    views, others = (torch.from_numpy(vectors[np.concatenate(places)]) for places in (firsts, seconds))
    return alignment(views, others)


def project(vectors: NDArray[np.float32]) -> Projection:
    """The two directions along which vectors differ most (principal components, scikit-learn).

    Args:
        vectors: `[rows, dim]`, at least two of each.
    """
    from sklearn.decomposition import PCA

    found = PCA(n_components=2, svd_solver="full")
    varies = float(np.ptp(vectors, axis=0).max()) > 0
    if not varies:
        return Projection(((0.0, 0.0),) * len(vectors), (0.0, 0.0))
    points = found.fit_transform(vectors.astype(np.float64))
    first, second = found.explained_variance_ratio_
    return Projection(tuple((round(float(x), 4), round(float(y), 4)) for x, y in points), (float(first), float(second)))
