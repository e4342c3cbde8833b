"""Candidates of a query, ranked by one score each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from codir.tasks.base import Metric, Weighted
from codir.tasks.ranking import ndcg, reciprocal_rank
from codir.tasks.regression import Regression

PerQuery = Callable[[Any, Any, Any], NDArray[np.float64]]


def _mean_of(per_query: PerQuery) -> Metric:
    """The mean over queries of a score that each has."""
    return lambda scores, labels: float(per_query(scores, labels[:, 0], labels[:, 1]).mean())


def _weighted_mean_of(per_query: PerQuery) -> Weighted:
    """The same over resamples, in which all candidates of a query count equally often."""

    def compute(
        weights: NDArray[np.float64], scores: NDArray[np.generic], labels: NDArray[np.generic]
    ) -> NDArray[np.float64]:
        of_queries = weights[:, np.unique(labels[:, 1], return_index=True)[1]]
        found = of_queries @ per_query(scores, labels[:, 0], labels[:, 1])
        return np.asarray(found / of_queries.sum(axis=1))

    return compute


class Reranking(Regression):
    """One score for a query and a candidate; the candidates of a query are judged together, by their order.

    A label is two numbers: how relevant the candidate is, from 0 up, NaN where that is not known; and the number of its
    query.
    """

    name = "reranking"
    offers = frozenset({"labels", "answers", "groups"})
    has_pairs = True
    text_names = ("query",)
    text_pair_names = ("document", "passage", "candidate", "text")
    metrics = ("ndcg@10", "mrr")
    known_metrics = ("spearman",)
    own_metrics: Mapping[str, Metric] = {"ndcg@10": _mean_of(ndcg), "mrr": _mean_of(reciprocal_rank)}
    own_weighted: Mapping[str, Weighted] = {
        "ndcg@10": _weighted_mean_of(ndcg),
        "mrr": _weighted_mean_of(reciprocal_rank),
    }
    correlations = frozenset({"spearman"})
    agreement = ("spearman", "rank correlation of the two models' scores")
    floor_name = "random order"
    dealt = "by whole queries"
    script = "ranking"
    asked_pairs = ("a query", "a candidate", "another")

    # ---- Labels ----

    def label_shape(self, outputs: int) -> tuple[int | None, ...]:
        """Relevance and query."""
        return (2,)

    def unlabelled(self, outputs: int) -> Any:
        """No relevance, and a query of that kind alone."""
        return [self.no_label, -1.0]

    def targets(self, labels: Any) -> Any:
        """The relevance; scores stay as they are."""
        return labels[:, 0] if labels.ndim > 1 else labels

    def units(self, labels: Any) -> Any:
        """The query of each row; scores alone have none."""
        return labels[:, 1] if labels.ndim > 1 else None

    def is_labelled(self, labels: Tensor) -> Tensor:
        """Which rows have a relevance."""
        return super().is_labelled(labels[:, 0])

    def labels_in_words(self, outputs: int) -> str:
        """What the labels are."""
        return "a relevance and the number of its query"

    def start(self, labels: NDArray[np.generic]) -> tuple[float, float] | None:
        """Mean and spread of the relevances."""
        return super().start(labels[:, 0])

    # ---- Losses ----

    def hard_loss(self, logits: Float[Tensor, "batch classes"], labels: Tensor) -> Float[Tensor, ""]:
        """`mean_i (s_i - y_i)^2` over the labelled rows `i`, whatever their query."""
        return super().hard_loss(logits, labels[:, 0])

    # ---- Answers ----

    def floor(self, labels: NDArray[np.generic]) -> NDArray[np.generic]:
        """The same score to all candidates, which metrics take for a random order."""
        return np.zeros(len(labels))

    def variation(self, answers: NDArray[np.generic], labels: NDArray[np.generic]) -> float:
        """The scores' standard deviation over that of the relevances; 1 where those have none."""
        return super().variation(self.targets(answers), self.targets(labels))

    def in_words(self, answer: Any, names: Mapping[int, str]) -> str:
        """The score or relevance."""
        return super().in_words(np.ravel(answer)[0], names)

    def written(self, answers: NDArray[np.generic], names: Any) -> list[str | float]:
        """The scores or relevances, rounded."""
        return super().written(self.targets(answers), names)

    def groups(self, labels: NDArray[np.generic], names: Mapping[int, str]) -> list[str]:
        """The third of the relevances that its own lies in."""
        return super().groups(self.targets(labels), names)

    # ---- Negatives ----

    def places(self, labels: NDArray[np.generic]) -> NDArray[np.float64]:
        """The relevance."""
        return super().places(labels[:, 0])
