"""Knowledge distillation on logits: the student matches the teacher's softened distribution."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from codir.config.words import KD_TEMPERATURE
from codir.objectives.base import Objective
from codir.signals import Batch, Needs, Negatives, StudentSignal, TeacherSignal
from codir.tasks import kind_of_outputs


def soft_target_loss(
    student_logits: Float[Tensor, "batch classes"],
    teacher_logits: Float[Tensor, "batch classes"],
    *,
    temperature: float = KD_TEMPERATURE,
) -> Float[Tensor, ""]:
    """`T^2 KL(softmax(teacher / T) || softmax(student / T))`, mean over examples; squared error for scores.

    Hinton et al. 2015 (arXiv 1503.02531), §2: the factor `T^2` keeps the size of the gradients when T changes. The KL
    differs from their cross-entropy by the teacher's entropy, which has no gradient, and is 0 when the two agree.
    With T = 1 it has, for the same reason, the gradient of TinyBERT's soft cross-entropy (Jiao et al. 2020, arXiv
    1909.10351, eq. 10).

    Args:
        student_logits: `[batch, classes]`; one column is a score, and T has no meaning then.
        teacher_logits: the same shape.
        temperature: T > 0.

    Example:
        >>> import torch
        >>> soft_target_loss(torch.tensor([[0.0, 0.0]]), torch.tensor([[8.0, 0.0]]), temperature=4.0)
        tensor(5.2450)
    """
    kind = kind_of_outputs(student_logits.shape[1])
    return kind.soft_loss(student_logits, teacher_logits, temperature=temperature)


class SoftTarget(Objective):
    """The KD term; see `soft_target_loss`.

    Args:
        kd_temperature: T, 2 by default.

    Raises:
        UserError: when built, for a student that is no classifier.
    """

    needs = Needs(teacher_logits=True, demands=frozenset({"classes"}), of_kind=frozenset({"answers"}))

    def __init__(self, kd_temperature: float = KD_TEMPERATURE) -> None:
        super().__init__()
        self.kd_temperature = kd_temperature

    def forward(
        self, student: StudentSignal, teacher: TeacherSignal, batch: Batch, negatives: Negatives | None
    ) -> Float[Tensor, ""]:
        """The batch's part of the mean over all that the step answers, labelled or not: examples, or their words."""
        kind = self.kind or kind_of_outputs(student.logits.shape[1])
        mean = kind.soft_loss(student.logits, teacher.logits, temperature=self.kd_temperature)
        return mean * batch.answer_weight
