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
        target: `matched`, or `all`: one linear map from all chosen student layers to every layer of the teacher; or
            `principal`: to the principal components of the teacher's layers, the fixed space that a contrast with
            `teacher_head="pca"` meets its teacher in (`codir.teacher.PrincipalSpace`). With `normalisation="l2"` it is
            `2 / P` times the cosine distance there.
        student_layers: which are matched; PKD leaves the last out, whose answer the logits are.
        layer_map: `uniform`, `skip`, `last`, or pairs; has no meaning unless layers are `matched`.
        width_map: `linear`, a map per layer, or `none` as in PKD, which has none; no meaning there either.
        projection_dim: P, for `target="principal"`; all components where there are fewer.

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
        projection_dim: int = POOLED_MSE.projection_dim,
    ) -> None:
        super().__init__()
        self.normalisation, self.target, self.projection_dim = normalisation, target, projection_dim
        self.student_layers, self.layer_map, self.width_map = student_layers, layer_map, width_map
        self.representation = Representation("all", pooling)
        principal = projection_dim if target == "principal" else None
        self.teacher_representation = Representation("all", pooling, principal)
        self.needs = Needs(
            teacher_pooled=frozenset({self.teacher_representation}), student_pooled=frozenset({self.representation})
        )

    def make_weights(self, *, teacher: ModelShape | None, student: ModelShape) -> None:
        """Match the layers, and make the maps between widths."""
        assert teacher is not None, "`needs` asks for one"
        is_matched = self.target == "matched"
        pairs = match_layers(
            self.layer_map if is_matched else "uniform",
            self.student_layers,
            teacher_depth=teacher.num_layers,
            student_depth=student.num_layers,
        )
        self.student_index = [layer - 1 for layer, _ in pairs]
        self.map: nn.Module
        if is_matched:
            self.teacher_index = [answer - 1 for _, answer in pairs]
            self.map = MapEachLayer(
                self.width_map, layers=len(pairs), student_width=student.hidden, teacher_width=teacher.hidden
            )
            return
        shape = (teacher.num_layers, teacher.hidden)
        if self.target == "principal":  # one vector in the place of the layers; no more axes than dimensions
            shape = (1, min(self.projection_dim, teacher.num_layers * teacher.hidden))
        self.teacher_index = [*range(shape[0])]
        self.map = MapAllLayers(student_shape=(len(pairs), student.hidden), teacher_shape=shape)

    def forward(
        self, student: StudentSignal, teacher: TeacherSignal, batch: Batch, negatives: Negatives | None
    ) -> Float[Tensor, ""]:
        """Mean over all examples."""
        return pooled_mse_loss(
            self.map(student.pooled[self.representation][:, self.student_index]),
            teacher.pooled[self.teacher_representation][:, self.teacher_index],
            normalisation=self.normalisation,
        )
