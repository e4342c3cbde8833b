"""How a model's vectors lie on the sphere: whether two views of a text meet, and whether texts use all the room."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor


def alignment(views: Float[Tensor, "rows dim"], other_views: Float[Tensor, "rows dim"]) -> float:
    """`mean_i ||f(x_i) - f(x_i')||^2` of two views of each text (Wang & Isola 2020, arXiv 2005.10242, §4.1, alpha = 2).

    0 where the two views of every text have one vector, 2 where they have nothing in common.

    Args:
        views: of length 1.
        other_views: of the same texts, in the same order.

    Example:
        >>> alignment(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
        1.0
    """
    return float((views - other_views).square().sum(dim=1).mean())


def uniformity(vectors: Float[Tensor, "rows dim"]) -> float:
    """`log mean_{i<j} exp(-2 ||f(x_i) - f(x_j)||^2)` over pairs of texts (the same, §4.1.2, t = 2).

    0 where all texts have one vector; the lower, the more evenly they are spread; -4 where all are at right angles.

    Args:
        vectors: of length 1, at least two.

    Example:
        >>> round(uniformity(torch.eye(3)), 4)
        -4.0
    """
    distances = torch.pdist(vectors).square()
    pairs = torch.tensor(float(len(distances)), dtype=distances.dtype)
    return float(torch.logsumexp(-2 * distances, dim=0) - pairs.log()) if len(distances) else math.nan
