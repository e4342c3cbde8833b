"""Batches of whole queries."""

from __future__ import annotations

import numpy as np
import pytest

from codir.data import QuerySampler


def batches_of(sampler: QuerySampler) -> list[list[int]]:
    rows = list(sampler)
    return [rows[start : start + sampler.batch_size] for start in range(0, len(rows), sampler.batch_size)]


def uneven(seed: int = 0, count: int = 200) -> np.ndarray:
    rng = np.random.default_rng(seed)
    queries = np.repeat(np.arange(count), rng.integers(2, 11, count))
    rng.shuffle(queries)
    return queries


@pytest.mark.parametrize("size", [1, 7, 32, 5000])
def test_a_row_that_an_epoch_reads_twice_or_never(size):
    queries = uneven()
    sampler = QuerySampler(queries, batch_size=size, seed=3)
    assert sorted(sampler) == list(range(len(queries)))
    assert len(sampler) == len(queries)


def test_a_query_that_is_cut_although_all_fit():
    queries = np.tile(np.arange(30), 8)
    sampler = QuerySampler(queries, batch_size=32)
    for batch in batches_of(sampler):
        assert set(np.unique(queries[batch], return_counts=True)[1]) == {8}
    assert sampler.count_cut() == 0


def test_queries_cut_where_another_would_have_fitted():
    queries = uneven()
    sampler = QuerySampler(queries, batch_size=32)
    sizes = np.bincount(queries)
    parts = [np.unique(queries[batch], return_counts=True) for batch in batches_of(sampler)]
    cut = sum(int((counts < sizes[names]).sum()) for names, counts in parts)
    assert sampler.count_cut() == sum(len(names) for names, _ in parts) - len(sizes)
    assert cut <= 4  # at the end, where little is left to choose from
    assert all(sum(counts) == 32 for _, counts in parts[:-1])


def test_a_query_larger_than_a_batch():
    queries = np.repeat([0, 1], [70, 6])
    sampler = QuerySampler(queries, batch_size=32)
    assert sorted(sampler) == list(range(76))
    assert sampler.count_cut() >= 2


def test_an_order_that_is_the_same_in_every_epoch_or_differs_between_processes():
    queries = uneven()
    first, second = (QuerySampler(queries, batch_size=32, seed=5) for _ in range(2))
    straight = list(first)
    assert straight == list(second)
    second.set_epoch(1)
    assert straight != list(second)
    first.set_epoch(1)
    assert list(first) == list(second)
