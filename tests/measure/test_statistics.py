"""Means, intervals and tests by hand, from printed tables of t."""

from __future__ import annotations

import math

import pytest

from codir.measure import estimate_mean, holm, paired_p_value


def test_an_interval_that_is_not_students():
    """s of 1..5 is sqrt(2.5); the table has t(0.975, 4) = 2.776."""
    found = estimate_mean([1.0, 2.0, 3.0, 4.0, 5.0])
    assert (found.mean, found.count) == (3.0, 5)
    assert found.half_width == pytest.approx(2.776 * math.sqrt(2.5) / math.sqrt(5), rel=1e-3)


def test_one_seed_that_claims_an_interval():
    found = estimate_mean([0.8])
    assert (found.mean, found.half_width, found.count) == (0.8, None, 1)
    assert paired_p_value([0.8], [0.7]) is None


def test_a_paired_test_that_forgets_the_pairs():
    """t of these differences (mean 1, s = 0.5, n = 4) is 4.0, and the table has p = 0.028 for it."""
    reference = [10.0, 50.0, 90.0, 30.0]
    differences = [1.0 - 0.5 * math.sqrt(1.5), 1.0, 1.0, 1.0 + 0.5 * math.sqrt(1.5)]
    values = [a + b for a, b in zip(reference, differences, strict=True)]
    assert paired_p_value(values, reference) == pytest.approx(0.0280, abs=5e-4)


def test_equal_runs_that_become_nan():
    assert paired_p_value([0.5, 0.6], [0.5, 0.6]) == 1.0


def test_equal_differences_that_pass_for_certainty():
    """Exactly equal, and equal but for rounding: 0.3 - 0.2 is not 0.2 - 0.1 in floating point."""
    assert paired_p_value([1.5, 2.5], [0.5, 1.5]) is None
    assert paired_p_value([0.3, 0.2], [0.2, 0.1]) is None
    assert estimate_mean([0.3 - 0.2, 0.2 - 0.1]).half_width == pytest.approx(0.0, abs=1e-12)


def test_a_test_that_is_not_the_paired_one():
    """Against the t distribution of 4 degrees of freedom, integrated by hand: density 0.375 (1 + t^2 / 4) ** -2.5."""
    differences = [0.004, 0.001, 0.003, -0.001, 0.002]
    mean = sum(differences) / 5
    spread = math.sqrt(sum((value - mean) ** 2 for value in differences) / 4)
    t = mean / (spread / math.sqrt(5))
    steps = 20_000
    inside = sum(0.375 * (1 + (t * (i + 0.5) / steps) ** 2 / 4) ** -2.5 for i in range(steps)) * t / steps
    assert paired_p_value(differences, [0.0] * 5) == pytest.approx(1 - 2 * inside, abs=1e-6)


def test_many_comparisons_taken_for_one():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
