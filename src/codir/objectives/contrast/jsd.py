"""The Jensen-Shannon estimate of mutual information between two views. A pure function of similarities."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def jsd(
    positive_scores: Float[Tensor, " batch"], negative_scores: Float[Tensor, "batch negatives"]
) -> Float[Tensor, ""]:
    """`sp(-T(k0)) + mean_j sp(T(kj))`, mean over anchors, where `sp(x) = ln(1 + e^x)`.

    The negative of Hjelm et al. 2019 (arXiv 1808.06670), eq. 4, with the similarity over tau as the discriminator T. It
    is the cross-entropy of telling partners from strangers, both equally likely, so that, other than with InfoNCE and
    NCE, its size is the same for any number of negatives: `2 ln 2` where all T are 0, and 0 at the best.

    Args:
        positive_scores: similarities to the right keys, over tau.
        negative_scores: similarities to the negatives, over tau; `-inf` where a key is none of this anchor's. An anchor
            without any has the first part alone.

    Example:
        >>> import torch
        >>> jsd(torch.zeros(2), torch.zeros(2, 50))
        tensor(1.3863)
    """
    count = (negative_scores > -float("inf")).sum(dim=1).clamp(min=1)
    right = F.softplus(-positive_scores)
    wrong = F.softplus(negative_scores).sum(dim=1) / count
    return (right + wrong).mean()
