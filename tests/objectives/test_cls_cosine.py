"""Cosine distance of `[CLS]` vectors against its formula."""

from __future__ import annotations

import pytest
from plain import cosine, mean, randn

from codir.objectives import cls_cosine_loss


def test_a_value_that_differs_from_the_papers_formula():
    """Aguilar et al. 2020: `1 - cos` per layer."""
    student, teacher = randn(4, 3, 5), randn(4, 3, 5, seed=1)
    by_hand = mean(1 - cosine(student[i, layer], teacher[i, layer]) for i in range(4) for layer in range(3))
    assert cls_cosine_loss(student, teacher).item() == pytest.approx(by_hand, rel=1e-5)


def test_opposite_vectors_not_at_the_far_end():
    student = randn(4, 3, 5)
    assert cls_cosine_loss(student, -3 * student).item() == pytest.approx(2.0)
