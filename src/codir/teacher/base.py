"""What every teacher is to the rest of the house: something that speaks of training examples, found by their index."""

from __future__ import annotations

from abc import ABC, abstractmethod

from jaxtyping import Float, Int
from torch import Tensor

from codir.signals import Batch, TeacherSignal, nothing_pooled


class Teacher(ABC):
    """A frozen model's view of the training set: no dropout, no gradient, whether computed now or read from disk."""

    @abstractmethod
    def signal(self, batch: Batch) -> TeacherSignal:
        """What the teacher says of the examples of a batch."""

    @abstractmethod
    def pooled_hidden(
        self, example_index: Int[Tensor, "groups negatives"]
    ) -> Float[Tensor, "groups negatives layers hidden"]:
        """The teacher's pooled layers of any training examples, for negatives on the teacher's side."""


class NoTeacher(Teacher):
    """Says nothing: for training whose objectives ask for no teacher, such as plain fine-tuning."""

    def signal(self, batch: Batch) -> TeacherSignal:
        """Logits of no class and no layer."""
        nothing = nothing_pooled(len(batch.example_index), batch.example_index.device)
        return TeacherSignal(logits=nothing[:, :, 0], pooled_hidden=nothing)

    def pooled_hidden(
        self, example_index: Int[Tensor, "groups negatives"]
    ) -> Float[Tensor, "groups negatives layers hidden"]:
        """Never asked."""
        raise NotImplementedError("no objective without a teacher has negatives")
