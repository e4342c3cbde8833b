"""Scores of rankings against scikit-learn, and against slow loops over orders of equal candidates."""

from __future__ import annotations

from itertools import pairwise, permutations

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from codir.tasks.ranking import ndcg, reciprocal_rank


def candidates(seed: int, *, ties: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Twelve queries of 2 to 15 candidates in mixed order, graded from 0 to 3."""
    rng = np.random.default_rng(seed)
    queries = np.repeat(np.arange(12) * 3 + 5, rng.integers(2, 16, 12))
    rng.shuffle(queries)
    scores = rng.integers(0, 4, len(queries)).astype(float) if ties else rng.normal(size=len(queries))
    return scores, rng.integers(0, 4, len(queries)).astype(float), queries


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("cut", [1, 3, 10, None])
def test_an_ndcg_that_is_not_that_of_scikit_learn(ties, cut):
    for seed in range(5):
        scores, relevance, queries = candidates(seed, ties=ties)
        found = ndcg(scores, relevance, queries, cut=cut)
        expected = [
            ndcg_score([relevance[queries == query]], [scores[queries == query]], k=cut) for query in np.unique(queries)
        ]
        np.testing.assert_allclose(found, expected, atol=1e-12)


def slow_reciprocal_rank(scores, relevance) -> float:
    """Over every order of the candidates that the scores allow."""
    orders = [
        order for order in permutations(range(len(scores))) if all(scores[a] >= scores[b] for a, b in pairwise(order))
    ]
    ranks = [next((place + 1 for place, row in enumerate(order) if relevance[row] > 0), None) for order in orders]
    return float(np.mean([0.0 if rank is None else 1 / rank for rank in ranks]))


def test_a_reciprocal_rank_that_depends_on_the_order_of_equal_candidates():
    rng = np.random.default_rng(0)
    for _ in range(40):
        count = int(rng.integers(1, 7))
        scores, relevance = rng.integers(0, 3, count).astype(float), rng.integers(0, 2, count).astype(float)
        found = reciprocal_rank(scores, relevance, np.full(count, 4))
        assert found == pytest.approx([slow_reciprocal_rank(scores, relevance)])


def test_queries_that_run_into_one_another():
    scores, relevance, queries = candidates(3, ties=True)
    for measure in (ndcg, reciprocal_rank):
        alone = [
            float(measure(scores[queries == query], relevance[queries == query], queries[queries == query])[0])
            for query in np.unique(queries)
        ]
        assert measure(scores, relevance, queries) == pytest.approx(alone)


def test_a_constant_score_praised_because_the_relevant_candidate_stands_first():
    relevance, queries = np.array([1.0, 0.0, 0.0, 0.0] * 2), np.repeat([0, 1], 4)
    assert reciprocal_rank(np.zeros(8), relevance, queries) == pytest.approx([np.mean([1, 1 / 2, 1 / 3, 1 / 4])] * 2)
    assert ndcg(np.zeros(8), relevance, queries) == pytest.approx([np.mean(1 / np.log2(np.arange(2, 6)))] * 2)


def test_a_query_without_a_relevant_candidate_that_is_divided_by_zero():
    assert ndcg(np.array([1.0, 2.0]), np.zeros(2), np.zeros(2)).tolist() == [0.0]
    assert reciprocal_rank(np.array([1.0, 2.0]), np.zeros(2), np.zeros(2)).tolist() == [0.0]
