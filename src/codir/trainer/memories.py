"""All that a contrast remembers: what a step notes, what it looks up, what a checkpoint keeps, and when it begins.

`Memories` is the state; `MemoryKeeper` makes it, fills it, begins it anew with a stage, and resumes it.
"""

from __future__ import annotations

from collections.abc import Mapping

import datasets
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase, TrainingArguments

from codir.config.words import MemoryKind
from codir.data import NegativeSampler, length_sorted_batches
from codir.memory import Memory, MemoryBank, NegativeQueue
from codir.signals import Batch, Drawn, NegativeNeeds, Negatives, OfTheStep, Queued
from codir.system import autocast, gather
from codir.system.progress import phase
from codir.teacher import Teacher
from codir.trainer.arguments import compute_dtype
from codir.trainer.choices import build_memory
from codir.trainer.distiller import Distiller
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


class MemoryKeeper:
    """The life of a run's memories.

    Args:
        distiller: student and objectives, whose vectors are remembered.
        args: the trainer's.
        rows: the encoded training set.
        tokenizer: the student's.
    """

    def __init__(
        self, distiller: Distiller, args: TrainingArguments, rows: datasets.Dataset, tokenizer: PreTrainedTokenizerBase
    ) -> None:
        self.distiller, self.args, self.rows, self.tokenizer = distiller, args, rows, tokenizer
        self.memories = Memories(self._empty_student(), self._empty_teacher())

    @property
    def bank(self) -> MemoryBank | None:
        """The student's memory, where it is a bank."""
        return self.memories.student if isinstance(self.memories.student, MemoryBank) else None

    def begin(self, teacher: Teacher) -> None:
        """Begin a run: the slow copy exists from the first step, whichever stage its queue belongs to."""
        self.memories.copy = self._slow_copy()
        self.start(teacher)

    def resume(self, begun_with: MemoryKind | None) -> None:
        """Make room for a checkpoint: a resumed run keeps the kind of memory that it began with.

        Args:
            begun_with: that kind; `None` where the checkpoint does not tell.
        """
        self.memories.copy = self._slow_copy()
        needs = self.distiller.objectives.needs.negatives
        is_other = begun_with is not None and begun_with != ("queue" if self.bank is None else "bank")
        if is_other and needs is not None and needs.memory == "auto":
            self.memories.student = self._empty_student(begun_with)

    def start(self, teacher: Teacher) -> None:
        """Begin a stage: its heads are new, so vectors that another stage's heads made mean nothing to them."""
        self.memories.clear()
        if self.distiller.objectives.active.contrast is None:
            return
        self.memories.copy = self._slow_copy()
        of_teacher = self.memories.teacher
        if isinstance(of_teacher, MemoryBank):
            self.fill_teacher_bank(of_teacher, teacher)
            assert self.bank is not None, "keys are banked on both sides"
            self.bank.load_state_dict(of_teacher.state_dict())
        elif self.bank is not None:
            self.fill_bank()

    def fill_bank(self) -> None:
        """The first pass: every slot holds its example's vector before the first step, each process doing its share."""
        assert self.bank is not None
        self.bank.clear()
        share = range(self.args.process_index, len(self.rows), self.args.world_size)
        distiller, device = self.distiller.eval(), self.args.device
        batches = length_sorted_batches(self.rows, self.tokenizer, batch_size=self.args.eval_batch_size, rows=share)
        with phase("memory bank", len(share)) as progress:
            for rows, inputs in batches:
                on_device = {name: tensor.to(device) for name, tensor in inputs.items()}
                with torch.no_grad(), autocast(device, compute_dtype(self.args)):
                    vectors = distiller.student_vectors(on_device)
                self.bank.fill(torch.from_numpy(rows).to(device), vectors)
                progress.advance(len(rows))
        self.bank.synchronise()

    @torch.no_grad()
    def fill_teacher_bank(self, bank: MemoryBank, teacher: Teacher) -> None:
        """The same for the teacher's vectors, which its cache gives before projection, or the teacher itself."""
        contrast = self.distiller.objectives.active.contrast
        assert contrast is not None
        bank.clear()
        share = torch.arange(self.args.process_index, len(self.rows), self.args.world_size)
        with phase("memory bank", len(share)) as progress:
            for rows in torch.split(share.to(self.args.device), self.args.eval_batch_size):
                pooled = teacher.pooled(rows.unsqueeze(0), contrast.teacher_representation)
                bank.fill(rows, contrast.embed_teacher(pooled).squeeze(0))
                progress.advance(len(rows))
        bank.synchronise()

    def _empty_student(self, kind: MemoryKind | None = None) -> Memory | None:
        needs = self.distiller.objectives.needs.negatives
        return self._empty("student", kind or needs.memory, needs) if needs is not None and needs.from_student else None

    def _empty_teacher(self) -> Memory | None:
        needs = self.distiller.objectives.needs.negatives
        if needs is None or not needs.teacher_remembered:
            return None
        return self._empty("teacher", "bank" if needs.banked else "queue", needs)

    def _empty(self, side: str, kind: MemoryKind, needs: NegativeNeeds) -> Memory | None:
        contrast = self.distiller.objectives.contrast
        if contrast is None:
            return None
        return build_memory(kind, needs, self.args, num_examples=len(self.rows), dim=contrast.projection_dim, side=side)

    def _slow_copy(self) -> MomentumCopy | None:
        """A copy of the student as it is now, where the queue of any stage is filled by one."""
        needs = self.distiller.objectives.needs.negatives
        if needs is None or needs.memory != "momentum":
            return None
        return MomentumCopy(self.distiller, needs.encoder_momentum, dtype=compute_dtype(self.args))
