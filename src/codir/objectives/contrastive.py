"""CoDIR's contrast: the student's view of an example must be the one that fits the teacher's view of it."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from codir.errors import UserError, nearest
from codir.objectives.base import Objective
from codir.objectives.heads import ProjectionHead
from codir.objectives.info_nce import grouped_info_nce, info_nce
from codir.signals import (
    Batch,
    LayerChoice,
    MemoryDtype,
    MemoryKind,
    ModelShape,
    Needs,
    NegativeNeeds,
    Negatives,
    NegativeStrategy,
    Pooling,
    Representation,
    StudentSignal,
    TeacherSignal,
    resolve_layers,
)

Anchor = Literal["teacher", "student", "both"]


class Contrastive(Objective):
    """InfoNCE between the pooled layers of teacher and student (CoDIR, Sun et al. 2020, arXiv 2009.14167, §3).

    Each side's pooled layers are concatenated and projected by a head of its own, `z_T` and `z_S`.

    - `anchor="teacher"`, the paper's picture: the anchor is `z_T`, the positive the fresh `z_S` of the same example,
      the negatives are student projections from the memory: K drawn from the bank, or all that the queue holds of
      other kinds (MoCo, He et al. 2020, arXiv 1911.05722, §3.2).
    - `anchor="student"`: the anchor is `z_S`, the keys are teacher representations projected by today's head, so that
      nothing is stale. No memory is kept.
    - `anchor="both"`: the mean of the two.

    The student's anchor is the default: where the student moves fast, as in fine-tuning, its vectors in the bank are
    so stale that fresh ones are told from them at a glance, and the teacher's anchor has nothing left to learn.

    Where it departs from the authors' release: mean pooling instead of `[CLS]`, padding never counted, InfoNCE instead
    of NCE with a frozen constant, the mean over examples (theirs divides by the batch once more), negatives shared by
    the examples of a class.

    Args:
        anchor: see above.
        contrastive_temperature: tau.
        num_negatives: K, drawn from the bank and from the teacher's side.
        strategy: which examples may be negatives; `auto` fits it to the labels.
        score_distance: for scores, how far is far; one standard deviation of the training scores by default.
        teacher_layers: layers of the teacher's representation.
        student_layers: layers of the student's representation.
        pooling: mean over real tokens, or `[CLS]`.
        projection_dim: P.
        memory: `bank`, `queue`, or `auto`: what `codir.memory.choose_memory` takes for the size of the data.
        memory_dtype: of stored vectors; `float16` halves the room.
        bank_momentum: share of the old vector that a slot of the bank keeps.
        queue_size: entries of the queue, all of which are compared with.

    Raises:
        UserError: an anchor that is none of the three.

    Example:
        >>> contrast = Contrastive(num_negatives=5, projection_dim=4)
        >>> contrast.build(teacher=ModelShape(6, 8, 2, classes=2), student=ModelShape(3, 8, 2, classes=2))
        >>> student = StudentSignal(torch.randn(2, 2), {contrast.student_representation: torch.randn(2, 3, 8)})
        >>> teacher = TeacherSignal(torch.randn(2, 2), {contrast.teacher_representation: torch.randn(2, 6, 8)})
        >>> batch = Batch(model_inputs={}, example_index=torch.tensor([7, 9]))
        >>> others = Negatives(group=torch.tensor([0, 0]), teacher_pooled=torch.randn(1, 5, 6, 8))
        >>> contrast(student, teacher, batch, others).shape  # one number, a mean over the batch
        torch.Size([])
    """

    def __init__(
        self,
        *,
        anchor: Anchor = "student",
        contrastive_temperature: float = 0.07,
        num_negatives: int = 100,
        strategy: NegativeStrategy = "auto",
        score_distance: float | None = None,
        teacher_layers: LayerChoice = "all",
        student_layers: LayerChoice = "all",
        pooling: Pooling = "mean",
        projection_dim: int = 128,
        memory: MemoryKind = "auto",
        memory_dtype: MemoryDtype = "float32",
        bank_momentum: float = 0.5,
        queue_size: int = 65536,
    ) -> None:
        super().__init__()
        if anchor not in ("teacher", "student", "both"):
            raise UserError(
                "anchor",
                expected="`teacher`, `student` or `both`",
                got=repr(anchor),
                do=nearest(anchor, ["teacher", "student", "both"]),
            )
        self.anchor = anchor
        self.contrastive_temperature = contrastive_temperature
        self.projection_dim = projection_dim
        self.teacher_representation = Representation(teacher_layers, pooling)
        self.student_representation = Representation(student_layers, pooling)
        self.needs = Needs(
            teacher_pooled=frozenset({self.teacher_representation}),
            student_pooled=frozenset({self.student_representation}),
            negatives=NegativeNeeds(
                count=num_negatives,
                strategy=strategy,
                score_distance=score_distance,
                from_student=anchor != "student",
                from_teacher=anchor != "teacher",
                memory=memory,
                memory_dtype=memory_dtype,
                bank_momentum=bank_momentum,
                queue_size=queue_size,
            ),
        )

    def build(self, *, teacher: ModelShape | None, student: ModelShape) -> None:
        """Make one projection head per side."""
        assert teacher is not None, "the trainer refuses a contrast without a teacher"
        self.teacher_head = ProjectionHead(_width(self.teacher_representation, teacher), self.projection_dim)
        self.student_head = ProjectionHead(_width(self.student_representation, student), self.projection_dim)

    def embed_student(self, student: StudentSignal) -> Float[Tensor, "batch dim"]:
        """The student's side of the contrast, as the memory keeps it."""
        return self.student_head(student.pooled[self.student_representation])

    def forward(
        self, student: StudentSignal, teacher: TeacherSignal, batch: Batch, negatives: Negatives | None
    ) -> Float[Tensor, ""]:
        """Mean over all examples of the batch."""
        assert negatives is not None, "the trainer looks up what `needs.negatives` asks for"
        teacher_vectors = self.teacher_head(teacher.pooled[self.teacher_representation])
        student_vectors = self.embed_student(student)
        losses = []
        if negatives.student_vectors is not None:
            losses.append(self._contrast(teacher_vectors, student_vectors, negatives.student_vectors, negatives.group))
        if negatives.queued_vectors is not None and negatives.queued_allowed is not None:
            losses.append(
                info_nce(
                    teacher_vectors,
                    student_vectors,
                    negatives.queued_vectors,
                    allowed=negatives.queued_allowed[negatives.group],
                    temperature=self.contrastive_temperature,
                )
            )
        if negatives.teacher_pooled is not None:
            teacher_negatives = self.teacher_head(negatives.teacher_pooled)
            losses.append(self._contrast(student_vectors, teacher_vectors, teacher_negatives, negatives.group))
        return torch.stack(losses).mean()

    def _contrast(self, anchors: Tensor, positives: Tensor, negatives: Tensor, group: Tensor) -> Tensor:
        return grouped_info_nce(anchors, positives, negatives, group, temperature=self.contrastive_temperature)


def _width(representation: Representation, shape: ModelShape) -> int:
    return len(resolve_layers(representation.layers, shape.num_layers)) * shape.hidden
