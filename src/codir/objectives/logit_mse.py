"""Logits matched by squared error: distillation without a temperature."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from codir.objectives.base import Objective
from codir.signals import Batch, Needs, Negatives, StudentSignal, TeacherSignal
from codir.tasks import kind_of_outputs


def logit_mse_loss(
    student_logits: Float[Tensor, "batch classes"], teacher_logits: Float[Tensor, "batch classes"]
) -> Float[Tensor, ""]:
    """`||z_T - z_S||^2 / classes`, mean over examples.

    Tang et al. 2019 (arXiv 1903.12136), §3.2, the distillation objective; their sum over classes is a mean here, so
    that a weight means the same for two classes and for twenty. It is what `soft_target_loss` tends to at high
    temperatures, up to a factor and to shifts of all logits alike (Hinton et al. 2015, arXiv 1503.02531, eq. 4).

    Example:
        >>> import torch
        >>> logit_mse_loss(torch.tensor([[1.0, 0.0]]), torch.tensor([[3.0, 0.0]]))
        tensor(2.)
    """
    return F.mse_loss(student_logits, teacher_logits)


class LogitMSE(Objective):
    """The only term of Tang et al.; see `logit_mse_loss`.

    Raises:
        UserError: when built, for a student that is no classifier.
    """

    needs = Needs(teacher_logits=True, demands=frozenset({"classes"}), of_kind=frozenset({"answers"}))

    def forward(
        self, student: StudentSignal, teacher: TeacherSignal, batch: Batch, negatives: Negatives | None
    ) -> Float[Tensor, ""]:
        """The batch's part of the mean over all that the step answers, labelled or not: examples, or their words."""
        kind = self.kind or kind_of_outputs(student.logits.shape[1])
        mean = kind.match_loss(student.logits, teacher.logits)
        return mean * batch.answer_weight
