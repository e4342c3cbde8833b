"""All that a contrast remembers, as one: what a step notes, what it looks up, and what a checkpoint keeps."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from codir.data import NegativeSampler
from codir.memory import Memory, MemoryBank, NegativeQueue
from codir.signals import Batch, Drawn, NegativeNeeds, Negatives, OfTheStep, Queued
from codir.system import gather
from codir.trainer.momentum import MomentumCopy

OF_TEACHER, OF_COPY = "teacher.", "copy."


class Memories:
    """Student vectors and teacher vectors in a bank or a queue each, a slow copy of the student: whichever there is.

    Args:
        student: what the teacher's anchors are compared with.
        teacher: what the student's anchors are compared with, where their keys are not fresh.
    """

    def __init__(self, student: Memory | None = None, teacher: Memory | None = None) -> None:
        self.student, self.teacher = student, teacher
        self.copy: MomentumCopy | None = None
        self._noted: list[tuple[Tensor, Mapping[str, Tensor]]] = []

    def note(self, index: Tensor, vectors: Mapping[str, Tensor]) -> None:
        """Keep a micro-batch's vectors of either side until the optimiser steps."""
        if vectors:
            self._noted.append((index, vectors))

    def take_up(self) -> None:
        """Let the memories learn of what was noted since the last step."""
        if not self._noted:
            return
        index = torch.cat([index for index, _ in self._noted])
        for side, memory in (("student", self.student), ("teacher", self.teacher)):
            if memory is not None:
                memory.update(index, torch.cat([vectors[side] for _, vectors in self._noted]))
        self._noted.clear()

    def look_up(self, batch: Batch, needs: NegativeNeeds, sampler: NegativeSampler) -> Negatives:
        """What is remembered of the batch's negatives, and where positives are remembered too, of the batch itself."""
        assert batch.negative_group is not None

        def rows_of(memory: Memory | None) -> Drawn | Queued | None:
            if isinstance(memory, NegativeQueue):
                return Queued(memory.vectors, allowed)
            if isinstance(memory, MemoryBank):
                assert batch.negative_index is not None
                own = memory.lookup(batch.example_index) if needs.banked else None
                return Drawn(memory.lookup(batch.negative_index), own)
            return None

        queues = [memory for memory in (self.student, self.teacher) if isinstance(memory, NegativeQueue)]
        if queues:  # two queues hold the same examples
            own, queued = (index.cpu().numpy() for index in (batch.example_index, queues[0].index))
            allowed = torch.from_numpy(sampler.allows(own, queued)).to(batch.example_index.device)
        return Negatives(batch.negative_group, student=rows_of(self.student), teacher=rows_of(self.teacher))

    def clear(self) -> None:
        """Forget everything."""
        self._noted.clear()
        for memory in (self.student, self.teacher):
            if memory is not None:
                memory.clear()

    def state_dict(self) -> dict[str, Tensor]:
        """What a checkpoint keeps."""
        state = {} if self.student is None else dict(self.student.state_dict())
        for prefix, part in ((OF_TEACHER, self.teacher), (OF_COPY, self.copy)):
            if part is not None:
                state |= {prefix + name: tensor for name, tensor in part.state_dict().items()}
        return state

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take up what a checkpoint kept.

        Raises:
            RuntimeError: it is of another size.
            KeyError: it is of another kind.
        """
        if self.student is not None:
            self.student.load_state_dict(dict(state))
        for prefix, part in ((OF_TEACHER, self.teacher), (OF_COPY, self.copy)):
            if part is not None:
                named = {name.removeprefix(prefix): t for name, t in state.items() if name.startswith(prefix)}
                part.load_state_dict(named)


def rows_of_the_step(batch: Batch, sampler: NegativeSampler) -> Negatives:
    """Which rows of all processes' batches are negatives of each example, and which are of its kind."""
    assert batch.negative_group is not None
    everywhere = gather(batch.example_index)
    judged = sampler.relate(batch.example_index.cpu().numpy(), everywhere.cpu().numpy())
    is_negative, is_positive = (torch.from_numpy(judgement).to(everywhere.device) for judgement in judged)
    rows = OfTheStep(is_negative, is_positive)
    return Negatives(batch.negative_group, student=rows, teacher=rows)
