"""The language model's own task: cross-entropy with the tokens that were masked, or that come next."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from codir.objectives.base import Objective
from codir.signals import Batch, Needs, Negatives, StudentSignal, TeacherSignal


def token_label_loss(
    token_logits: Float[Tensor, "predicted vocabulary"], tokens: Int[Tensor, " predicted"]
) -> Float[Tensor, ""]:
    """`-log softmax(z_p)[x_p]`, mean over the predicted positions `p`; 0 with a zero gradient where there is none.

    Over masked positions this is BERT's masked-LM loss (Devlin et al. 2019, arXiv 1810.04805, §3.1), over all positions
    and their successors GPT's next-token loss (Radford et al. 2018, eq. 1). Which positions there are is not said here.

    A mean over the predicted tokens of this batch; see `Batch.label_weight` for that of a step of several.

    Args:
        token_logits: of the predicted positions of all rows.
        tokens: what stands there.

    Example:
        >>> import torch
        >>> token_label_loss(torch.tensor([[0.0, 0.0], [9.0, 0.0]]), torch.tensor([1, 0]))
        tensor(0.3466)
    """
    total = F.cross_entropy(token_logits, tokens, reduction="sum")
    return total / max(len(tokens), 1)


class TokenLabel(Objective):
    """The supervised term of pre-training; see `token_label_loss`. In fine-tuning `HardLabel` stands in its place.

    Raises:
        UserError: when built, for a student without a language-model head.
    """

    needs = Needs(student_token_logits=True, demands=frozenset({"vocabulary"}))

    def forward(
        self, student: StudentSignal, teacher: TeacherSignal, batch: Batch, negatives: Negatives | None
    ) -> Float[Tensor, ""]:
        """The batch's part of the mean over the step's predicted tokens."""
        assert student.token_logits is not None, "`needs` asks for them"
        return token_label_loss(student.token_logits, batch.predicted_tokens) * batch.label_weight
