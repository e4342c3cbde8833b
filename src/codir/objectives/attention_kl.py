"""Attention probabilities matched by KL, head by head: MobileBERT's attention transfer, and internal distillation's."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor

from codir.config.words import LAYER_WISE
from codir.objectives.parts.layer_by_layer import LayerByLayer
from codir.objectives.parts.layer_map import LayerMap, StudentLayers
from codir.objectives.parts.token_scores import attention_scores, score_kl
from codir.signals import AttentionInputs, Needs, TokenSignal


def attention_kl_loss(
    student: AttentionInputs, teacher: AttentionInputs, mask: Bool[Tensor, "batch tokens"]
) -> Float[Tensor, ""]:
    """`1/(T A) sum_t sum_a KL(a_T[t,a] || a_S[t,a])` over real tokens `t` and heads `a`; then the mean over examples.

    MobileBERT (Sun et al. 2020, arXiv 2004.02984), `L_AT`; Aguilar et al. 2020 (arXiv 1910.03723) take the same KL,
    row by row of each head. `a = softmax(q k^T * scaling)` over real tokens: what attention without a causal or a
    relative part would give.

    Example:
        >>> import torch
        >>> one = torch.ones(1, 1, 2, 4)
        >>> attention = AttentionInputs(one, one, one, scaling=0.5)
        >>> attention_kl_loss(attention, attention, torch.tensor([[True, True]]))
        tensor(0.)
    """
    return score_kl(attention_scores(student), attention_scores(teacher), mask)


class AttentionKL(LayerByLayer):
    """The teacher's attention as a target; see `attention_kl_loss`.

    Differs from `AttentionMSE`, which compares scores, and from `RelationKL`, which needs no equal number of heads.

    Args:
        student_layers: which are matched.
        layer_map: `uniform`, `skip`, `last`, or pairs; see `match_layers`.

    Raises:
        UserError: when built, for different numbers of heads, or layers that cannot be matched.
    """

    needs = Needs(attention=True, demands=frozenset({"equal_heads"}))

    def __init__(
        self, *, student_layers: StudentLayers = LAYER_WISE.student_layers, layer_map: LayerMap = LAYER_WISE.layer_map
    ) -> None:
        super().__init__(student_layers=student_layers, layer_map=layer_map)

    def compare(self, student: TokenSignal, teacher: TokenSignal, layer: int, answer: int) -> Float[Tensor, ""]:
        """`attention_kl_loss` of the two layers."""
        return attention_kl_loss(student.attention[layer - 1], teacher.attention[answer - 1], student.mask)
