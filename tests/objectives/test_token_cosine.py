"""DistilBERT's cosine term against its formula."""

from __future__ import annotations

import pytest
from plain import cosine, mask_of, mean, randn, real

from codir.objectives import token_cosine_loss


def test_a_value_that_differs_from_the_papers_formula():
    """`1 - cos` of each real token's two states; the mean of each example's tokens, then of the examples."""
    student, teacher, mask = randn(3, 4, 5), randn(3, 4, 5, seed=1), mask_of(4, 1, 3)
    by_hand = mean(mean(1 - cosine(student[i, t], teacher[i, t]) for t in real(mask, i)) for i in range(3))
    assert token_cosine_loss(student, teacher, mask).item() == pytest.approx(by_hand, rel=1e-5)
