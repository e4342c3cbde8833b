"""What a kind of task is: everything that is asked of labels, losses, answers and metrics, in one place.

Knows torch and numpy; knows nothing of models, data sets or recipes.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from numpy.typing import NDArray
from torch import Tensor

Metric = Callable[[np.ndarray, np.ndarray], float]
"""Answers and labels in, a fraction or a correlation out."""


class Kind(ABC):
    """A kind of task over one vector of logits per example.

    Attributes:
        name: in recipes, `data.task`.
        problem_type: what `transformers` calls it.
        auto_class: the class of `transformers` whose head answers it.
        has_classes: whether labels are class indices with names; otherwise they are numbers.
        reads_apart: whether a model reads the two texts of a row one by one, and `compare` makes its answer of them.
        label_dtype: of the column `label`.
        no_label: what stands there in a row without a label.
        metrics: what is reported, the primary one first.
        known_metrics: what may be reported.
        own_metrics: functions for metrics that codir does not have.
        correlations: metrics that are shown as numbers from -1 to 1.
        errors: metrics that are shown as numbers, lower ones being better; all others are shown in percent.
        agreement: the metric of a student's answers against its teacher's, and what it is in words.
        strategy: which negatives `strategy: auto` takes.
        floor_name: what is called in tables that answers without reading, as `floor` does.
    """

    name: ClassVar[str]
    problem_type: ClassVar[str | None]
    auto_class: ClassVar[str] = "AutoModelForSequenceClassification"
    has_classes: ClassVar[bool]
    reads_apart: ClassVar[bool] = False
    label_dtype: ClassVar[str]
    no_label: ClassVar[float]
    metrics: ClassVar[tuple[str, ...]]
    known_metrics: ClassVar[tuple[str, ...]]
    own_metrics: ClassVar[Mapping[str, Metric]] = {}
    correlations: ClassVar[frozenset[str]] = frozenset()
    errors: ClassVar[frozenset[str]] = frozenset()
    agreement: ClassVar[tuple[str, str]]
    strategy: ClassVar[str]
    floor_name: ClassVar[str]

    def is_labelled(self, labels: Int[Tensor, " batch"] | Float[Tensor, " batch"]) -> Bool[Tensor, " batch"]:
        """Which rows have a label."""
        return ~torch.isnan(labels) if math.isnan(self.no_label) else labels != self.no_label

    @abstractmethod
    def hard_loss(
        self, logits: Float[Tensor, "batch classes"], labels: Int[Tensor, " batch"] | Float[Tensor, " batch"]
    ) -> Float[Tensor, ""]:
        """Mean over the labelled rows; 0 with a zero gradient where no row has a label."""

    @abstractmethod
    def soft_loss(
        self, student: Float[Tensor, "batch classes"], teacher: Float[Tensor, "batch classes"], *, temperature: float
    ) -> Float[Tensor, ""]:
        """How far the student answers from its teacher, mean over all rows; 0 when the two agree."""

    def compare(
        self, first: Float[np.ndarray, "rows width"], second: Float[np.ndarray, "rows width"], *, texts: np.ndarray
    ) -> Float[np.ndarray, "rows ..."]:
        """The answer to each row out of what was said of its two texts, where they are read one by one."""
        raise NotImplementedError(f"{self.name} reads both texts of a row at once")

    @abstractmethod
    def answers(self, logits: Float[np.ndarray, "rows ..."]) -> Shaped[np.ndarray, " rows"]:
        """What a model with these logits answers, in the form of the labels."""

    def probabilities(self, logits: Float[np.ndarray, "rows classes"]) -> Float[np.ndarray, "rows classes"] | None:
        """How likely each class is, in double precision; `None` for scores, which have no probability."""
        return None

    @abstractmethod
    def floor(self, labels: NDArray[np.generic]) -> NDArray[np.generic]:
        """The best that can be answered to these rows without reading them: the same to every one."""

    @abstractmethod
    def variation(self, answers: NDArray[np.generic], labels: NDArray[np.generic]) -> float:
        """How much answers differ from row to row, as a multiple of how much the labels do; 0 where they never do."""

    @abstractmethod
    def in_words(self, answer: float, names: Mapping[int, str]) -> str:
        """One answer, in words.

        Args:
            answer: one of `answers`.
            names: of the classes, by their indices.
        """

    def start(self, labels: NDArray[np.generic]) -> tuple[float, float] | None:
        """Mean and spread of the answers that a new head begins with; `None` where it begins with random ones."""
        return None

    @abstractmethod
    def fitted(self, labels: NDArray[np.generic], outputs: int) -> str | None:
        """The dtype in which a model with so many outputs learns these labels; `None` if it cannot."""

    @abstractmethod
    def labels_in_words(self, outputs: int) -> str:
        """What the labels of a model with so many outputs are."""

    @abstractmethod
    def outputs_in_words(self, outputs: int) -> str:
        """What a model with so many outputs gives."""

    @abstractmethod
    def places(self, labels: NDArray[np.generic]) -> NDArray[np.float64]:
        """Where each row stands; NaN without a label. Rows farther apart than `radius` are not alike."""

    @abstractmethod
    def radius(self, places: NDArray[np.float64], asked: float | None) -> float:
        """How far apart rows may be that are alike."""


@dataclass(frozen=True)
class Task:
    """What is to be predicted in a data set, and how a prediction is judged.

    Attributes:
        kind: name of the kind.
        label_names: in the order of the class indices; `None` where classes are bare numbers.
        num_labels: how many classes; 1 for a score.
        metrics: names of metrics, the primary one first.

    Example:
        >>> Task("classification", ("negative", "positive"), 2, ("accuracy",)).label2id
        {'negative': 0, 'positive': 1}
        >>> Task("classification", None, 2, ("accuracy",)).id2label
        {0: 'LABEL_0', 1: 'LABEL_1'}
    """

    kind: str
    label_names: tuple[str, ...] | None
    num_labels: int
    metrics: tuple[str, ...]

    @property
    def id2label(self) -> dict[int, str]:
        """The name of each class index; without names, those that `transformers` gives."""
        names = self.label_names or tuple(f"LABEL_{index}" for index in range(self.num_labels))
        return dict(enumerate(names))

    @property
    def label2id(self) -> dict[str, int]:
        """The class index of each name."""
        return {name: index for index, name in self.id2label.items()}
