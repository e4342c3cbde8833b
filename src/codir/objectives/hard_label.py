"""The task itself: cross-entropy with the labels, or squared error with the scores."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from codir.objectives.base import Objective
from codir.signals import IGNORED_CLASS, Batch, Needs, Negatives, StudentSignal, TeacherSignal


def hard_label_loss(
    logits: Float[Tensor, "batch classes"], labels: Int[Tensor, " batch"] | Float[Tensor, " batch"]
) -> Float[Tensor, ""]:
    """Cross-entropy, or squared error where the model gives one score; rows without a label do not count.

    `mean_i CE(logits_i, y_i)`, or `mean_i (s_i - y_i)^2`, over the labelled rows `i`. A batch without any labelled row
    gives 0 with a zero gradient, not NaN.

    The mean is over the labelled rows of this batch: where micro-batches are accumulated, each weighs the same, however
    many of its rows have a label.

    Args:
        logits: `[batch, classes]`; one column is a score.
        labels: class indices, `IGNORED_CLASS` (-100) where there is none, or scores, NaN where there is none.

    Example:
        >>> hard_label_loss(torch.tensor([[0.0, 0.0], [9.0, 0.0]]), torch.tensor([1, -100]))
        tensor(0.6931)
        >>> hard_label_loss(torch.tensor([[2.0], [7.0]]), torch.tensor([4.0, float("nan")]))
        tensor(4.)
    """
    if logits.shape[1] == 1:
        is_labelled = ~torch.isnan(labels)
        errors = torch.where(is_labelled, logits.squeeze(1) - labels, 0.0)  # before the square: NaN * 0 is NaN
        total = errors.square().sum()
    else:
        is_labelled = labels != IGNORED_CLASS
        total = F.cross_entropy(logits, labels, ignore_index=IGNORED_CLASS, reduction="sum")
    return total / is_labelled.sum().clamp(min=1)


class HardLabel(Objective):
    """The supervised term of every recipe; see `hard_label_loss`.

    Raises:
        UserError: when built, for a student that is no classifier.
    """

    needs = Needs(demands=frozenset({"classes"}))

    def forward(
        self, student: StudentSignal, teacher: TeacherSignal, batch: Batch, negatives: Negatives | None
    ) -> Float[Tensor, ""]:
        """Mean over the labelled examples; 0 where no example has a label."""
        if batch.labels is None:
            return student.logits.sum() * 0.0
        return hard_label_loss(student.logits, batch.labels)
