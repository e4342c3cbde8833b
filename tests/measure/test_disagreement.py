"""Agreement and distance of two models against plain numpy and scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from codir.measure import find_farthest, measure_agreement
from codir.tasks import KINDS

CLASSES, SCORES = KINDS["classification"], KINDS["regression"]


def logits_of(columns: int, rows: int = 300, *, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, columns)).astype(np.float32)


def test_an_agreement_or_an_interval_that_is_not_that_of_the_rows():
    one, other = logits_of(3, seed=0), logits_of(3, seed=1)
    found = measure_agreement(one, other, CLASSES)
    alike = one.argmax(axis=1) == other.argmax(axis=1)
    assert (found.value, found.rows) == (pytest.approx(alike.mean()), 300)
    rng = np.random.default_rng(7)
    plain = [alike[rng.integers(0, 300, 300)].mean() for _ in range(4000)]
    assert [found.low, found.high] == pytest.approx(np.quantile(plain, [0.025, 0.975]), abs=0.01)


def test_scores_whose_agreement_is_not_their_correlation():
    one = logits_of(1, seed=0)
    other = one + 0.5 * logits_of(1, seed=1)
    found = measure_agreement(one, other, SCORES)
    assert found.value == pytest.approx(stats.pearsonr(one[:, 0], other[:, 0])[0], abs=1e-6)
    assert found.low < found.value < found.high


def test_a_distance_that_is_not_the_total_variation():
    one, other = logits_of(4, seed=2), logits_of(4, seed=3)
    shares = [torch.from_numpy(found).double().softmax(dim=1).numpy() for found in (one, other)]
    plain = [0.5 * sum(abs(p - q) for p, q in zip(*rows, strict=True)) for rows in zip(*shares, strict=True)]
    np.testing.assert_allclose(CLASSES.distances(one, other), plain, atol=1e-12)
    np.testing.assert_array_equal(CLASSES.distances(one, one + 1.0) < 1e-6, True)


def test_rows_that_do_not_differ_or_are_out_of_order():
    distances = np.array([0.0, 0.5, 0.2, 0.5, 0.0, 0.9])
    assert find_farthest(distances, 10).tolist() == [5, 1, 3, 2]
    assert find_farthest(distances, 2).tolist() == [5, 1]
