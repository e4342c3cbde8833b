"""The task itself: cross-entropy with the labels, or squared error with the scores."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor

from codir.objectives.base import Objective
from codir.signals import Batch, Needs, Negatives, StudentSignal, TeacherSignal
from codir.tasks import NO_LOGIT, kind_of_outputs


def hard_label_loss(
    logits: Float[Tensor, "batch classes"], labels: Int[Tensor, " batch"] | Float[Tensor, " batch"]
) -> Float[Tensor, ""]:
    """Cross-entropy, or squared error where the model gives one score; rows without a label do not count.

    `mean_i CE(logits_i, y_i)`, or `mean_i (s_i - y_i)^2`, over the labelled rows `i`. A batch without any labelled row
    gives 0 with a zero gradient, not NaN.

    The mean is over the labelled rows of this batch; see `Batch.label_weight` for that of a step of several.

    Args:
        logits: `[batch, classes]`; one column is a score.
        labels: class indices, `IGNORED_CLASS` (-100) where there is none, or scores, NaN where there is none.

    Example:
        >>> import torch
        >>> hard_label_loss(torch.tensor([[0.0, 0.0], [9.0, 0.0]]), torch.tensor([1, -100]))
        tensor(0.6931)
        >>> hard_label_loss(torch.tensor([[2.0], [7.0]]), torch.tensor([4.0, float("nan")]))
        tensor(4.)
    """
    return kind_of_outputs(logits.shape[1]).hard_loss(logits, labels)


class HardLabel(Objective):
    """The supervised term of every recipe; see `hard_label_loss`.

    Where micro-batches are accumulated, or several processes train, the mean is over the labelled rows of the whole
    step: `Batch.label_weight` says what part of them this batch has.

    Raises:
        UserError: when built, for a student that is no classifier.
    """

    needs = Needs(demands=frozenset({"classes"}), of_kind=frozenset({"labels"}))

    def forward(
        self, student: StudentSignal, teacher: TeacherSignal, batch: Batch, negatives: Negatives | None
    ) -> Float[Tensor, ""]:
        """The batch's part of the mean over the step's labelled examples; 0 where no example has a label."""
        if batch.labels is None:
            read = student.logits.masked_fill(student.logits == NO_LOGIT, 0.0)  # 0 times minus infinity is NaN
            return read.sum() * 0.0
        kind = self.kind or kind_of_outputs(student.logits.shape[1])
        return kind.hard_loss(student.logits, batch.labels) * batch.label_weight
