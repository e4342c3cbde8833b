"""What the tokens of a text say of one another: scores between them, and how far two models' scores are apart.

Attention is one such set of scores; the relations of MiniLM are others.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from codir.signals import AttentionInputs, masked_mean


def token_scores(
    left: Float[Tensor, "batch heads tokens head_dim"],
    right: Float[Tensor, "batch heads tokens head_dim"],
    scaling: float,
) -> Float[Tensor, "batch heads tokens tokens"]:
    """`A = scaling * left right^T` per head: row `i` holds what token `i` makes of every token `j`.

    Example:
        >>> token_scores(torch.ones(1, 1, 2, 4), torch.ones(1, 1, 2, 4), 0.5)
        tensor([[[[2., 2.],
                  [2., 2.]]]])
    """
    return scaling * left @ right.transpose(-1, -2)


def attention_scores(attention: AttentionInputs) -> Float[Tensor, "batch heads tokens tokens"]:
    """The model's own attention before its softmax; computed here, so that it may run its fastest attention.

    Example:
        >>> vectors = torch.ones(1, 1, 2, 4)
        >>> attention_scores(AttentionInputs(vectors, vectors, vectors, scaling=0.25))[0, 0, 0]
        tensor([1., 1.])
    """
    return token_scores(attention.query, attention.key, attention.scaling)


def score_kl(
    student_scores: Float[Tensor, "batch heads tokens tokens"],
    teacher_scores: Float[Tensor, "batch heads tokens tokens"],
    mask: Bool[Tensor, "batch tokens"],
) -> Float[Tensor, ""]:
    """`KL(softmax(teacher_i) || softmax(student_i))` over rows `i`; mean over heads and real tokens, then examples.

    Padding is left out on both axes: as a token that is attended to, and as one that attends.

    Example:
        >>> even, mask = torch.zeros(1, 1, 2, 2), torch.tensor([[True, True]])
        >>> score_kl(even, torch.tensor([[[[9.0, 0.0], [0.0, 0.0]]]]), mask)  # almost ln 2 in one row, 0 in the other
        tensor(0.3460)
    """
    student_log_probs = _log_softmax_over_real(student_scores, mask)
    teacher_log_probs = _log_softmax_over_real(teacher_scores, mask)
    divergence = F.kl_div(student_log_probs, teacher_log_probs, reduction="none", log_target=True).sum(dim=-1)
    return masked_mean(divergence.transpose(1, 2), mask).mean()


def _log_softmax_over_real(scores: Tensor, mask: Tensor) -> Tensor:
    least = torch.finfo(scores.dtype).min  # not -inf: the KL would take -inf from -inf
    return F.log_softmax(scores.masked_fill(~mask[:, None, None, :], least), dim=-1)
