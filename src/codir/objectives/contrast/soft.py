"""The soft contrast: the teacher's own similarities in place of one right answer. A pure function of similarities."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def soft_contrast(
    student_scores: Float[Tensor, "batch keys"], teacher_scores: Float[Tensor, "batch keys"]
) -> Float[Tensor, ""]:
    """`-sum_k softmax(t_i.k_T / tau_t)_k log softmax(s_i.k_S / tau_s)_k`, mean over anchors `i`.

    SEED, Fang et al. 2021 (arXiv 2101.04731): in its release both sides' keys are the teacher's (`k_S = k_T`), and the
    anchor's own teacher vector is among them. CompRess, Koohpayegani et al. 2020 (arXiv 2010.14713): in its release
    each side has keys of its own. ISD, Tejankar et al. 2021 (arXiv 2012.09259), has a slow copy as the teacher.

    Where the teacher's share of one key is 1, it is InfoNCE with that key as the positive. The least that it can be is
    the entropy of the teacher's shares, which the student reaches where its own are the same.

    Args:
        student_scores: the student's similarities to all keys, over tau_s; `-inf` where a key is none of this anchor's.
            Each anchor has at least one.
        teacher_scores: the teacher's to the same keys, in the same order, over tau_t; `-inf` in the same places, or in
            more. No gradient goes to them.

    Example:
        >>> import torch
        >>> of_teacher = torch.tensor([[0.0, -torch.inf, -torch.inf]])
        >>> soft_contrast(torch.zeros(1, 3), of_teacher)  # one right answer of three: ln(3), as InfoNCE
        tensor(1.0986)
    """
    shares = teacher_scores.detach().softmax(dim=1)
    log_shares = student_scores - student_scores.logsumexp(dim=1, keepdim=True)
    is_no_key = student_scores == -float("inf")
    return -(shares * log_shares.masked_fill(is_no_key, 0.0)).sum(dim=1).mean()
