"""Rows that were read: texts, labels in the form of their kind, and where each stands. Knows nothing of files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from datasets import Dataset, Features, List, Value

from codir.data.encode import label_feature
from codir.data.sources.columns import ID_COLUMN
from codir.tasks import Task, kind_of

LISTS = ("words",)
"""Columns in which each row is a list of texts."""


@dataclass(frozen=True)
class Rows:
    """Examples of one table.

    Attributes:
        name: of the table.
        texts: by column.
        labels: as their kind has them, without the number of a group.
        numbers: where each row stands, counted from 1.
        groups: the number of each row's group; `None` where rows stand alone.
        ids: what a teacher that is a file finds each row by; `None` where it goes by the texts.
    """

    name: str
    texts: dict[str, list[Any]]
    labels: list[Any]
    numbers: Sequence[int]
    groups: list[int] | None = None
    ids: list[str] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: list[int], name: str | None = None) -> Rows:
        """The rows of these numbers."""
        texts = {column: [values[row] for row in rows] for column, values in self.texts.items()}
        numbers = [self.numbers[row] for row in rows]
        groups = None if self.groups is None else [self.groups[row] for row in rows]
        ids = None if self.ids is None else [self.ids[row] for row in rows]
        return Rows(name or self.name, texts, [self.labels[row] for row in rows], numbers, groups, ids)

    def keys(self) -> list[tuple[Any, ...]]:
        """The texts of each row, to tell whether two rows are the same."""
        columns = [map(tuple, values) if name in LISTS else values for name, values in self.texts.items()]
        return list(zip(*columns, strict=True))

    def to_dataset(self, task: Task) -> Dataset:
        """The rows as a `datasets` object."""
        label = label_feature(kind_of(task), task.num_labels)
        ids = {} if self.ids is None else {ID_COLUMN: self.ids}
        texts = {column: List(Value("string")) if column in LISTS else Value("string") for column in self.texts}
        features = Features(texts | dict.fromkeys(ids, Value("string")) | {"label": label})
        labels = self.labels
        if self.groups is not None:
            labels = [[label, group] for label, group in zip(labels, self.groups, strict=True)]
        return Dataset.from_dict({**self.texts, **ids, "label": labels}, features=features)


@dataclass(frozen=True)
class Read:
    """Tables as rows, before they are dealt out.

    Attributes:
        task: what is to be predicted.
        train: labelled rows; `None` where only evaluation was asked.
        dev: evaluation sets.
        unlabelled: rows to train on that have no label.
        notes: what was said of the reading.
    """

    task: Task
    train: Rows | None
    dev: dict[str, Rows]
    unlabelled: list[Rows]
    notes: list[str]
