"""The data set itself once it is understood. Knows nothing of files or of tokenizers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from datasets import Dataset

from codir.store import fingerprint_texts
from codir.tasks import Task


@dataclass(frozen=True)
class LoadedData:
    """Examples to train on and to be judged by, in columns `text`, perhaps `text_pair`, and `label`.

    Attributes:
        train: labelled rows, then rows without a label (`IGNORED_CLASS` or NaN); `None` for evaluation only.
        dev: one data set under `"dev"`, or several, as MNLI's `"dev_matched"` and `"dev_mismatched"`.
        task: what is to be predicted.
        notes: sentences for the user about what was derived, left out or found odd.
        num_unlabelled: how many rows at the end of `train` have no label.
        origins: where `"train"` and each data set of `dev` come from: a file, a split, or the rows held out of one.
        row_numbers: where the rows of each data set of `dev` stand there, counted from 1.
    """

    train: Dataset | None
    dev: dict[str, Dataset]
    task: Task
    notes: tuple[str, ...] = ()
    num_unlabelled: int = 0
    origins: Mapping[str, str] = field(default_factory=dict)
    row_numbers: Mapping[str, Sequence[int]] = field(default_factory=dict)

    @cached_property
    def fingerprints(self) -> dict[str, str]:
        """Of the texts of each data set of `dev`, by its name."""
        return {name: fingerprint_texts(rows) for name, rows in self.dev.items()}

    def labelled_only(self) -> LoadedData:
        """The same, to be trained on the rows that have a label alone."""
        if self.train is None or not self.num_unlabelled:
            return self
        labelled = self.train.select(range(len(self.train) - self.num_unlabelled))
        return replace(self, train=labelled, num_unlabelled=0)
