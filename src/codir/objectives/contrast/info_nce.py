"""InfoNCE: pick the one right partner out of K + 1. Pure functions of normalised vectors."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from codir.config.words import CONTRAST


def info_nce(
    anchors: Float[Tensor, "batch dim"],
    positives: Float[Tensor, "batch dim"],
    negatives: Float[Tensor, "batch negatives dim"] | Float[Tensor, "negatives dim"],
    *,
    allowed: Bool[Tensor, "batch negatives"] | None = None,
    temperature: float = CONTRAST.contrastive_temperature,
) -> Float[Tensor, ""]:
    """`-log( exp(a.k0 / tau) / sum_{j=0..K} exp(a.kj / tau) )`, mean over anchors; `k0` is the positive.

    CoDIR (Sun et al. 2020, arXiv 2009.14167), eq. 2, in the form of van den Oord et al. 2018 (arXiv 1807.03748), eq. 4.
    Between `ln(K + 1)`, where all similarities are equal and nothing is learned, and 0.

    Args:
        anchors: L2-normalised, `[batch, dim]`.
        positives: L2-normalised, row `i` belongs to anchor `i`.
        negatives: L2-normalised, `[batch, K, dim]`, or `[K, dim]` shared by all anchors, which is a matrix product.
        allowed: which of them count for which anchor; all by default. An anchor that none count for has loss 0.
        temperature: tau > 0.

    Example:
        >>> a = F.normalize(torch.ones(2, 4), dim=1)
        >>> info_nce(a, a, a.repeat(50, 1))  # ln(101): nothing to tell apart
        tensor(4.6151)
    """
    equation = "bp,kp->bk" if negatives.ndim == 2 else "bp,bkp->bk"
    scores = torch.einsum(equation, anchors, negatives)
    return info_nce_from_scores(
        (anchors * positives).sum(dim=1),
        scores if allowed is None else scores.masked_fill(~allowed, -torch.inf),
        temperature=temperature,
    )


def grouped_info_nce(
    anchors: Float[Tensor, "batch dim"],
    positives: Float[Tensor, "batch dim"],
    negatives: Float[Tensor, "groups negatives dim"],
    group: Int[Tensor, " batch"],
    *,
    temperature: float = CONTRAST.contrastive_temperature,
) -> Float[Tensor, ""]:
    """`info_nce` where the anchors of one group share their negatives.

    Equal to `info_nce(anchors, positives, negatives[group])` without copying K vectors per anchor: on a CPU one matrix
    product per group; elsewhere, where to learn the groups' sizes would be to wait for the device, one product of every
    anchor with every group's set, of which each anchor keeps its own row.

    Args:
        anchors: L2-normalised, `[batch, dim]`.
        positives: L2-normalised, `[batch, dim]`.
        negatives: L2-normalised, one set of K per group.
        group: which set belongs to each anchor.
        temperature: tau > 0.

    Example:
        >>> a = F.normalize(torch.ones(2, 4), dim=1)
        >>> grouped_info_nce(a, a, a.repeat(2, 50, 1).reshape(2, 100, 4), torch.tensor([0, 1]))
        tensor(4.6151)
    """
    if negatives.device.type != "cpu":
        right, wrong_scores = (anchors * positives).sum(dim=1), grouped_scores(anchors, negatives, group)
        return info_nce_from_scores(right, wrong_scores, temperature=temperature)
    order, sizes = group.argsort(), group.bincount(minlength=len(negatives)).tolist()
    scaled = (anchors / temperature).index_select(0, order)
    right = (scaled * positives.index_select(0, order)).sum(dim=1)
    parts = zip(torch.split(scaled, sizes), negatives, strict=True)
    wrong = torch.cat([(part @ keys.T).logsumexp(dim=1) for part, keys in parts])
    return F.softplus(wrong - right).mean()  # -log(e^r / (e^r + e^w)) = log(1 + e^(w - r))


def grouped_scores(
    anchors: Float[Tensor, "batch dim"],
    negatives: Float[Tensor, "groups negatives dim"],
    group: Int[Tensor, " batch"],
) -> Float[Tensor, "batch negatives"]:
    """Similarity of each anchor to its own group's negatives, in one matrix product for all groups.

    Example:
        >>> negatives = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])
        >>> grouped_scores(torch.tensor([[3.0, 4.0], [5.0, 6.0]]), negatives, torch.tensor([1, 0]))
        tensor([[4.],
                [5.]])
    """
    groups, count, _ = negatives.shape
    scores = (anchors @ negatives.flatten(0, 1).T).view(len(anchors) * groups, count)
    own = torch.arange(len(anchors), device=anchors.device) * groups + group
    return scores.index_select(0, own)


def info_nce_from_scores(
    positive_scores: Float[Tensor, " batch"], negative_scores: Float[Tensor, "batch negatives"], *, temperature: float
) -> Float[Tensor, ""]:
    """InfoNCE of similarities that are computed already: cross-entropy whose right answer is column 0.

    Example:
        >>> info_nce_from_scores(torch.zeros(1), torch.zeros(1, 1), temperature=0.07)  # ln(2)
        tensor(0.6931)
    """
    logits = torch.cat([positive_scores.unsqueeze(1), negative_scores], dim=1) / temperature
    first = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
    return F.cross_entropy(logits, first)
