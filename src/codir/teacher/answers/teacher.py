"""What a file says of a training set, row by row; to the trainer it is a teacher like any other."""

from __future__ import annotations

import datasets
import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from codir.data import labels_of
from codir.signals import Batch, ModelShape, Representation, TeacherSignal
from codir.system import free_memory
from codir.tasks import Task, kind_of
from codir.teacher.answers.checks import compare_with_labels, describe_answers
from codir.teacher.answers.file import AnswersFile
from codir.teacher.answers.rows import refuse_unanswered
from codir.teacher.base import Teacher
from codir.teacher.space import PrincipalSpace, sample_rows

MEMORY_SHARE = 0.25
"""Answers are held where they are wanted when they take no more than this share of the memory that is free there."""


class FileTeacher(Teacher):
    """The answers of a file to the rows of a training set, in memory, found by their index.

    Args:
        file: whose answers they are.
        dataset: the training set, as texts or with ids.
        task: what is answered.
        pooled: representations that will be asked for; the vectors are each of them, or their principal components.
            Not in task `embedding`, where the vectors are the answers.

    Raises:
        UserError: a kind of task that no file can answer; training rows without an answer; answers that fit the labels
            only with the classes renamed.
    """

    def __init__(
        self,
        file: AnswersFile,
        dataset: datasets.Dataset,
        task: Task,
        pooled: frozenset[Representation] = frozenset(),
    ) -> None:
        self.file, self._asked, self.device = file, pooled, torch.device("cpu")
        kind = kind_of(task)
        held = file.holds(kind)
        place, wanted = file.places(dataset, task)
        refuse_unanswered(place, wanted, file.known(task, pairs=len(wanted[0]) == 2), file.name)
        logits = file.logits(task)[place]
        self.notes = (*file.notes(task), *(self._judge(logits, dataset, task) if "answers" in held else ()))
        self._logits = torch.from_numpy(logits)
        self._vectors = torch.from_numpy(file.vectors[place][:, None]) if "vectors" in held else None
        self._components = {} if self._vectors is None else _reduce(self._vectors, pooled)

        self.shape = ModelShape(
            num_layers=0 if self._vectors is None else 1,
            hidden=0 if self._vectors is None else self._vectors.shape[-1],
            heads=0,
            classes=logits.shape[1] if kind.reads_apart else task.num_labels,
            kind=kind,
        )

    def on(self, device: torch.device) -> FileTeacher:
        """Give signals on this device, and hold the tables there while they take little of its memory."""
        self.device = device
        tables = [table for table in (self._logits, self._vectors, *self._components.values()) if table is not None]
        if sum(table.nbytes for table in tables) <= MEMORY_SHARE * free_memory(device):
            self._logits = self._logits.to(device)
            self._vectors = None if self._vectors is None else self._vectors.to(device)
            self._components = {asked: table.to(device) for asked, table in self._components.items()}
        return self

    @property
    def fingerprint(self) -> str:
        """Of the file."""
        return self.file.fingerprint

    def signal(self, batch: Batch) -> TeacherSignal:
        """Look up the examples of a batch."""
        index = batch.example_index
        pooled = {asked: self.pooled(index, asked) for asked in self._asked}
        return TeacherSignal(self._take(self._logits, index), pooled)

    def pooled(
        self, example_index: Int[Tensor, "*groups negatives"], representation: Representation
    ) -> Float[Tensor, "*groups negatives layers hidden"]:
        """Look up the vectors of any training examples, which are the only layer there is."""
        assert self._vectors is not None, "the trainer refuses objectives that ask for vectors that are not there"
        return self._take(self._components.get(representation, self._vectors), example_index)

    def _take(self, table: Tensor, index: Tensor) -> Tensor:
        rows = table.index_select(0, index.flatten().to(table.device))
        return rows.view(*index.shape, *table.shape[1:]).to(self.device, non_blocking=True)

    def _judge(self, logits: np.ndarray, dataset: datasets.Dataset, task: Task) -> tuple[str, ...]:
        column = next((name for name in ("label", "labels") if name in dataset.column_names), None)
        said = [*describe_answers(logits, task, self.file.name)]
        if column is None or "labels" not in kind_of(task).offers:
            return tuple(said)
        labels = labels_of(dataset, kind_of(task), column)
        if kind_of(task).fitted(labels, task.num_labels) is None:  # the trainer refuses them in its own words
            return tuple(said)
        has_label = kind_of(task).is_labelled(torch.as_tensor(labels)).numpy()
        return (*said, *compare_with_labels(logits[has_label], labels[has_label], task, self.file.name))


def _reduce(
    vectors: Float[Tensor, "rows layers hidden"], pooled: frozenset[Representation]
) -> dict[Representation, Tensor]:
    """The principal components that are asked for of all rows, as a teacher that runs would give them."""
    sample, width = vectors[torch.from_numpy(sample_rows(len(vectors)))], vectors.shape[-1]
    wanted = {asked: min(asked.principal, width) for asked in pooled if asked.principal is not None}
    return {asked: PrincipalSpace.fit(sample, dim).project(vectors).unsqueeze(1) for asked, dim in wanted.items()}
