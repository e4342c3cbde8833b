"""What a data set asks of a model, and the data set itself once it is understood.

Knows labels, names and metrics. Knows nothing of files, of tokenizers or of torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from datasets import Dataset

TaskKind = Literal["classification", "regression"]


@dataclass(frozen=True)
class Task:
    """What is to be predicted, and how a prediction is judged.

    Attributes:
        kind: classes or a score.
        label_names: in the order of the class indices; `None` where classes are bare numbers.
        num_labels: how many classes; 1 for a score.
        metrics: names of metrics, the primary one first.

    Example:
        >>> Task("classification", ("negative", "positive"), 2, ("accuracy",)).label2id
        {'negative': 0, 'positive': 1}
        >>> Task("classification", None, 2, ("accuracy",)).id2label
        {0: 'LABEL_0', 1: 'LABEL_1'}
    """

    kind: TaskKind
    label_names: tuple[str, ...] | None
    num_labels: int
    metrics: tuple[str, ...]

    @property
    def is_regression(self) -> bool:
        """Whether the label is a score."""
        return self.kind == "regression"

    @property
    def id2label(self) -> dict[int, str]:
        """The name of each class index; without names, those that `transformers` gives."""
        names = self.label_names or tuple(f"LABEL_{index}" for index in range(self.num_labels))
        return dict(enumerate(names))

    @property
    def label2id(self) -> dict[str, int]:
        """The class index of each name."""
        return {name: index for index, name in self.id2label.items()}


@dataclass(frozen=True)
class LoadedData:
    """Examples to train on and to be judged by, in columns `text`, perhaps `text_pair`, and `label`.

    Attributes:
        train: labelled rows, then rows without a label (`IGNORED_CLASS` or NaN); `None` for evaluation only.
        dev: one data set under `"dev"`, or several, as MNLI's `"dev_matched"` and `"dev_mismatched"`.
        task: what is to be predicted.
        notes: sentences for the user about what was derived, left out or found odd.
        num_unlabelled: how many rows at the end of `train` have no label.
    """

    train: Dataset | None
    dev: dict[str, Dataset]
    task: Task
    notes: tuple[str, ...] = ()
    num_unlabelled: int = 0
