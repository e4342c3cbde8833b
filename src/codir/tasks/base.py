"""What a kind of task is: everything that is asked of labels, losses, answers and metrics, in one place.

Knows torch and numpy; knows nothing of models, data sets or recipes.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Shaped
from numpy.typing import NDArray
from torch import Tensor

Metric = Callable[[np.ndarray, np.ndarray], float]
"""Answers and labels in, a fraction or a correlation out; rows come first in both."""

Weighted = Callable[[np.ndarray, np.ndarray, np.ndarray], NDArray[np.float64]]
"""The same over resamples: how often each row counts `[resamples, rows]`, answers and labels in, `[resamples]` out."""

DIGITS = 6
"""Of a probability or score behind the point, in files."""

Offer = Literal["labels", "answers", "one_class", "groups", "vectors", "words"]
OFFERS: Mapping[Offer, str] = {
    "labels": "labels to learn from",
    "answers": "a head whose answers teacher and student share",
    "one_class": "one class for each row",
    "vectors": "a vector for each text",
    "groups": "candidates of a query to compare",
    "words": "an answer for each word",
}
"""What an objective may ask of a kind of task (`Needs.of_kind`), in words."""


class Kind(ABC):
    """A kind of task: what labels and answers look like, and how they are taught, compared and shown.

    A label may be an array. Rows are its first axis, in labels and in answers; rows of unequal length are padded with
    `no_label`.

    Attributes:
        name: in recipes, `data.task`.
        problem_type: what `transformers` calls it; `None` where it has no word for it.
        auto_class: the class of `transformers` whose head answers it.
        has_classes: whether a label says classes, which have names; otherwise it is a number.
        reads_apart: whether a model reads the two texts of a row one by one, and `compare` makes its answer of them.
        outputs: of a new head; `None` for as many as there are classes.
        offers: what objectives find here; an objective that asks for more is refused.
        cell: what stands in a cell of labels: one value, or a set of them.
        label_dtype: of the numbers in column `label`.
        no_label: what stands there in a row without a label.
        metrics: what is reported, the primary one first.
        known_metrics: what may be reported.
        own_metrics: functions for metrics that codir does not have, or has in another form.
        own_weighted: the same over resamples, for those that are slow row by row.
        correlations: metrics that are shown as numbers from -1 to 1.
        errors: metrics that are shown as numbers, lower ones being better; all others are shown in percent.
        agreement: the metric of a student's answers against its teacher's, and what it is in words.
        has_pairs: whether a row must have two texts.
        reads_windows: whether a model reads a long second text in windows, and answers for each.
        text_names: usual names of the column of texts beside those of all kinds; taken first.
        text_pair_names: the same of the second text.
        strategy: which negatives `strategy: auto` takes.
        floor_name: what is called in tables that answers without reading, as `floor` does.
        order_counts: whether single scores are judged by their order, which is lost where rounding makes them equal.
        dealt: how rows are held out, in words; see `stratum`.
        tuned_in_words: what `tuned` tunes, with its verb; `None` where there is nothing.
        head_name: what messages call the head.
        reads_words: whether a row is a list of words, each with a label and an answer of its own.
        pipeline_arguments: what `transformers.pipeline` has to be told, as Python code.
        script: the part of an export's `infer.py` that prints answers, a module of `codir.export.scripts`.
        asked: what `infer.py` is given, in words.
        asked_pairs: the same where a model reads two texts at once.
    """

    name: ClassVar[str]
    problem_type: ClassVar[str | None]
    auto_class: ClassVar[str] = "AutoModelForSequenceClassification"
    has_classes: ClassVar[bool]
    reads_apart: ClassVar[bool] = False
    outputs: ClassVar[int | None] = None
    offers: ClassVar[frozenset[Offer]] = frozenset({"labels", "answers"})
    cell: ClassVar[Literal["value", "set"]] = "value"
    label_dtype: ClassVar[str]
    no_label: ClassVar[float]
    metrics: tuple[str, ...]
    known_metrics: ClassVar[tuple[str, ...]]
    own_metrics: Mapping[str, Metric] = MappingProxyType({})
    own_weighted: Mapping[str, Weighted] = MappingProxyType({})
    correlations: ClassVar[frozenset[str]] = frozenset()
    errors: ClassVar[frozenset[str]] = frozenset()
    agreement: ClassVar[tuple[str, str]]
    has_pairs: ClassVar[bool] = False
    reads_windows: ClassVar[bool] = False
    text_names: ClassVar[tuple[str, ...]] = ()
    text_pair_names: ClassVar[tuple[str, ...]] = ()
    strategy: ClassVar[str]
    floor_name: ClassVar[str]
    order_counts: ClassVar[bool] = False
    dealt: ClassVar[str] = "at random"
    tuned_in_words: ClassVar[str | None] = None
    head_name: ClassVar[str] = "classification (or regression) head"
    reads_words: ClassVar[bool] = False
    pipeline_arguments: ClassVar[tuple[str, ...]] = ()
    script: ClassVar[str] = "classes"
    asked: ClassVar[tuple[str, ...]] = ("a text", "another")
    asked_pairs: ClassVar[tuple[str, ...]] = ("a text", "its second text")

    @property
    def one_class(self) -> bool:
        """Whether every label is the index of one class."""
        return "one_class" in self.offers

    @property
    def has_groups(self) -> bool:
        """Whether rows belong to groups that are judged together; the second number of a label is then its group."""
        return "groups" in self.offers

    @property
    def answers_rows(self) -> bool:
        """Whether each text, or pair, has one answer, which a file can hold beside it; words and windows have more."""
        return not (self.reads_words or self.reads_windows)

    def named(self, names: Sequence[str] | None) -> Kind:
        """The same kind, where the names of its classes say more of it."""
        return self

    # ---- Labels ----

    def targets(self, labels: Any) -> Any:
        """What answers are compared with row by row: labels without the number of a group. Answers stay as they are."""
        return labels

    def units(self, labels: Any) -> Any:
        """The group of each row, from labels that are a tensor or an array; `None` where rows stand alone."""
        return None

    def label_shape(self, outputs: int) -> tuple[int | None, ...]:
        """Of one row's label: `()` for a number, `(3,)` for three of them, `(None,)` for a list of any length."""
        return ()

    def unlabelled(self, outputs: int) -> Any:
        """What stands in column `label` of a row that has none."""
        return self.no_label

    def stack(self, labels: Sequence[Any]) -> NDArray[Any]:
        """A column of labels as one array, rows first; lists of unequal length are padded with `no_label`."""
        if not _are_lists(labels):
            return np.asarray(labels)
        stacked = np.full((len(labels), max(map(len, labels))), self.no_label, dtype=self.label_dtype)
        for row, label in enumerate(labels):
            stacked[row, : len(label)] = label
        return stacked

    def batch(self, labels: Sequence[Any]) -> Tensor:
        """The labels of a batch as the losses take them: integers, or single-precision numbers."""
        if not _are_lists(labels):
            return torch.tensor(labels)
        stacked = torch.from_numpy(self.stack(labels))
        return stacked.float() if stacked.is_floating_point() else stacked

    def is_labelled(self, labels: Int[Tensor, "batch ..."] | Float[Tensor, "batch ..."]) -> Bool[Tensor, " batch"]:
        """Which rows have a label; of several numbers, one is enough."""
        found = ~torch.isnan(labels) if math.isnan(self.no_label) else labels != self.no_label
        return found if found.ndim == 1 else found.flatten(1).any(dim=1)

    def count_labels(self, labels: Int[Tensor, "batch ..."] | Float[Tensor, "batch ..."]) -> Int[Tensor, ""]:
        """How many labels `hard_loss` is the mean over: the labelled rows, where a row counts once."""
        return self.is_labelled(labels).sum()

    def classes_in(self, label: Any) -> Iterable[int]:
        """The classes that one label says; none for a number."""
        return ()

    def stratum(self, label: Any) -> float:
        """Rows are held out of each stratum in proportion; all rows are in one by default."""
        return 0.0

    @abstractmethod
    def fitted(self, labels: NDArray[np.generic], outputs: int) -> str | None:
        """The dtype in which a model with so many outputs learns these labels; `None` if it cannot."""

    def misfit(self, labels: NDArray[np.generic], outputs: int) -> int:
        """A row that shows why `fitted` is `None`."""
        return 0

    @abstractmethod
    def labels_in_words(self, outputs: int) -> str:
        """What the labels of a model with so many outputs are."""

    @abstractmethod
    def outputs_in_words(self, outputs: int) -> str:
        """What a model with so many outputs gives."""

    def start(self, labels: NDArray[np.generic]) -> tuple[float, float] | None:
        """Mean and spread of the answers that a new head begins with; `None` where it begins with random ones."""
        return None

    # ---- Losses ----

    @abstractmethod
    def hard_loss(
        self, logits: Float[Tensor, "batch ..."], labels: Int[Tensor, "batch ..."] | Float[Tensor, "batch ..."]
    ) -> Float[Tensor, ""]:
        """Mean over what `count_labels` counts; 0 with a zero gradient where no row has a label."""

    @abstractmethod
    def soft_loss(
        self, student: Float[Tensor, "batch ..."], teacher: Float[Tensor, "batch ..."], *, temperature: float
    ) -> Float[Tensor, ""]:
        """How far the student answers from its teacher, mean over all rows; 0 when the two agree."""

    def match_loss(self, student: Float[Tensor, "batch ..."], teacher: Float[Tensor, "batch ..."]) -> Float[Tensor, ""]:
        """Squared error of the logits, mean over all rows."""
        return F.mse_loss(student, teacher)

    # ---- Answers ----

    def compare(
        self, first: Float[np.ndarray, "rows width"], second: Float[np.ndarray, "rows width"], *, texts: np.ndarray
    ) -> Float[np.ndarray, "rows ..."]:
        """The answer to each row out of what was said of its two texts, where they are read one by one."""
        raise NotImplementedError(f"{self.name} reads both texts of a row at once")

    def is_answered(self, logits: Float[np.ndarray, "rows ..."]) -> NDArray[np.bool_]:
        """Which logits stand for an answer; others are not finite on purpose."""
        return np.ones(logits.shape, bool)

    def one_by_one(
        self, values: Shaped[np.ndarray, "rows ..."], labels: Shaped[np.ndarray, "rows ..."]
    ) -> tuple[np.ndarray, np.ndarray]:
        """What is answered one by one, with its label: rows, or the words of all rows."""
        return values, labels

    def by_class(
        self, answers: Shaped[np.ndarray, "rows ..."], labels: Shaped[np.ndarray, "rows ..."], names: dict[int, str]
    ) -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
        """What precision and recall are counted of: answers, labels and the names of their classes."""
        return answers, labels, names

    @abstractmethod
    def answers(self, logits: Float[np.ndarray, "rows ..."]) -> Shaped[np.ndarray, "rows ..."]:
        """What a model with these logits answers, in the form of the labels."""

    def probabilities(self, logits: Float[np.ndarray, "rows ..."]) -> Float[np.ndarray, "rows ..."] | None:
        """How likely each class is, in double precision; `None` for scores, which have no probability."""
        return None

    def logits_of(self, probabilities: Float[np.ndarray, "rows ..."]) -> Float[np.ndarray, "rows ..."]:
        """Logits that give these probabilities, none of which is 0."""
        return np.log(probabilities)

    def distances(
        self, logits: Float[np.ndarray, "rows ..."], others: Float[np.ndarray, "rows ..."]
    ) -> Float[np.ndarray, " rows"]:
        """How far the answers of two models to each row are apart.

        The total variation distance `1/2 sum_k |p_k - q_k|` of their probabilities, from 0 to 1; without any, the
        difference of their answers, without its sign.
        """
        ours, theirs = self.probabilities(logits), self.probabilities(others)
        if ours is None or theirs is None:
            scores, other_scores = (self.answers(found).astype(np.float64) for found in (logits, others))
            return np.abs(scores - other_scores)
        return np.abs(ours - theirs).sum(axis=1) / 2

    def tuned(self, logits: Float[np.ndarray, "rows ..."], labels: NDArray[np.generic]) -> dict[str, Any]:
        """What a trained model's configuration takes from evaluation rows: nothing, in most kinds."""
        return {}

    def settings_in_words(self, config: Any) -> dict[str, str]:
        """What `tuned` wrote into a configuration, for a reader of the model card."""
        return {}

    def exported(self, config: Any) -> dict[str, Any]:
        """What `infer.py` has to know beside the names of the classes, from a model's configuration."""
        return {}

    def flags(self, answers: NDArray[np.generic]) -> Bool[np.ndarray, "rows classes"] | None:
        """Whether each row has each class, where it may have several; `None` where it has one at most."""
        return None

    def is_constant(self, answers: NDArray[np.generic]) -> bool:
        """Whether every row is answered the same."""
        return bool((answers == answers[0]).all())

    @abstractmethod
    def floor(self, labels: NDArray[np.generic]) -> NDArray[np.generic]:
        """The best that can be answered to these rows without reading them: the same to every one."""

    @abstractmethod
    def variation(self, answers: NDArray[np.generic], labels: NDArray[np.generic]) -> float:
        """How much answers differ from row to row, as a multiple of how much the labels do; 0 where they never do."""

    @abstractmethod
    def in_words(self, answer: Any, names: Mapping[int, str]) -> str:
        """One answer, in words.

        Args:
            answer: one of `answers`, or a label.
            names: of the classes, by their indices.
        """

    def shown(self, answer: Any, row: Mapping[str, Any], names: Mapping[int, str]) -> str:
        """One answer beside its row; `in_words` by default."""
        return self.in_words(answer, names)

    @abstractmethod
    def written(self, answers: NDArray[np.generic], names: Sequence[str]) -> list[str | float]:
        """Answers or labels as a file has them: names of classes, or numbers.

        Args:
            answers: of all rows.
            names: of the classes, in the order of their indices.
        """

    def written_beside(
        self, answers: NDArray[np.generic], rows: Mapping[str, Sequence[Any]], names: Sequence[str]
    ) -> list[str | float]:
        """The same where a row says what its answer stands for; `written` by default.

        Args:
            answers: of all rows.
            rows: their texts by column.
            names: of the classes, in the order of their indices.
        """
        return self.written(answers, names)

    def groups(self, labels: NDArray[np.generic], names: Mapping[int, str]) -> list[str]:
        """The group that a picture shows each row in."""
        return [self.in_words(label, names) for label in labels]

    # ---- Negatives ----

    @abstractmethod
    def places(self, labels: NDArray[np.generic]) -> NDArray[np.float64]:
        """Where each row stands, `[rows]`; NaN without a label. Rows farther apart than `radius` are not alike."""

    @abstractmethod
    def radius(self, places: NDArray[np.float64], asked: float | None) -> float:
        """How far apart rows may be that are alike."""


def _are_lists(labels: Sequence[Any]) -> bool:
    """Whether the label of a row is an array."""
    return len(labels) > 0 and isinstance(labels[0], list | tuple | np.ndarray)


@dataclass(frozen=True)
class Task:
    """What is to be predicted in a data set, and how a prediction is judged.

    Attributes:
        kind: name of the kind.
        label_names: in the order of the class indices; `None` where classes are bare numbers.
        num_labels: how many outputs a model has: one for each class, or those of its kind.
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
