"""The contract that every objective keeps: it declares its needs, then turns signals into one scalar."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn

from codir.signals import (
    Batch,
    ModelShape,
    Needs,
    Negatives,
    Representation,
    StudentSignal,
    TeacherSignal,
    check_demands,
)
from codir.tasks import Kind


class Objective(nn.Module, ABC):
    """One loss term: tensors in, scalar out.

    Subclasses set `needs` and implement `forward`; one with weights of its own makes them in `make_weights`, once the
    sizes of the two models are known. An objective never sees a model, a tokenizer or a configuration.
    """

    needs: Needs
    kind: Kind | None = None
    """Of the student's task, once built; `None` for a language model."""
    rate_factor: float | None = None
    """How many times the student's learning rate its own weights have; `None` for what all heads have by default."""
    warmup_steps: int = 0
    """Optimiser steps over which the weight of this term rises, in a straight line, to what it is."""

    def build(self, *, teacher: ModelShape | None, student: ModelShape) -> None:
        """Check that the two models are what `needs` demands, then make the weights that depend on their sizes.

        Raises:
            UserError: a demand is not met, or the two cannot be matched and the paper has no map for it.
        """
        check_demands(self.term, self.needs, teacher=teacher, student=student)
        self.kind = student.kind
        self.make_weights(teacher=teacher, student=student)

    def make_weights(self, *, teacher: ModelShape | None, student: ModelShape) -> None:  # most have none
        """Make what depends on the sizes of the two models; there is no teacher where `needs` asks for none."""

    @property
    def term(self) -> str:
        """What recipes and messages call it: `soft_target` for `SoftTarget`."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(self).__name__).lower()

    @abstractmethod
    def forward(
        self, student: StudentSignal, teacher: TeacherSignal, batch: Batch, negatives: Negatives | None
    ) -> Float[Tensor, ""]:
        """Return the mean over the examples that the objective applies to."""


def rate_factors(objectives: nn.Module) -> dict[int, float]:
    """By the id of a weight, how many times the student's learning rate it has, where its objective says so."""
    return {
        id(weight): one.rate_factor
        for one in objectives.modules()
        if isinstance(one, Objective) and one.rate_factor is not None
        for weight in one.parameters()
    }


@runtime_checkable
class KeepsVectors(Protocol):
    """An objective whose vectors the trainer remembers from step to step; a run has one at most.

    `needs.negatives` says which memories it wants.
    """

    needs: Needs
    projection_dim: int
    teacher_representation: Representation

    def embed_student(self, student: StudentSignal) -> Float[Tensor, "batch dim"]:
        """The student's vectors, as the memory keeps them."""

    def embed_teacher(self, pooled: Float[Tensor, "*shape layers hidden"]) -> Float[Tensor, "*shape dim"]:
        """The teacher's vectors, as its bank or queue keeps them."""

    def vectors_of_the_step(self) -> dict[str, Tensor]:
        """Both sides' vectors of the last `forward`, without gradient, by side."""
