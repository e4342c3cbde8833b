"""Knowledge distillation over the vocabulary: at every predicted position, the teacher's distribution over tokens."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from codir.config.words import KD_TEMPERATURE
from codir.objectives.base import Objective
from codir.objectives.soft_target import soft_target_loss
from codir.signals import Batch, Needs, Negatives, StudentSignal, TeacherSignal


def token_kl_loss(
    student_token_logits: Float[Tensor, "predicted vocabulary"],
    teacher_token_logits: Float[Tensor, "predicted vocabulary"],
    *,
    temperature: float = KD_TEMPERATURE,
) -> Float[Tensor, ""]:
    """`T^2 KL(softmax(teacher_p / T) || softmax(student_p / T))`, mean over predicted positions `p`; 0 without any.

    `soft_target_loss` (Hinton et al. 2015, arXiv 1503.02531) with tokens in place of examples. DistilBERT's `L_ce`
    (Sanh et al. 2019, arXiv 1910.01108, §3), over the masked tokens as in their release, and the KL term of CoDIR's
    pre-training (Sun et al. 2020, arXiv 2009.14167).

    Args:
        student_token_logits: of the predicted positions of all rows.
        teacher_token_logits: of the same positions.
        temperature: T > 0.

    Example:
        >>> import torch
        >>> token_kl_loss(torch.tensor([[0.0, 0.0]]), torch.tensor([[8.0, 0.0]]), temperature=4.0)
        tensor(5.2450)
    """
    if not len(student_token_logits):
        return student_token_logits.sum()  # 0, with a gradient
    return soft_target_loss(student_token_logits, teacher_token_logits, temperature=temperature)


class TokenKL(Objective):
    """The KD term of pre-training; see `token_kl_loss`. In fine-tuning `SoftTarget` stands in its place.

    Args:
        kd_temperature: T, 2 by default.

    Raises:
        UserError: when built, for models that do not choose from the same vocabulary.
    """

    needs = Needs(teacher_token_logits=True, student_token_logits=True, demands=frozenset({"vocabulary"}))

    def __init__(self, kd_temperature: float = KD_TEMPERATURE) -> None:
        super().__init__()
        self.kd_temperature = kd_temperature

    def forward(
        self, student: StudentSignal, teacher: TeacherSignal, batch: Batch, negatives: Negatives | None
    ) -> Float[Tensor, ""]:
        """The batch's part of the mean over the step's predicted tokens."""
        assert student.token_logits is not None, "`needs` asks for them"
        assert teacher.token_logits is not None, "`needs` asks for them"
        mean = token_kl_loss(student.token_logits, teacher.token_logits, temperature=self.kd_temperature)
        return mean * batch.label_weight
