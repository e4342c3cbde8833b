"""Token vectors of the last layer that point the same way: DistilBERT's third term."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from codir.config.words import TOKEN_COSINE, WidthMap
from codir.objectives.parts.layer_by_layer import LayerByLayer
from codir.objectives.parts.layer_map import LayerMap, StudentLayers
from codir.objectives.parts.width_map import build_width_map
from codir.signals import ModelShape, Needs, TokenSignal, masked_mean


def token_cosine_loss(
    student_hidden: Float[Tensor, "batch tokens hidden"],
    teacher_hidden: Float[Tensor, "batch tokens hidden"],
    mask: Bool[Tensor, "batch tokens"],
) -> Float[Tensor, ""]:
    """`1 - cos(h_T, h_S)`, mean over the real tokens of an example, then over examples; between 0 and 2.

    Sanh et al. 2019 (arXiv 1910.01108), §3, `L_cos`. Their release takes the mean over all real tokens of a batch at
    once, where long examples count for more.

    Example:
        >>> import torch
        >>> student, teacher = torch.tensor([[[1.0, 0.0], [7.0, 7.0]]]), torch.tensor([[[0.0, 5.0], [1.0, 0.0]]])
        >>> token_cosine_loss(student, teacher, torch.tensor([[True, False]]))
        tensor(1.)
    """
    distances = 1 - F.cosine_similarity(student_hidden, teacher_hidden, dim=-1)
    return masked_mean(distances.unsqueeze(-1), mask).mean()


class TokenCosine(LayerByLayer):
    """DistilBERT's cosine term; see `token_cosine_loss`.

    Args:
        student_layers: which are matched; the last in the paper.
        layer_map: `uniform`, `skip`, `last`, or pairs; see `match_layers`.
        width_map: `none` as in the paper, or `linear`, one map for all layers.

    Raises:
        UserError: when built, for widths that differ without a map, or layers that cannot be matched.
    """

    needs = Needs(hidden_states=True)

    def __init__(
        self,
        *,
        student_layers: StudentLayers = TOKEN_COSINE.student_layers,
        layer_map: LayerMap = TOKEN_COSINE.layer_map,
        width_map: WidthMap = TOKEN_COSINE.width_map,
    ) -> None:
        super().__init__(student_layers=student_layers, layer_map=layer_map)
        self.width_map = width_map

    def make_weights(self, *, teacher: ModelShape | None, student: ModelShape) -> None:
        """Match the layers, and make the map between widths."""
        super().make_weights(teacher=teacher, student=student)
        assert teacher is not None, "`needs` asks for one"
        self.map = build_width_map(self.width_map, student_width=student.hidden, teacher_width=teacher.hidden)

    def compare(self, student: TokenSignal, teacher: TokenSignal, layer: int, answer: int) -> Float[Tensor, ""]:
        """`token_cosine_loss` of the two layers' hidden states."""
        return token_cosine_loss(self.map(student.hidden_states[layer]), teacher.hidden_states[answer], student.mask)
