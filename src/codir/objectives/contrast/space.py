"""Where one representation of the teacher meets one of the student: a head per side, and the question that is asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from codir.objectives.contrast.estimators import Estimator
from codir.objectives.contrast.keys import GroupedKeys, Keys, SharedKeys, hardest
from codir.objectives.contrast.temperature import Temperature
from codir.signals import Negatives
from codir.system import gather_with_gradient

Side = Literal["teacher", "student"]


class ContrastSpace(nn.Module):
    """Projects both sides and asks every anchor for its partner.

    The student's anchors look for teacher vectors, the teacher's for student vectors. Whence the others come that they
    have to be told from is not chosen here: whatever `Negatives` holds.

    Args:
        teacher_head: pooled layers to a normalised vector.
        student_head: the same.
        estimators: by whose anchors they judge; one or both sides.
        temperature: tau.
        num_hardest: keep this many of a group's negatives, see `hardest`; all by default.
    """

    def __init__(
        self,
        *,
        teacher_head: nn.Module,
        student_head: nn.Module,
        estimators: Mapping[str, Estimator],
        temperature: Temperature,
        num_hardest: int | None = None,
    ) -> None:
        super().__init__()
        self.teacher_head, self.student_head = teacher_head, student_head
        self.estimators, self.temperature = nn.ModuleDict(estimators), temperature
        self.num_hardest = num_hardest

    def forward(
        self,
        teacher_pooled: Float[Tensor, "batch teacher_layers teacher_hidden"],
        student_pooled: Float[Tensor, "batch student_layers student_hidden"],
        negatives: Negatives,
    ) -> Float[Tensor, ""]:
        """Mean over all anchors, and over the sides that have any."""
        teacher_vectors, student_vectors = self.teacher_head(teacher_pooled), self.student_head(student_pooled)
        losses = []
        for side, estimator in self.estimators.items():
            if side == "student":
                anchors, (positives, keys) = student_vectors, self._teacher_keys(teacher_vectors, negatives)
            else:
                anchors, (positives, keys) = teacher_vectors, self._student_keys(student_vectors, negatives)
            if self.num_hardest is not None and isinstance(keys, GroupedKeys):
                keys = hardest(keys, teacher_vectors, self.num_hardest)
            losses.append(estimator(anchors, positives, keys, self.temperature()))
        return torch.stack(losses).mean()

    def _teacher_keys(self, vectors: Tensor, negatives: Negatives) -> tuple[Tensor, Keys]:
        """The student's anchors' positives and keys."""
        if negatives.step_negative is not None:
            return vectors, _of_the_step(vectors, negatives)
        if negatives.queued_teacher_vectors is not None and negatives.queued_allowed is not None:
            return vectors, SharedKeys(negatives.queued_teacher_vectors, negatives.queued_allowed[negatives.group])
        if negatives.teacher_vectors is not None and negatives.teacher_positives is not None:
            return negatives.teacher_positives, GroupedKeys(negatives.teacher_vectors, negatives.group)
        assert negatives.teacher_pooled is not None, "the trainer looks up what `needs.negatives` asks for"
        return vectors, GroupedKeys(self.teacher_head(negatives.teacher_pooled), negatives.group)

    def _student_keys(self, vectors: Tensor, negatives: Negatives) -> tuple[Tensor, Keys]:
        """The teacher's anchors' positives and keys."""
        if negatives.step_negative is not None:
            return vectors, _of_the_step(vectors, negatives)
        if negatives.queued_vectors is not None and negatives.queued_allowed is not None:
            return vectors, SharedKeys(negatives.queued_vectors, negatives.queued_allowed[negatives.group])
        assert negatives.student_vectors is not None, "the trainer looks up what `needs.negatives` asks for"
        positives = vectors if negatives.student_positives is None else negatives.student_positives
        return positives, GroupedKeys(negatives.student_vectors, negatives.group)


def _of_the_step(vectors: Tensor, negatives: Negatives) -> SharedKeys:
    assert negatives.step_negative is not None
    return SharedKeys(gather_with_gradient(vectors), negatives.step_negative, negatives.step_positive)
