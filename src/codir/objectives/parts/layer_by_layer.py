"""What the objectives over tokens share: each student layer is compared with the teacher layer that answers to it."""

from __future__ import annotations

from abc import abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from codir.objectives.base import Objective
from codir.objectives.parts.layer_map import LayerMap, StudentLayers, match_layers
from codir.signals import Batch, ModelShape, Negatives, StudentSignal, TeacherSignal, TokenSignal


class LayerByLayer(Objective):
    """The mean of `compare` over matched layers. Papers that sum over layers have a weight that grows with the student.

    Args:
        student_layers: which are matched; one alone where a stage opens them one by one.
        layer_map: `uniform`, `skip`, `last`, or pairs; see `match_layers`.

    Raises:
        UserError: when built, for layers that cannot be matched.
    """

    def __init__(self, *, student_layers: StudentLayers, layer_map: LayerMap) -> None:
        super().__init__()
        self.student_layers, self.layer_map = student_layers, layer_map

    def make_weights(self, *, teacher: ModelShape | None, student: ModelShape) -> None:
        """Match the layers."""
        assert teacher is not None, "`needs` asks for one"
        self.pairs = match_layers(
            self.layer_map, self.student_layers, teacher_depth=teacher.num_layers, student_depth=student.num_layers
        )

    @abstractmethod
    def compare(self, student: TokenSignal, teacher: TokenSignal, layer: int, answer: int) -> Float[Tensor, ""]:
        """Loss of student layer `layer` against teacher layer `answer`: a mean over examples."""

    def forward(
        self, student: StudentSignal, teacher: TeacherSignal, batch: Batch, negatives: Negatives | None
    ) -> Float[Tensor, ""]:
        """Mean over matched layers and examples."""
        assert student.tokens is not None, "`needs` asks for them"
        assert teacher.tokens is not None, "`needs` asks for them"
        losses = [self.compare(student.tokens, teacher.tokens, layer, answer) for layer, answer in self.pairs]
        return torch.stack(losses).mean()
