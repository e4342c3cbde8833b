"""A class for each word of a text: entities in a scheme such as IOB2, parts of speech, any other tags.

A row is a list of words, and its label one class index per word. Everything here has rows first and words second,
padded to the longest row: labels with `IGNORED_CLASS`, logits with minus infinity. A word that a model never saw, since
its row was cut or its tokenizer makes nothing of it, has minus infinity too: it is answered with nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from numpy.typing import NDArray
from torch import Tensor

from codir.tasks.base import Kind, Metric, Weighted
from codir.tasks.classification import IGNORED_CLASS, Classification
from codir.tasks.spans import OUTSIDE, Span, are_span_tags, spans_of

OF_SPANS = ("entity_f1", "entity_precision", "entity_recall", "token_accuracy")
OF_WORDS = ("token_accuracy", "token_macro_f1")
NO_LOGIT = -float("inf")
"""What stands in place of the logits of a word that a model does not see."""
NO_ENTITY = "no entity"


class TokenClassification(Classification):
    """A class for each word: cross-entropy, KL to the teacher, the likeliest class; entities are counted as spans.

    Args:
        names: of the classes, where they are known. Tags such as `B-PER` make spans, and metrics of entities.

    Example:
        >>> TokenClassification(("O", "B-PER", "I-PER")).metrics[0], TokenClassification(("NOUN", "VERB")).metrics[0]
        ('entity_f1', 'token_accuracy')
    """

    name = "token_classification"
    problem_type = None
    auto_class = "AutoModelForTokenClassification"
    head_name = "token classification head"
    offers = frozenset({"labels", "answers", "words"})
    dealt = "at random"
    reads_words = True
    pipeline_arguments = ('aggregation_strategy="first"',)
    script = "spans"
    metrics: tuple[str, ...] = OF_WORDS
    known_metrics = ()
    correlations = frozenset()
    agreement = ("token_accuracy", "share of words where both models answer the same")
    strategy = "any"
    floor_name = "commonest tag"

    def __init__(self, names: Sequence[str] | None = None) -> None:
        self.names = None if names is None else tuple(names)
        self.has_spans = self.names is not None and are_span_tags(self.names)
        self.metrics = OF_SPANS if self.has_spans else OF_WORDS
        counted: dict[str, Tally] = {
            "entity_f1": Tally(self._count_spans, _f1),
            "entity_precision": Tally(self._count_spans, _precision),
            "entity_recall": Tally(self._count_spans, _recall),
            "token_accuracy": Tally(self._count_words, _share),
            "token_macro_f1": Tally(self._count_classes, _macro_f1),
        }
        self.own_metrics: Mapping[str, Metric] = {name: tally.measure for name, tally in counted.items()}
        self.own_weighted: Mapping[str, Weighted] = {name: tally.resample for name, tally in counted.items()}

    def named(self, names: Sequence[str] | None) -> Kind:
        """The same kind with these tags."""
        return self if names is None else TokenClassification(names)

    # ---- Labels ----

    def label_shape(self, outputs: int) -> tuple[int | None, ...]:
        """As many as there are words."""
        return (None,)

    def unlabelled(self, outputs: int) -> list[int]:
        """A list of no tags, whatever the number of words."""
        return []

    def count_labels(self, labels: Int[Tensor, "batch ..."] | Float[Tensor, "batch ..."]) -> Int[Tensor, ""]:
        """Words with a label."""
        return (labels != IGNORED_CLASS).sum()

    def classes_in(self, label: Any) -> Iterable[int]:
        """The class of every word that has one."""
        return [int(index) for index in label if index != IGNORED_CLASS]

    def stratum(self, label: Any) -> float:
        """A text is of no class."""
        return 0.0

    def misfit(self, labels: NDArray[np.generic], outputs: int) -> int:
        """The first row with an index that the model does not have."""
        if labels.dtype.kind not in "iu":
            return 0
        return int(np.argmin(np.isin(labels, [IGNORED_CLASS, *range(outputs)]).all(axis=1)))

    def labels_in_words(self, outputs: int) -> str:
        """Such as `a list of class indices from 0 to 8 (-100 for none), one for each word`."""
        return f"a list of {super().labels_in_words(outputs)}, one for each word"

    def outputs_in_words(self, outputs: int) -> str:
        """Such as `9 classes for each word`."""
        return f"{outputs} classes for each word"

    # ---- Losses ----

    def hard_loss(
        self, logits: Float[Tensor, "batch words classes"], labels: Int[Tensor, "batch words"]
    ) -> Float[Tensor, ""]:
        """`mean_w CE(logits_w, y_w)` over the words `w` of all rows that are labelled and read; 0 without any."""
        labels = F.pad(labels, (0, logits.shape[1] - labels.shape[1]), value=IGNORED_CLASS)
        is_read = ~torch.isneginf(logits.detach()).all(dim=-1)
        logits = torch.where(is_read.unsqueeze(-1), logits, 0.0)
        labels = torch.where(is_read, labels, IGNORED_CLASS)
        return super().hard_loss(logits.flatten(0, 1), labels.flatten())

    def soft_loss(
        self,
        student: Float[Tensor, "batch words classes"],
        teacher: Float[Tensor, "batch words classes"],
        *,
        temperature: float,
    ) -> Float[Tensor, ""]:
        """`T^2 KL(softmax(teacher_w / T) || softmax(student_w / T))`, mean over the words `w` that both have read."""
        student, teacher, is_read = _of_both(student, teacher)
        student_log_probs = F.log_softmax(student / temperature, dim=-1)
        teacher_log_probs = F.log_softmax(teacher / temperature, dim=-1)
        divergence = F.kl_div(student_log_probs, teacher_log_probs, reduction="none", log_target=True).sum(dim=-1)
        return temperature**2 * (divergence * is_read).sum() / is_read.sum().clamp(min=1)

    def match_loss(
        self, student: Float[Tensor, "batch words classes"], teacher: Float[Tensor, "batch words classes"]
    ) -> Float[Tensor, ""]:
        """Squared error of the logits, mean over classes and over the words that both have read."""
        student, teacher, is_read = _of_both(student, teacher)
        squared = (student - teacher).square().mean(dim=-1)
        return (squared * is_read).sum() / is_read.sum().clamp(min=1)

    # ---- Answers ----

    def answers(self, logits: Float[np.ndarray, "rows words classes"]) -> Shaped[np.ndarray, "rows words"]:
        """The likeliest class of each word; `IGNORED_CLASS` where a model saw none."""
        return np.where(self.is_answered(logits).any(axis=-1), logits.argmax(axis=-1), IGNORED_CLASS)

    def is_answered(self, logits: Float[np.ndarray, "rows words classes"]) -> NDArray[np.bool_]:
        """Those of words that a model has read; the logits of others are minus infinity."""
        return np.broadcast_to(~np.isneginf(logits).all(axis=-1, keepdims=True), logits.shape)

    def probabilities(self, logits: Float[np.ndarray, "rows words classes"]) -> Float[np.ndarray, "rows words classes"]:
        """The softmax of the logits; equal shares for a word that was not read."""
        known = np.where(self.is_answered(logits), logits, 0.0).astype(np.float64)
        powers = np.exp(known - known.max(axis=-1, keepdims=True))
        return powers / powers.sum(axis=-1, keepdims=True)

    def distances(
        self, logits: Float[np.ndarray, "rows words classes"], others: Float[np.ndarray, "rows words classes"]
    ) -> Float[np.ndarray, " rows"]:
        """The largest total variation distance of any word of the row, from 0 to 1."""
        ours, theirs = self.probabilities(logits), self.probabilities(others)
        return (np.abs(ours - theirs).sum(axis=-1) / 2).max(axis=1, initial=0.0)

    def one_by_one(
        self, values: Shaped[np.ndarray, "rows words ..."], labels: Shaped[np.ndarray, "rows words"]
    ) -> tuple[np.ndarray, np.ndarray]:
        """The words with a label, of all rows."""
        return values[labels != IGNORED_CLASS], labels[labels != IGNORED_CLASS]

    def by_class(
        self, answers: Shaped[np.ndarray, "rows words"], labels: Shaped[np.ndarray, "rows words"], names: dict[int, str]
    ) -> tuple[Shaped[np.ndarray, " units"], Shaped[np.ndarray, " units"], dict[int, str]]:
        """Entities by type, where tags make spans: each span of either side, and what the other has for the very same.

        So precision and recall of a type are those of whole entities, as seqeval counts them.
        """
        if not self.has_spans:
            found, true = self.one_by_one(answers, labels)
            return found, true, names
        types = sorted({span.type for tag in self.names or () for span in spans_of([tag])})
        places = {name: index for index, name in enumerate([*types, NO_ENTITY])}
        said: list[str] = []
        true_types: list[str] = []
        for row in range(len(labels)):
            ours, theirs = (
                {(s.start, s.end): s.type for s in self.spans(of[row], labels[row])} for of in (answers, labels)
            )
            for place in sorted(ours.keys() | theirs.keys()):
                said.append(ours.get(place, NO_ENTITY))
                true_types.append(theirs.get(place, NO_ENTITY))
        said_index, true_index = (np.array([places[name] for name in found], np.int64) for found in (said, true_types))
        return said_index, true_index, {index: name for name, index in places.items()}

    def is_constant(self, answers: Shaped[np.ndarray, "rows words"]) -> bool:
        """Whether every word is answered the same."""
        return len(np.unique(answers[answers != IGNORED_CLASS])) <= 1

    def floor(self, labels: Shaped[np.ndarray, "rows words"]) -> Shaped[np.ndarray, "rows words"]:
        """The commonest tag, for every word."""
        return np.where(labels == IGNORED_CLASS, IGNORED_CLASS, _commonest(labels))

    def variation(self, answers: Shaped[np.ndarray, "rows words"], labels: Shaped[np.ndarray, "rows words"]) -> float:
        """Words outside the commonest answer, over those outside the commonest tag."""
        found, true = self.one_by_one(answers, labels)
        return super().variation(found, true) if len(true) else 0.0

    def in_words(self, answer: Any, names: Mapping[int, str]) -> str:
        """The tags of a row one after the other, a dash where a word has none; one tag, where it is the only one."""
        tags = [names.get(int(index), str(int(index))) if index != IGNORED_CLASS else "-" for index in answer]
        return repr(tags[0]) if len(set(tags) - {"-"}) == 1 else " ".join(tags)

    def shown(self, answer: Any, row: Mapping[str, Any], names: Mapping[int, str]) -> str:
        """The same for the words of the row: nothing for those that longer rows have."""
        return self.in_words(answer[: len(row["words"])], names)

    def written(self, answers: NDArray[np.generic], names: Sequence[str]) -> list[str | float]:
        """The tags of each row, with spaces between them; a dash where a word before the last of them has none."""
        tags = [["-" if index == IGNORED_CLASS else names[int(index)] for index in row] for row in answers]
        known = [np.flatnonzero(np.asarray(row) != IGNORED_CLASS) for row in answers]
        return [" ".join(row[: places[-1] + 1 if len(places) else 0]) for row, places in zip(tags, known, strict=True)]

    def groups(self, labels: Shaped[np.ndarray, "rows words"], names: Mapping[int, str]) -> list[str]:
        """The commonest type of entity in each text; without entities all texts are in one group."""
        if not self.has_spans:
            return ["text"] * len(labels)
        types = [Counter(span.type for span in self.spans(row, row)) for row in labels]
        return [counts.most_common(1)[0][0] if counts else NO_ENTITY for counts in types]

    def exported(self, config: Any) -> dict[str, Any]:
        """Whether tags make spans."""
        return {"spans": are_span_tags([str(name) for name in config.id2label.values()])}

    def places(self, labels: Shaped[np.ndarray, "rows words"]) -> NDArray[np.float64]:
        """Nowhere: a text is of no class, so any two may be told apart."""
        return np.full(len(labels), np.nan)

    # ---- Metrics ----

    def spans(self, answers: Shaped[np.ndarray, " words"], labels: Shaped[np.ndarray, " words"]) -> list[Span]:
        """The spans of one row; what is not answered is outside, and words without a label do not count."""
        names = self.names or ()
        tags = [names[answer] if 0 <= answer < len(names) else OUTSIDE for answer in answers[labels != IGNORED_CLASS]]
        return spans_of(tags)

    def _count_spans(self, answers: np.ndarray, labels: np.ndarray) -> NDArray[np.float64]:
        """For each row: spans that are right, that are answered, that are there."""
        counts = np.zeros((len(labels), 3))
        for row, (said, true) in enumerate(zip(answers, labels, strict=True)):
            ours, theirs = set(self.spans(said, true)), set(self.spans(true, true))
            counts[row] = len(ours & theirs), len(ours), len(theirs)
        return counts

    def _count_words(self, answers: np.ndarray, labels: np.ndarray) -> NDArray[np.float64]:
        """For each row: words that are right, words with a label."""
        has_label = labels != IGNORED_CLASS
        return np.stack([((answers == labels) & has_label).sum(axis=1), has_label.sum(axis=1)], axis=1).astype(float)

    def _count_classes(self, answers: np.ndarray, labels: np.ndarray) -> NDArray[np.float64]:
        """For each row, and each class: words answered so and rightly, words answered so, words that are so."""
        has_label = labels != IGNORED_CLASS
        classes = np.arange(int(max(answers.max(initial=0), labels.max(initial=0))) + 1)
        said, true = ((found[..., None] == classes) & has_label[..., None] for found in (answers, labels))
        return np.stack([found.sum(axis=1) for found in (said & true, said, true)], axis=1).astype(float)


@dataclass(frozen=True)
class Tally:
    """A metric that is a function of sums over rows, so that all resamples of the rows cost one product.

    Attributes:
        count: from answers and labels to what each row adds, `[rows, ...]`.
        of: from such sums, with any number of resamples before them, to the metric of each.
    """

    count: Callable[[np.ndarray, np.ndarray], NDArray[np.float64]]
    of: Callable[[NDArray[np.float64]], NDArray[np.float64]]

    def measure(self, answers: np.ndarray, labels: np.ndarray) -> float:
        """The metric of all rows together."""
        return float(self.of(self.count(answers, labels).sum(axis=0)))

    def resample(self, weights: np.ndarray, answers: np.ndarray, labels: np.ndarray) -> NDArray[np.float64]:
        """The metric where each row counts so often, `[resamples, rows]`."""
        return self.of(np.tensordot(weights, self.count(answers, labels), axes=1))


def pad_rows(rows: Sequence[Sequence[int]], filler: int) -> NDArray[np.int64]:
    """Rows of different lengths as one array.

    Example:
        >>> pad_rows([[1], [2, 3]], -1)
        array([[ 1, -1],
               [ 2,  3]])
    """
    padded = np.full((len(rows), max(map(len, rows), default=0)), filler, np.int64)
    for row, values in enumerate(rows):
        padded[row, : len(values)] = values
    return padded


def _of_both(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Both models' logits with 0 where either has none, and where both have some, as 0 and 1."""
    is_read = ~(torch.isneginf(teacher).all(dim=-1) | torch.isneginf(student.detach()).all(dim=-1))
    student, teacher = (torch.where(is_read.unsqueeze(-1), logits, 0.0) for logits in (student, teacher))
    return student, teacher, is_read.to(student.dtype)


def _commonest(labels: np.ndarray) -> int:
    counts = Counter(labels[labels != IGNORED_CLASS].tolist())
    return counts.most_common(1)[0][0] if counts else IGNORED_CLASS


# ---- Metrics of counts, over any number of resamples ----


def _f1(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    return _ratio(2 * counts[..., 0], counts[..., 1] + counts[..., 2])


def _precision(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    return _ratio(counts[..., 0], counts[..., 1])


def _recall(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    return _ratio(counts[..., 0], counts[..., 2])


def _share(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    return _ratio(counts[..., 0], counts[..., 1])


def _macro_f1(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the classes that are answered or there."""
    right, said, true = (counts[..., place, :] for place in range(3))
    is_there = said + true > 0
    return _ratio((_ratio(2 * right, said + true)).sum(axis=-1), is_there.sum(axis=-1).astype(float))


def _ratio(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    """Zero where there is nothing below."""
    above, below = np.asarray(above, np.float64), np.asarray(below, np.float64)
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)
