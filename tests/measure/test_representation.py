"""Alignment and uniformity against Wang & Isola's formulas in plain loops."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from codir.measure import alignment, uniformity


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def mean(numbers) -> float:
    numbers = list(numbers)
    return sum(numbers) / len(numbers)


def distance(left, right) -> float:
    return sum((float(a) - float(b)) ** 2 for a, b in zip(left, right, strict=True))


def test_an_alignment_that_differs_from_its_formula():
    x, y = (F.normalize(randn(6, 5, seed=seed), dim=1) for seed in (0, 1))
    assert alignment(x, y) == pytest.approx(mean(distance(a, b) for a, b in zip(x, y, strict=True)), rel=1e-5)
    assert alignment(x, x) == 0.0


def test_a_uniformity_that_differs_from_its_formula():
    x = F.normalize(randn(6, 5), dim=1)
    pairs = [(i, j) for i in range(6) for j in range(i)]
    by_hand = math.log(mean(math.exp(-2 * distance(x[i], x[j])) for i, j in pairs))
    assert uniformity(x) == pytest.approx(by_hand, rel=1e-5)


def test_texts_in_one_place_taken_for_well_spread_ones():
    assert uniformity(torch.ones(5, 1)) == pytest.approx(0.0, abs=1e-6)
    assert uniformity(F.normalize(randn(50, 64), dim=1)) < -3
