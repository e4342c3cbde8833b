"""Scores of a ranking, query by query: nDCG and the reciprocal rank; candidates with equal scores in random order.

Knows numbers alone. Whoever ranks candidates for queries is scored here.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, Shaped

CUT = 10
"""Ranks that count in nDCG."""

Rows = Float[np.ndarray, " rows"]
Queries = Shaped[np.ndarray, " rows"]
PerQuery = Float[np.ndarray, " queries"]


def ndcg(scores: Rows, relevance: Rows, queries: Queries, *, cut: int | None = CUT) -> PerQuery:
    """Normalised discounted cumulative gain of each query; 0 for one without a relevant candidate.

    `DCG = sum_r rel_r / log2(r + 1)` over the first `cut` ranks `r`, divided by that of the best order (Järvelin and
    Kekäläinen 2002). Candidates with equal scores share their mean relevance (McSherry and Najork 2008), so a model
    that gives one score to all is scored as a random order is. Equal to scikit-learn's `ndcg_score`, for all queries at
    once.

    Args:
        scores: of the candidates, higher ones ranked first, shape `[rows]`.
        relevance: of the same candidates, 0 or more.
        queries: which query each candidate belongs to.
        cut: ranks that count; all with `None`.

    Returns:
        One number for each query, in the order of `np.unique(queries)`.

    Example:
        >>> ndcg(np.array([0.9, 0.1, 0.2]), np.array([0.0, 1.0, 0.0]), np.array([7, 7, 7]))
        array([0.5])
    """
    found, best = (_dcg(by, relevance, queries, cut) for by in (scores, relevance))
    return np.divide(found, best, out=np.zeros_like(best), where=best > 0)


def reciprocal_rank(scores: Rows, relevance: Rows, queries: Queries) -> PerQuery:
    """One over the rank of the first relevant candidate of each query; 0 for one without any.

    Candidates with relevance above 0 are relevant. Of candidates with equal scores, it is the mean over their orders.

    Args:
        scores: of the candidates, higher ones ranked first, shape `[rows]`.
        relevance: of the same candidates.
        queries: which query each candidate belongs to.

    Returns:
        One number for each query, in the order of `np.unique(queries)`.

    Example:
        >>> reciprocal_rank(np.array([0.9, 0.1, 0.1]), np.array([0.0, 1.0, 0.0]), np.array([7, 7, 7]))  # rank 2 or 3
        array([0.41666667])
    """
    place, count = _places(queries)
    is_relevant = relevance > 0
    top = np.full(count, -np.inf)
    np.maximum.at(top, place[is_relevant], scores[is_relevant])
    before, tied, hits = (
        np.bincount(place[chosen], minlength=count)
        for chosen in (scores > top[place], scores == top[place], is_relevant & (scores == top[place]))
    )
    found = np.where(hits > 0, 1.0 / (before + 1), 0.0)
    for query in np.flatnonzero((hits > 0) & (tied > hits)):
        found[query] = _of_random_order(int(before[query]), int(tied[query]), int(hits[query]))
    return found


def _of_random_order(before: int, tied: int, hits: int) -> float:
    """Mean reciprocal rank of the first of some hits, in a random order of so many that follow those before."""
    steps = np.arange(tied - hits)
    passed = np.concatenate([[1.0], np.cumprod((tied - hits - steps) / (tied - steps))])  # no hit among the first ones
    ranks = np.arange(tied - hits + 1)
    return float(np.sum(passed * hits / (tied - ranks) / (before + 1 + ranks)))


def _dcg(by: Rows, relevance: Rows, queries: Queries, cut: int | None) -> PerQuery:
    """Discounted gain of each query in the order of `by`."""
    place, count = _places(queries)
    order = np.lexsort((-by, place))
    place, by = place[order], by[order]
    starts = np.searchsorted(place, np.arange(count))
    rank = np.arange(len(place)) - starts[place]
    is_new = np.ones(len(place), bool)
    is_new[1:] = (place[1:] != place[:-1]) | (by[1:] != by[:-1])
    tie = np.cumsum(is_new) - 1
    gain = (np.bincount(tie, relevance[order]) / np.bincount(tie))[tie]
    discount = 1.0 / np.log2(rank + 2.0)
    if cut is not None:
        discount[rank >= cut] = 0.0
    return np.bincount(place, gain * discount, minlength=count)


def _places(queries: Queries) -> tuple[Int[np.ndarray, " rows"], int]:
    """The queries numbered from 0, and how many they are."""
    names, place = np.unique(queries, return_inverse=True)
    return place.reshape(-1), len(names)
