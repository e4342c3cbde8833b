"""Attention scores matched by squared error, before their softmax: TinyBERT's attention transfer."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor

from codir.config.words import LAYER_WISE
from codir.objectives.parts.layer_by_layer import LayerByLayer
from codir.objectives.parts.layer_map import LayerMap, StudentLayers
from codir.objectives.parts.token_scores import attention_scores
from codir.signals import Needs, TokenSignal, masked_mean


def attention_mse_loss(
    student_scores: Float[Tensor, "batch heads tokens tokens"],
    teacher_scores: Float[Tensor, "batch heads tokens tokens"],
    mask: Bool[Tensor, "batch tokens"],
) -> Float[Tensor, ""]:
    """`1/h sum_i MSE(A_i^S, A_i^T)` over heads `i`, with `A = q k^T * scaling`; then the mean over examples.

    TinyBERT (Jiao et al. 2020, arXiv 1909.10351), eq. 7: the scores, which were seen to converge faster than the
    probabilities. The mean is over pairs of real tokens. TinyBERT's release sets the scores of masked keys to 0 on both
    sides and still divides by their number, so that its term shrinks with the padding.

    Example:
        >>> import torch
        >>> student, teacher = torch.zeros(1, 1, 2, 2), torch.tensor([[[[3.0, 9.0], [9.0, 9.0]]]])
        >>> attention_mse_loss(student, teacher, torch.tensor([[True, False]]))
        tensor(9.)
    """
    errors = (student_scores - teacher_scores).square()
    are_both_real = mask[:, :, None] & mask[:, None, :]
    return masked_mean(errors.flatten(start_dim=2).transpose(1, 2), are_both_real.flatten(start_dim=1)).mean()


class AttentionMSE(LayerByLayer):
    """TinyBERT's attention term; see `attention_mse_loss`. Differs from `AttentionKL`, which compares probabilities.

    Args:
        student_layers: which are matched.
        layer_map: `uniform` as in TinyBERT, `skip`, `last`, or pairs; see `match_layers`.

    Raises:
        UserError: when built, for different numbers of heads, or layers that cannot be matched.
    """

    needs = Needs(attention=True, demands=frozenset({"equal_heads"}))

    def __init__(
        self, *, student_layers: StudentLayers = LAYER_WISE.student_layers, layer_map: LayerMap = LAYER_WISE.layer_map
    ) -> None:
        super().__init__(student_layers=student_layers, layer_map=layer_map)

    def compare(self, student: TokenSignal, teacher: TokenSignal, layer: int, answer: int) -> Float[Tensor, ""]:
        """`attention_mse_loss` of the two layers' scores."""
        return attention_mse_loss(
            attention_scores(student.attention[layer - 1]),
            attention_scores(teacher.attention[answer - 1]),
            student.mask,
        )
