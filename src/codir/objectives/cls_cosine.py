"""`[CLS]` vectors that point the same way, layer by layer: the second half of internal distillation."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from codir.config.words import CLS_COSINE, WidthMap
from codir.objectives.base import Objective
from codir.objectives.parts.layer_map import LayerMap, StudentLayers, match_layers
from codir.objectives.parts.width_map import MapEachLayer
from codir.signals import Batch, ModelShape, Needs, Negatives, Representation, StudentSignal, TeacherSignal


def cls_cosine_loss(
    student_cls: Float[Tensor, "batch layers hidden"], teacher_cls: Float[Tensor, "batch layers hidden"]
) -> Float[Tensor, ""]:
    """`1 - cos(h_T, h_S)`, mean over matched layers and examples; between 0 and 2.

    Aguilar et al. 2020 (arXiv 1910.03723), the cosine loss on the `[CLS]` activations of a layer. PKD's squared
    distance of normalised vectors is `2 / hidden` times this (`pooled_mse_loss`).

    Example:
        >>> import torch
        >>> cls_cosine_loss(torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[0.0, 5.0]]]))
        tensor(1.)
    """
    return (1 - F.cosine_similarity(student_cls, teacher_cls, dim=-1)).mean()


class ClsCosine(Objective):
    """Internal distillation's cosine term; see `cls_cosine_loss`.

    Args:
        student_layers: which are matched.
        layer_map: `uniform`, `skip`, `last`, or pairs; see `match_layers`.
        width_map: `none` as in the paper, or `linear`, a map per layer.

    Raises:
        UserError: when built, for widths that differ without a map, or layers that cannot be matched.
    """

    representation = Representation("all", "cls")
    needs = Needs(teacher_pooled=frozenset({representation}), student_pooled=frozenset({representation}))

    def __init__(
        self,
        *,
        student_layers: StudentLayers = CLS_COSINE.student_layers,
        layer_map: LayerMap = CLS_COSINE.layer_map,
        width_map: WidthMap = CLS_COSINE.width_map,
    ) -> None:
        super().__init__()
        self.student_layers, self.layer_map, self.width_map = student_layers, layer_map, width_map

    def make_weights(self, *, teacher: ModelShape | None, student: ModelShape) -> None:
        """Match the layers, and make the maps between widths."""
        assert teacher is not None, "`needs` asks for one"
        pairs = match_layers(
            self.layer_map, self.student_layers, teacher_depth=teacher.num_layers, student_depth=student.num_layers
        )
        self.student_index = [layer - 1 for layer, _ in pairs]
        self.teacher_index = [answer - 1 for _, answer in pairs]
        self.map = MapEachLayer(
            self.width_map, layers=len(pairs), student_width=student.hidden, teacher_width=teacher.hidden
        )

    def forward(
        self, student: StudentSignal, teacher: TeacherSignal, batch: Batch, negatives: Negatives | None
    ) -> Float[Tensor, ""]:
        """Mean over all examples."""
        return cls_cosine_loss(
            self.map(student.pooled[self.representation][:, self.student_index]),
            teacher.pooled[self.representation][:, self.teacher_index],
        )
