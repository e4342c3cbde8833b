"""One vector per text, judged by how its cosines order pairs of texts, or by what it finds among many documents.

A model of this kind answers with a normalised vector. An evaluation row has two texts, which are read one by one.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import torch.nn.functional as F
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from codir.tasks.base import Offer
from codir.tasks.regression import Regression

CUT = 10
"""Ranks that count in retrieval."""
SCORES_AT_ONCE = 4_000_000
"""Similarities of queries to documents that are held at a time."""


class Embedding(Regression):
    """One vector per text; a pair's answer is the cosine of its two vectors, judged by graded similarity."""

    name = "embedding"
    problem_type: ClassVar[str | None] = None
    auto_class = "AutoModel"
    outputs: ClassVar[int | None] = None
    reads_apart = True
    order_counts: ClassVar[bool] = False
    offers: ClassVar[frozenset[Offer]] = frozenset({"vectors"})
    metrics = ("spearman", "pearson")
    agreement = ("spearman", "rank correlation of the two models' cosines")
    strategy = "any"
    head_name = "encoder"
    script = "vectors"

    def compare(
        self,
        first: Float[np.ndarray, "rows width"],
        second: Float[np.ndarray, "rows width"],
        *,
        texts: Int[np.ndarray, "rows two"],
    ) -> Float[np.ndarray, "rows one"]:
        """The answer to each pair of texts: the cosine of their vectors.

        Args:
            first: vectors of the first texts, of length 1.
            second: of the second texts.
            texts: the number of each text; equal texts have equal numbers.
        """
        return np.einsum("rw,rw->r", first, second, dtype=np.float64).astype(np.float32)[:, None]

    def hard_loss(
        self, logits: Float[Tensor, "batch ..."], labels: Int[Tensor, "batch ..."] | Float[Tensor, "batch ..."]
    ) -> Float[Tensor, ""]:
        """0: a single text has no score to be taught."""
        return logits.sum() * 0.0

    def soft_loss(
        self, student: Float[Tensor, "batch ..."], teacher: Float[Tensor, "batch ..."], *, temperature: float
    ) -> Float[Tensor, ""]:
        """`1 - cos`, mean over rows; a temperature has no meaning for vectors."""
        return (1.0 - F.cosine_similarity(student, teacher, dim=1)).mean()

    def variation(self, answers: NDArray[np.generic], labels: NDArray[np.generic]) -> float:
        """0 where all cosines are the same, 1 otherwise: they are on another scale than the labels."""
        return float(len(np.unique(answers)) > 1)

    def start(self, labels: NDArray[np.generic]) -> tuple[float, float] | None:
        """None: no head begins."""
        return None

    def labels_in_words(self, outputs: int) -> str:
        """`scores of pairs`."""
        return "scores of pairs"

    def outputs_in_words(self, outputs: int) -> str:
        """Such as `a vector of 384`."""
        return f"a vector of {outputs}"

    def places(self, labels: NDArray[np.generic]) -> NDArray[np.float64]:
        """Unknown: any text may be a negative of any other."""
        return np.full(len(labels), np.nan)

    def radius(self, places: NDArray[np.float64], asked: float | None) -> float:
        """None are alike."""
        return 0.0


def _found(answers: NDArray[np.generic], labels: NDArray[np.generic], gain: NDArray[np.float64]) -> float:
    """Gains of the relevant documents over those that were to be had, mean over queries."""
    relevant = labels.astype(np.float64)
    is_relevant = relevant > 0
    queries = np.sum(1.0 / relevant[is_relevant])
    found = gain[is_relevant].sum() / queries if queries else 0.0
    return float(min(found, 1.0))  # resamples may hold a query's first document twice


def ndcg_at_10(answers: NDArray[np.generic], labels: NDArray[np.generic]) -> float:
    """nDCG@10 of documents that are relevant or not, mean over queries (Järvelin and Kekäläinen 2002).

    Args:
        answers: the rank of each row's document among all documents for its query, from 1.
        labels: how many documents are relevant to its query; 0 for a document that is not.

    Example:
        >>> ndcg_at_10(np.array([1.0, 3.0, 50.0]), np.array([1.0, 1.0, 0.0]))  # two queries: 1 and 1 / log2(4)
        0.75
    """
    ranks, relevant = answers.astype(np.float64), labels.astype(np.float64).clip(min=1)
    ideal = np.cumsum(1.0 / np.log2(np.arange(CUT) + 2.0))
    gain = np.where(ranks <= CUT, 1.0 / np.log2(ranks + 1.0), 0.0)
    return _found(answers, labels, gain / ideal[np.minimum(relevant, CUT).astype(int) - 1])


def recall_at_10(answers: NDArray[np.generic], labels: NDArray[np.generic]) -> float:
    """Share of a query's relevant documents that are among the first 10, mean over queries; arguments as above.

    Example:
        >>> recall_at_10(np.array([1.0, 30.0]), np.array([2.0, 2.0]))
        0.5
    """
    relevant = labels.astype(np.float64).clip(min=1)
    return _found(answers, labels, (answers.astype(np.float64) <= CUT) / relevant)


class Retrieval(Embedding):
    """The same vectors, judged by retrieval: a row is a query and a document that is relevant to it, or not.

    A row's answer is the rank of its document among all documents of the set, its label how many of them are relevant
    to its query, 0 where this one is not.
    """

    name = "retrieval"
    metrics = ("ndcg@10", "recall@10")
    known_metrics: ClassVar[tuple[str, ...]] = ("spearman",)
    own_metrics = MappingProxyType({"ndcg@10": ndcg_at_10, "recall@10": recall_at_10})
    correlations: ClassVar[frozenset[str]] = frozenset({"spearman"})
    agreement = ("spearman", "rank correlation of the ranks that the two models give to the same documents")
    floor_name = "middle rank"

    def compare(
        self,
        first: Float[np.ndarray, "rows width"],
        second: Float[np.ndarray, "rows width"],
        *,
        texts: Int[np.ndarray, "rows two"],
    ) -> Float[np.ndarray, "rows one"]:
        """The rank of each row's document among all documents for its query, from 1; ties share their mean rank.

        NaN where the similarity of the two is NaN.
        """
        _, queries, query_of = np.unique(texts[:, 0], return_index=True, return_inverse=True)
        _, documents, document_of = np.unique(texts[:, 1], return_index=True, return_inverse=True)
        order = np.argsort(query_of.reshape(-1), kind="stable")
        ranks = np.empty(len(texts), np.float32)
        at_once = max(1, SCORES_AT_ONCE // len(documents))
        for start in range(0, len(queries), at_once):
            part = queries[start : start + at_once]
            scores = first[part] @ second[documents].T
            rows = order[(query_of[order] >= start) & (query_of[order] < start + len(part))]
            of_rows = scores[query_of[rows] - start]
            own = np.take_along_axis(of_rows, document_of[rows][:, None], axis=1)
            found = (of_rows > own).sum(axis=1) + ((of_rows == own).sum(axis=1) + 1) / 2
            ranks[rows] = np.where(np.isnan(own[:, 0]), np.nan, found)  # NaN is below nothing, and would rank first
        return ranks[:, None]

    def floor(self, labels: NDArray[np.generic]) -> NDArray[np.generic]:
        """The middle of all ranks."""
        return np.full(len(labels), (len(labels) + 1) / 2)

    def is_constant(self, answers: NDArray[np.generic]) -> bool:
        """Never: the first rank for every row is the best there is."""
        return False

    def variation(self, answers: NDArray[np.generic], labels: NDArray[np.generic]) -> float:
        """1: a good model gives the same rank to many rows."""
        return 1.0

    def in_words(self, answer: Any, names: Mapping[int, str]) -> str:
        """The rank."""
        return f"rank {answer:g}"

    def labels_in_words(self, outputs: int) -> str:
        """`numbers of relevant documents`."""
        return "numbers of relevant documents"
