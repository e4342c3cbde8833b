"""TinyBERT's attention term against its formula."""

from __future__ import annotations

import pytest
import torch
from plain import attention_of, dot, mask_of, mean, real

from codir.errors import UserError
from codir.objectives import AttentionKL, AttentionMSE, attention_mse_loss
from codir.objectives.parts.token_scores import attention_scores
from codir.signals import Batch, ModelShape, StudentSignal, TeacherSignal, TokenSignal

MASK = mask_of(4, 1, 3)


def by_hand(student, teacher) -> float:
    """Eq. 7 of arXiv 1909.10351 over pairs of real tokens."""

    def score(layer, i, head, row, column) -> float:
        return dot(layer.query[i, head, row], layer.key[i, head, column]) * layer.scaling

    def error(*place) -> float:
        return (score(student, *place) - score(teacher, *place)) ** 2

    return mean(
        mean(
            mean(error(i, head, row, column) for row in real(MASK, i) for column in real(MASK, i)) for head in range(2)
        )
        for i in range(3)
    )


def test_a_value_that_differs_from_the_papers_formula():
    """Widths of heads may differ, and do."""
    student, teacher = attention_of(2, 3), attention_of(2, 5, seed=1)
    value = attention_mse_loss(attention_scores(student), attention_scores(teacher), MASK)
    assert value.item() == pytest.approx(by_hand(student, teacher), rel=1e-5)


def test_a_layer_compared_with_anothers_answer():
    objective = AttentionMSE()
    objective.build(teacher=ModelShape(4, 10, 2, classes=2), student=ModelShape(2, 6, 2, classes=2))
    student = [attention_of(2, 3, seed=layer) for layer in range(2)]
    teacher = [attention_of(2, 5, seed=10 + layer) for layer in range(4)]
    logits = torch.zeros(3, 2)
    value = objective(
        StudentSignal(logits, tokens=TokenSignal(MASK, attention=tuple(student))),
        TeacherSignal(logits, tokens=TokenSignal(MASK, attention=tuple(teacher))),
        Batch({}, torch.arange(3)),
        None,
    )
    expected = mean([by_hand(student[0], teacher[1]), by_hand(student[1], teacher[3])])
    assert value.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("objective", [AttentionMSE(), AttentionKL()], ids=["scores", "probabilities"])
@pytest.mark.parametrize("heads", [3, 0])
def test_heads_compared_with_heads_that_are_not_there(objective, heads):
    with pytest.raises(UserError, match=rf"as many heads as its teacher \(2\), got {heads} heads.*relation_kl"):
        objective.build(teacher=ModelShape(4, 6, 2, classes=2), student=ModelShape(2, 6, heads, classes=2))
