"""What every teacher is to the rest of the house: something that speaks of training examples, found by their index."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float, Int
from torch import Tensor

from codir.signals import Batch, Representation, TeacherSignal


class Teacher(ABC):
    """A frozen model's view of the training set: no dropout, no gradient, whether computed now or read from disk."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Of the weights that speak, whether now or when the cache was built; empty where nobody does."""

    @abstractmethod
    def signal(self, batch: Batch) -> TeacherSignal:
        """What the teacher says of the examples of a batch."""

    @abstractmethod
    def pooled(
        self, example_index: Int[Tensor, "groups negatives"], representation: Representation
    ) -> Float[Tensor, "groups negatives layers hidden"]:
        """A representation of any training examples, for negatives on the teacher's side."""

    def answers(self, example_index: Int[Tensor, "groups negatives"]) -> Float[Tensor, "groups negatives classes"]:
        """What the teacher answers to any training examples."""
        said = self.signal(Batch({}, example_index.flatten())).logits
        return said.reshape(*example_index.shape, said.shape[-1])


class NoTeacher(Teacher):
    """Says nothing: for training whose objectives ask for no teacher, such as plain fine-tuning."""

    @property
    def fingerprint(self) -> str:
        """Nobody's."""
        return ""

    def signal(self, batch: Batch) -> TeacherSignal:
        """Logits of no class."""
        return TeacherSignal(torch.zeros(len(batch.example_index), 0, device=batch.example_index.device))

    def pooled(
        self, example_index: Int[Tensor, "groups negatives"], representation: Representation
    ) -> Float[Tensor, "groups negatives layers hidden"]:
        """Never asked."""
        raise NotImplementedError("no objective without a teacher has negatives")
