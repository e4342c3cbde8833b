"""Where in a context the answer to a question stands."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from numpy.typing import NDArray
from torch import Tensor

from codir.tasks.base import Kind, Metric, Weighted
from codir.tasks.classification import IGNORED_CLASS
from codir.tasks.thresholds import THRESHOLDS, thresholds_of

LONGEST_ANSWER = 30
"""Tokens of an answer at most, as in BERT's release."""
NOWHERE = -1e4
"""The logit of a position that is no token; finite, so that its probability is 0 and its logarithm a number."""

FARTHEST = 30.0
"""A threshold of no answer, as a difference of scores, is no farther from 0."""

PerRow = Callable[[NDArray[Any], NDArray[Any]], NDArray[np.float64]]


def _exact(answers: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.float64]:
    """1 where a row is right."""
    if labels.dtype == object:
        pairs = zip(answers.tolist(), labels, strict=True)
        return np.array([gold.exact_match(*map(int, answer)) for answer, gold in pairs])
    return (answers == labels).all(axis=1).astype(np.float64)


def _overlap(answers: NDArray[Any], labels: NDArray[Any], *, last: int = 1) -> NDArray[np.float64]:
    """The F1 of a row: over the words of its texts, or over positions where spans alone are known.

    Args:
        answers: spans.
        labels: texts, or spans.
        last: 1 where the end of a span is its last position, 0 where it is the one behind.
    """
    if labels.dtype == object:
        pairs = zip(answers.tolist(), labels, strict=True)
        return np.array([gold.f1(*map(int, answer)) for answer, gold in pairs])
    begin, end = np.maximum(answers[:, 0], labels[:, 0]), np.minimum(answers[:, 1], labels[:, 1]) + last
    lengths = sum(spans[:, 1] - spans[:, 0] + last for spans in (answers, labels))
    shares = 2 * np.maximum(end - begin, 0) / np.maximum(lengths, 1)
    return np.where((answers < 0).any(axis=1) | (labels < 0).any(axis=1), _exact(answers, labels), shares)


def _mean_of(per_row: PerRow) -> Metric:
    return lambda answers, labels: float(per_row(answers, labels).mean())


def _weighted_mean_of(per_row: PerRow) -> Weighted:
    def compute(weights: NDArray[Any], answers: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.float64]:
        return np.asarray(weights @ per_row(answers, labels) / weights.sum(axis=1))

    return compute


class QuestionAnswering(Kind):
    """The span of a context that answers a question, by the first and the last of its tokens.

    Logits are `[windows, tokens, 2]` where a model reads windows of contexts: of starting and of ending at each token.
    The answers to whole questions are `[rows, 4]`: where the best span starts and ends in the context, counted in
    characters, its score, and that of no answer. A label is the start and the end of a span, -1 for no answer.
    """

    name = "question_answering"
    problem_type = None
    auto_class = "AutoModelForQuestionAnswering"
    has_classes = False
    outputs = 2
    reads_windows = True
    has_pairs = True
    text_names = ("question",)
    text_pair_names = ("context",)
    label_dtype = "int64"
    no_label = IGNORED_CLASS
    metrics = ("exact_match", "f1")
    known_metrics = ()
    own_metrics: Mapping[str, Metric] = {
        "exact_match": _mean_of(_exact),
        "f1": _mean_of(_overlap),
        "same_span": _mean_of(_exact),
    }
    own_weighted: Mapping[str, Weighted] = {
        "exact_match": _weighted_mean_of(_exact),
        "f1": _weighted_mean_of(_overlap),
        "same_span": _weighted_mean_of(_exact),
    }
    agreement = ("same_span", "share of questions where both models mark the same characters")
    strategy = "any"
    floor_name = "no answer"
    tuned_in_words = "the threshold of no answer was"
    head_name = "question answering head"
    script = "answer"
    asked_pairs = ("a question", "a context")

    # ---- Labels ----

    def label_shape(self, outputs: int) -> tuple[int | None, ...]:
        """Start and end."""
        return (2,)

    def unlabelled(self, outputs: int) -> Any:
        """Neither."""
        return [IGNORED_CLASS, IGNORED_CLASS]

    def units(self, labels: Any) -> Any:
        """Each question its own, where texts are judged."""
        return np.arange(len(labels)) if labels.dtype == object else None

    def fitted(self, labels: NDArray[np.generic], outputs: int) -> str | None:
        """Whole numbers."""
        return "int64" if labels.dtype.kind in "iu" and outputs == self.outputs else None

    def labels_in_words(self, outputs: int) -> str:
        """What the labels are."""
        return "the first and the last position of an answer"

    def outputs_in_words(self, outputs: int) -> str:
        """What a model gives."""
        return "the start and the end of an answer"

    # ---- Losses ----

    def hard_loss(self, logits: Float[Tensor, "batch tokens 2"], labels: Int[Tensor, "batch 2"]) -> Float[Tensor, ""]:
        """`mean_i (CE(start_i, a_i) + CE(end_i, b_i)) / 2` over the labelled windows `i` (Devlin et al. 2019, §4.2)."""
        sums = [
            F.cross_entropy(logits[..., place], labels[:, place], ignore_index=IGNORED_CLASS, reduction="sum")
            for place in (0, 1)
        ]
        return torch.stack(sums).sum() / 2 / self.count_labels(labels).clamp(min=1)

    def soft_loss(
        self, student: Float[Tensor, "batch tokens 2"], teacher: Float[Tensor, "batch tokens 2"], *, temperature: float
    ) -> Float[Tensor, ""]:
        """`T^2 KL(softmax(teacher / T) || softmax(student / T))` over tokens; mean of start and end, then over rows."""
        of_student, of_teacher = (F.log_softmax(logits / temperature, dim=1) for logits in (student, teacher))
        divergence = F.kl_div(of_student, of_teacher, reduction="batchmean", log_target=True)
        return temperature**2 * divergence / 2

    def match_loss(
        self, student: Float[Tensor, "batch tokens 2"], teacher: Float[Tensor, "batch tokens 2"]
    ) -> Float[Tensor, ""]:
        """Squared error of the logits, mean over the tokens of all windows."""
        is_token = (teacher > NOWHERE / 2).all(dim=-1)  # bf16 rounds that number
        return F.mse_loss(student[is_token], teacher[is_token])

    # ---- Answers ----

    def answers(self, logits: Float[np.ndarray, "rows ..."]) -> Shaped[np.ndarray, "rows ..."]:
        """The likeliest span of at most `LONGEST_ANSWER` tokens; of questions, no answer where that scores more."""
        if logits.ndim == 2:
            spans = logits[:, :2].astype(np.int64)
            return np.where((logits[:, 3] > logits[:, 2])[:, None], -1, spans)
        tokens = logits.shape[1]
        apart = np.arange(tokens) - np.arange(tokens)[:, None]
        allowed = (apart >= 0) & (apart < LONGEST_ANSWER)
        found = np.empty((len(logits), 2), np.int64)
        for row, one in enumerate(logits):
            scores = np.where(allowed, one[:, None, 0] + one[None, :, 1], -np.inf)
            found[row] = np.unravel_index(scores.argmax(), scores.shape)
        return found

    def tuned(self, logits: Float[np.ndarray, "rows 4"], labels: NDArray[Any]) -> dict[str, Any]:
        """From which probability on there is none: that of the best F1 on these rows; nothing where all have one."""
        if all(gold.answers for gold in labels):
            return {}
        kept = logits.copy()
        kept[:, 3] = -np.inf
        answered, silent = _overlap(self.answers(kept), labels), _overlap(np.full((len(labels), 2), -1), labels)
        apart = logits[:, 3] - logits[:, 2]
        order = np.argsort(apart, kind="stable")
        cuts = np.concatenate([apart[order][:1] - 1, (apart[order][1:] + apart[order][:-1]) / 2, apart[order][-1:] + 1])
        scores = np.concatenate([[0.0], np.cumsum(answered[order])]) + np.concatenate(
            [np.cumsum(silent[order][::-1])[::-1], [0.0]]
        )
        is_cut = np.concatenate([[True], np.diff(apart[order]) > 0, [True]])  # equal ones are answered together
        scores = np.where(is_cut, scores, -1.0)
        best = np.flatnonzero(scores >= scores.max() - 1e-9)  # of equally good ones, the nearest to none
        cut = float(np.clip(cuts[best][np.abs(cuts[best]).argmin()], -FARTHEST, FARTHEST))
        return {THRESHOLDS: [1 / (1 + math.exp(-cut))]}

    def settings_in_words(self, config: Any) -> dict[str, str]:
        """The threshold."""
        found = thresholds_of(config)
        return {} if found is None else {"no answer": f"from a probability of {found[0]:.3g} on, against the best span"}

    def exported(self, config: Any) -> dict[str, Any]:
        """The threshold, as a difference of scores."""
        found = thresholds_of(config)
        return {"no_answer": 0.0 if found is None else math.log(found[0] / (1 - found[0]))}

    def distances(
        self, logits: Float[np.ndarray, "rows ..."], others: Float[np.ndarray, "rows ..."]
    ) -> Float[np.ndarray, " rows"]:
        """1 less the F1 of the two spans, over positions."""
        last = 0 if logits.ndim == 2 else 1  # of characters, the end is the one behind the span
        return 1.0 - _overlap(self.answers(logits), self.answers(others), last=last)

    def floor(self, labels: NDArray[Any]) -> NDArray[np.generic]:
        """No answer to any question."""
        return np.full((len(labels), 2), -1)

    def is_constant(self, answers: NDArray[Any]) -> bool:
        """Whether all are one span; where texts are judged, whether no question has an answer."""
        if answers.dtype == object:
            return not any(gold.answers for gold in answers)
        return super().is_constant(answers)

    def variation(self, answers: NDArray[Any], labels: NDArray[Any]) -> float:
        """How many different spans there are, over how many there should be; where texts are judged, over the rows."""

        def others(spans: NDArray[Any]) -> int:
            return len(np.unique(spans, axis=0)) - 1

        return others(answers) / max(len(labels) - 1 if labels.dtype == object else others(labels), 1)

    def in_words(self, answer: Any, names: Mapping[int, str]) -> str:
        """Its characters, by their numbers."""
        start, end = (int(place) for place in answer)
        return "no answer" if start < 0 else f"characters {start} to {end}"

    def shown(self, answer: Any, row: Mapping[str, Any], names: Mapping[int, str]) -> str:
        """The words themselves."""
        start, end = (int(place) for place in answer)
        return "no answer" if start < 0 else f'"{row["text_pair"][start:end]}"'

    def written(self, answers: NDArray[np.generic], names: Sequence[str]) -> list[str | float]:
        """Start and end."""
        return ["no answer" if start < 0 else f"{start}-{end}" for start, end in answers.tolist()]

    def written_beside(
        self, answers: NDArray[np.generic], rows: Mapping[str, Sequence[Any]], names: Sequence[str]
    ) -> list[str | float]:
        """The words themselves; empty for no answer."""
        spans = zip(rows["text_pair"], answers.tolist(), strict=True)
        return [context[start:end] if start >= 0 else "" for context, (start, end) in spans]

    def groups(self, labels: NDArray[Any], names: Mapping[int, str]) -> list[str]:
        """Whether there is an answer."""
        return ["no answer" if start < 0 else "answer" for start, _ in labels.tolist()]

    # ---- Negatives ----

    def places(self, labels: NDArray[np.generic]) -> NDArray[np.float64]:
        """Nowhere: no window is like another."""
        return np.full(len(labels), np.nan)

    def radius(self, places: NDArray[np.float64], asked: float | None) -> float:
        """None."""
        return 0.0
