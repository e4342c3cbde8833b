"""Pooled layers matched by squared error: PKD, and the contrast's closest rival."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from codir.config.words import POOLED_MSE, Normalisation, PooledTarget, Pooling, WidthMap
from codir.objectives.base import Objective
from codir.objectives.parts.layer_map import LayerMap, StudentLayers, match_layers
from codir.objectives.parts.normalisation import normalise
from codir.objectives.parts.width_map import MapAllLayers, MapEachLayer
from codir.signals import Batch, ModelShape, Needs, Negatives, Representation, StudentSignal, TeacherSignal


def pooled_mse_loss(
    student_pooled: Float[Tensor, "batch layers hidden"],
    teacher_pooled: Float[Tensor, "batch layers hidden"],
    *,
    normalisation: Normalisation = POOLED_MSE.normalisation,
) -> Float[Tensor, ""]:
    """`||n(h_S) - n(h_T)||^2 / hidden`, mean over matched layers and examples.

    With `n = l2` on `[CLS]`, PKD's patient loss (Sun et al. 2019, arXiv 1908.09355, eq. 7). The equation sums over
    the vector, the authors' release takes the mean (`F.mse_loss`), and their weights of 10 to 1,000 belong to that
    mean, so it is a mean here. It equals `2 / hidden` times the cosine distance.

    With `n = layer` both vectors have mean 0 and variance 1, and the value is about `2 (1 - correlation)` at any width.

    Args:
        student_pooled: one vector per matched layer, mapped to the teacher's width.
        teacher_pooled: the vectors that answer to them.
        normalisation: `l2`, `layer`, or `none`.

    Example:
        >>> import torch
        >>> student, teacher = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[0.0, 5.0]]])
        >>> pooled_mse_loss(student, teacher, normalisation="l2")
        tensor(1.)
    """
    return F.mse_loss(normalise(student_pooled, normalisation), normalise(teacher_pooled, normalisation))


class PooledMSE(Objective):
    """Each student layer's pooled vector matches that of the teacher layer which answers to it.

    See `pooled_mse_loss` for the formula and `match_layers` for the layers.

    Args:
        normalisation: `l2` as in PKD, `layer`, or `none`.
        pooling: `cls` as in PKD, or the mean over real tokens.
        target: `matched`, or `all`: one linear map from all chosen student layers to every layer of the teacher.
        student_layers: which are matched; PKD leaves the last out, whose answer the logits are.
        layer_map: `uniform`, `skip`, `last`, or pairs; has no meaning for `target="all"`.
        width_map: `linear`, a map per layer, or `none` as in PKD, which has none; no meaning for `target="all"` either.

    Raises:
        UserError: when built, for widths that differ without a map, or layers that cannot be matched.
    """

    def __init__(
        self,
        *,
        normalisation: Normalisation = POOLED_MSE.normalisation,
        pooling: Pooling = POOLED_MSE.pooling,
        target: PooledTarget = POOLED_MSE.target,
        student_layers: StudentLayers = POOLED_MSE.student_layers,
        layer_map: LayerMap = POOLED_MSE.layer_map,
        width_map: WidthMap = POOLED_MSE.width_map,
    ) -> None:
        super().__init__()
        self.normalisation, self.target = normalisation, target
        self.student_layers, self.layer_map, self.width_map = student_layers, layer_map, width_map
        self.representation = Representation("all", pooling)
        asked = frozenset({self.representation})
        self.needs = Needs(teacher_pooled=asked, student_pooled=asked)

    def make_weights(self, *, teacher: ModelShape | None, student: ModelShape) -> None:
        """Match the layers, and make the maps between widths."""
        assert teacher is not None, "`needs` asks for one"
        is_all = self.target == "all"
        pairs = match_layers(
            "uniform" if is_all else self.layer_map,
            self.student_layers,
            teacher_depth=teacher.num_layers,
            student_depth=student.num_layers,
        )
        self.student_index = [layer - 1 for layer, _ in pairs]
        self.teacher_index = [*range(teacher.num_layers)] if is_all else [answer - 1 for _, answer in pairs]
        self.map: nn.Module
        if is_all:
            teacher_shape = (teacher.num_layers, teacher.hidden)
            self.map = MapAllLayers(student_shape=(len(pairs), student.hidden), teacher_shape=teacher_shape)
        else:
            self.map = MapEachLayer(
                self.width_map, layers=len(pairs), student_width=student.hidden, teacher_width=teacher.hidden
            )

    def forward(
        self, student: StudentSignal, teacher: TeacherSignal, batch: Batch, negatives: Negatives | None
    ) -> Float[Tensor, ""]:
        """Mean over all examples."""
        return pooled_mse_loss(
            self.map(student.pooled[self.representation][:, self.student_index]),
            teacher.pooled[self.representation][:, self.teacher_index],
            normalisation=self.normalisation,
        )
