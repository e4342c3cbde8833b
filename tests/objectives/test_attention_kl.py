"""KL of attention probabilities against its formula."""

from __future__ import annotations

import pytest
from plain import attention_of, dot, kl, mask_of, mean, real, softmax

from codir.objectives import attention_kl_loss


def test_a_value_that_differs_from_the_papers_formula():
    """`L_AT` of arXiv 2004.02984: per head and query, over real tokens alone; widths of heads may differ."""
    student, teacher, mask = attention_of(2, 3), attention_of(2, 5, seed=1), mask_of(4, 1, 3)

    def probabilities(layer, i, head, row) -> list[float]:
        keys = real(mask, i)
        return softmax([dot(layer.query[i, head, row], layer.key[i, head, key]) * layer.scaling for key in keys])

    by_hand = mean(
        mean(
            kl(probabilities(teacher, i, head, row), probabilities(student, i, head, row))
            for head in range(2)
            for row in real(mask, i)
        )
        for i in range(3)
    )
    assert attention_kl_loss(student, teacher, mask).item() == pytest.approx(by_hand, rel=1e-4)
