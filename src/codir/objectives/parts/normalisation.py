"""What is done to vectors before they are compared, so that their size, or their offset, does not count."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from codir.config.words import Normalisation


def normalise(vectors: Float[Tensor, "*shape hidden"], normalisation: Normalisation) -> Float[Tensor, "*shape hidden"]:
    """Over the last axis: nothing; to length 1; or to mean 0 and variance 1, a layer norm without weights.

    Example:
        >>> import torch
        >>> normalise(torch.tensor([[3.0, 4.0]]), "l2")
        tensor([[0.6000, 0.8000]])
        >>> normalise(torch.tensor([[3.0, 5.0]]), "layer")
        tensor([[-1.0000,  1.0000]])
    """
    if normalisation == "l2":
        return F.normalize(vectors, dim=-1)
    if normalisation == "layer":
        return F.layer_norm(vectors, vectors.shape[-1:])
    return vectors
