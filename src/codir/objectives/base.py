"""The contract that every objective keeps: it declares its needs, then turns signals into one scalar."""

from __future__ import annotations

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor, nn

from codir.signals import Batch, ModelShape, Needs, Negatives, StudentSignal, TeacherSignal


class Objective(nn.Module, ABC):
    """One loss term: tensors in, scalar out.

    Subclasses set `needs` and implement `forward`; one with weights of its own makes them in `build`, once the sizes
    of the two models are known. An objective never sees a model, a tokenizer or a configuration.
    """

    needs: Needs

    def build(self, *, teacher: ModelShape | None, student: ModelShape) -> None:  # most have no weights to make
        """Make the weights that depend on the sizes of the two models; there may be no teacher.

        Raises:
            UserError: the two cannot be matched, and the paper has no map for it.
        """

    @abstractmethod
    def forward(
        self, student: StudentSignal, teacher: TeacherSignal, batch: Batch, negatives: Negatives | None
    ) -> Float[Tensor, ""]:
        """Return the mean over the examples that the objective applies to."""
