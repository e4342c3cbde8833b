"""Attention probabilities matched by KL, head by head: MobileBERT's attention transfer, and internal distillation's."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from codir.objectives.base import Objective
from codir.objectives.layer_map import LayerMap, StudentLayers, match_layers
from codir.objectives.token_scores import attention_scores, check_equal_heads, score_kl
from codir.signals import AttentionInputs, Batch, ModelShape, Needs, Negatives, StudentSignal, TeacherSignal


def attention_kl_loss(
    student: AttentionInputs, teacher: AttentionInputs, mask: Bool[Tensor, "batch tokens"]
) -> Float[Tensor, ""]:
    """`1/(T A) sum_t sum_a KL(a_T[t,a] || a_S[t,a])` over real tokens `t` and heads `a`; then the mean over examples.

    MobileBERT (Sun et al. 2020, arXiv 2004.02984), `L_AT`; Aguilar et al. 2020 (arXiv 1910.03723) take the same KL,
    row by row of each head. `a = softmax(q k^T * scaling)` over real tokens: what attention without a causal or a
    relative part would give.

    Example:
        >>> one = torch.ones(1, 1, 2, 4)
        >>> attention = AttentionInputs(one, one, one, scaling=0.5)
        >>> attention_kl_loss(attention, attention, torch.tensor([[True, True]]))
        tensor(0.)
    """
    return score_kl(attention_scores(student), attention_scores(teacher), mask)


class AttentionKL(Objective):
    """The teacher's attention as a target; see `attention_kl_loss`.

    Differs from `AttentionMSE`, which compares scores, and from `RelationKL`, which needs no equal number of heads.

    Args:
        student_layers: which are matched.
        layer_map: `uniform`, `skip`, `last`, or pairs; see `match_layers`.

    Raises:
        UserError: when built, for different numbers of heads, or layers that cannot be matched.
    """

    needs = Needs(attention=True)

    def __init__(self, *, student_layers: StudentLayers = "all", layer_map: LayerMap = "uniform") -> None:
        super().__init__()
        self.student_layers, self.layer_map = student_layers, layer_map

    def build(self, *, teacher: ModelShape | None, student: ModelShape) -> None:
        """Match the layers."""
        assert teacher is not None, "`needs` asks for one"
        check_equal_heads("attention_kl", teacher=teacher, student=student)
        self.pairs = match_layers(
            self.layer_map, self.student_layers, teacher_depth=teacher.num_layers, student_depth=student.num_layers
        )

    def forward(
        self, student: StudentSignal, teacher: TeacherSignal, batch: Batch, negatives: Negatives | None
    ) -> Float[Tensor, ""]:
        """Mean over matched layers and examples."""
        assert student.tokens is not None, "`needs` asks for it"
        assert teacher.tokens is not None, "`needs` asks for it"
        losses = [
            attention_kl_loss(
                student.tokens.attention[layer - 1], teacher.tokens.attention[answer - 1], student.tokens.mask
            )
            for layer, answer in self.pairs
        ]
        return torch.stack(losses).mean()
