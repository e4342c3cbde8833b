"""Supervised contrast: every example of the anchor's class is a right partner. A pure function of similarities."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor


def supcon(
    scores: Float[Tensor, "batch keys"],
    *,
    is_positive: Bool[Tensor, "batch keys"],
    is_negative: Bool[Tensor, "batch keys"],
) -> Float[Tensor, ""]:
    """`-1/|P(i)| sum_{p in P(i)} log( exp(s_ip) / sum_{a in A(i)} exp(s_ia) )`, mean over anchors `i`.

    Khosla et al. 2020 (arXiv 2004.11362), eq. 2 (the sum outside the logarithm). `P(i)` are the keys of the anchor's
    class, its own partner among them, and `A(i)` all keys that are compared with: positives and negatives. With one
    positive each it is InfoNCE. Only then can it become 0: keys of one class compete in `A(i)`, and the least that m of
    them can reach is `ln m`.

    Differs from the paper in what the keys are: there all other views of the batch, here the other model's view of each
    example, so that the two models meet and an anchor is never compared with its own side.

    Args:
        scores: similarities of every anchor to every key, over tau.
        is_positive: `P(i)`; at least one for every anchor.
        is_negative: the rest of `A(i)`.

    Example:
        >>> import torch
        >>> same_class = torch.tensor([[True, True, False, False]])
        >>> supcon(torch.zeros(1, 4), is_positive=same_class, is_negative=~same_class)  # ln(4)
        tensor(1.3863)
    """
    compared = scores.masked_fill(~(is_positive | is_negative), -float("inf"))
    log_shares = compared - compared.logsumexp(dim=1, keepdim=True)
    per_anchor = log_shares.masked_fill(~is_positive, 0.0).sum(dim=1) / is_positive.sum(dim=1)
    return -per_anchor.mean()
