"""Where one representation of the teacher meets one of the student: a head per side, and the question that is asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from codir.objectives.contrast.estimators import Estimator, Soft
from codir.objectives.contrast.keys import GroupedKeys, Keys, SharedKeys, hardest, nearest
from codir.objectives.contrast.temperature import Temperature
from codir.signals import Answered, Drawn, Negatives, OfTheStep, Queued, Unprojected
from codir.system import gather_with_gradient

Side = Literal["teacher", "student"]


class ContrastSpace(nn.Module):
    """Projects both sides and asks every anchor for its partner.

    The student's anchors look for teacher vectors, the teacher's for student vectors. The negatives are whatever
    `Negatives` holds; they are chosen elsewhere. Where the targets are soft, all anchors are the student's, and the two
    sides say whose keys they are compared with.

    Args:
        teacher_head: pooled layers to a normalised vector.
        student_head: the same.
        estimators: by whose anchors they judge; one or both sides.
        temperature: tau.
        num_hardest: keep this many of a group's negatives, see `hardest`, or with soft targets this many for each
            anchor, see `nearest`; all by default.
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
        self.last_vectors: dict[str, Tensor] = {}

    def forward(
        self,
        teacher_pooled: Float[Tensor, "batch teacher_layers teacher_hidden"],
        student_pooled: Float[Tensor, "batch student_layers student_hidden"],
        negatives: Negatives,
    ) -> Float[Tensor, ""]:
        """Mean over all anchors, and over the sides that have any."""
        teacher_vectors, student_vectors = self.teacher_head(teacher_pooled), self.student_head(student_pooled)
        self.last_vectors = {"student": student_vectors.detach(), "teacher": teacher_vectors.detach()}
        fresh = {"student": (teacher_vectors, negatives.teacher, self.teacher_head)}
        fresh["teacher"] = (student_vectors, negatives.student, self.student_head)
        sought = {
            side: positives_and_keys(rows, negatives.group, fresh=vectors, head=head)
            for side, (vectors, rows, head) in fresh.items()
            if side in self.estimators
        }
        losses = []
        for side, estimator in self.estimators.items():
            positives, keys = sought[side]
            if isinstance(estimator, Soft):
                losses.append(self._soft_loss(estimator, teacher_vectors, student_vectors, sought, side))
                continue
            if self.num_hardest is not None and isinstance(keys, GroupedKeys):
                keys = hardest(keys, teacher_vectors, self.num_hardest)
            anchors = student_vectors if side == "student" else teacher_vectors
            losses.append(estimator(anchors, positives, keys, self.temperature()))
        return torch.stack(losses).mean()

    def _soft_loss(
        self,
        estimator: Soft,
        teacher_vectors: Float[Tensor, "batch dim"],
        student_vectors: Float[Tensor, "batch dim"],
        sought: Mapping[str, tuple[Tensor, Keys]],
        side: str,
    ) -> Float[Tensor, ""]:
        """The student's similarities to the keys of a side, as the teacher's are to its own keys of the same rows."""
        (of_teacher, teacher_keys), (positives, keys) = sought["student"], sought[side]
        target = estimator.target(teacher_vectors, of_teacher, teacher_keys)
        kept = None
        if self.num_hardest is not None:
            own = torch.ones_like(target[:, :1], dtype=torch.bool)
            kept = torch.cat([own, nearest(target[:, 1:], self.num_hardest)], dim=1)
        loss: Tensor = estimator(student_vectors, positives, keys, self.temperature(), target, kept)
        return loss


def positives_and_keys(
    rows: Drawn | Unprojected | Answered | Queued | OfTheStep | None,
    group: Int[Tensor, " batch"],
    *,
    fresh: Float[Tensor, "batch dim"],
    head: nn.Module,
) -> tuple[Float[Tensor, "batch dim"], Keys]:
    """What the anchors of one side look for, and what they must tell it from.

    Args:
        rows: the negatives of this side.
        group: which set of them belongs to each anchor.
        fresh: the batch's vectors on the other side, made in this step.
        head: projects rows that are not projected yet.
    """
    match rows:
        case Drawn(vectors, positives):
            return fresh if positives is None else positives, GroupedKeys(vectors, group)
        case Unprojected(pooled):
            return fresh, GroupedKeys(head(pooled), group)
        case Queued(vectors, allowed):
            return fresh, SharedKeys(vectors, allowed[group])
        case OfTheStep(is_negative, is_positive):
            return fresh, SharedKeys(gather_with_gradient(fresh), is_negative, is_positive)
        case Answered() | None:
            raise AssertionError("the trainer looks up what `needs.negatives` asks for")
