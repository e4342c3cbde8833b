"""Hidden states of tokens against TinyBERT's and MobileBERT's formulas."""

from __future__ import annotations

import pytest
import torch
from plain import dot, layer_norm, mask_of, mean, randn, real, squared_error

from codir.objectives import HiddenMSE, hidden_mse_loss
from codir.signals import Batch, ModelShape, StudentSignal, TeacherSignal, TokenSignal

MASK = mask_of(4, 1, 3)
TEACHER = ModelShape(num_layers=6, hidden=5, heads=1, classes=2)
STUDENT = ModelShape(num_layers=3, hidden=4, heads=1, classes=2)


@pytest.mark.parametrize(("normalisation", "normalised"), [("none", lambda vector: vector), ("layer", layer_norm)])
def test_a_value_that_differs_from_the_papers_formula(normalisation, normalised):
    """Eq. 8 of arXiv 1909.10351 without `W`; with `layer`, `L_FMT` of arXiv 2004.02984."""
    student, teacher = randn(3, 4, 5), randn(3, 4, 5, seed=1)
    by_hand = mean(
        mean(squared_error(normalised(student[i, t]), normalised(teacher[i, t])) for t in real(MASK, i))
        for i in range(3)
    )
    value = hidden_mse_loss(student, teacher, MASK, normalisation=normalisation)
    assert value.item() == pytest.approx(by_hand, rel=1e-4)


@pytest.mark.parametrize("embeddings", [True, False])
def test_layers_or_map_other_than_tinyberts(embeddings):
    """Eq. 8 on layers 1, 2, 3 against 2, 4, 6, and eq. 9 on the embeddings, all through one `W`."""
    objective = HiddenMSE(embeddings=embeddings)
    objective.build(teacher=TEACHER, student=STUDENT)
    student = [randn(3, 4, 4, seed=layer) for layer in range(4)]
    teacher = [randn(3, 4, 5, seed=10 + layer) for layer in range(7)]
    weight, bias = objective.map.weight.tolist(), objective.map.bias.tolist()

    def by_hand(layer: int, answer: int) -> float:
        total = []
        for i in range(3):
            mapped = {
                t: [dot(row, student[layer][i, t]) + b for row, b in zip(weight, bias, strict=True)]
                for t in real(MASK, i)
            }
            total.append(mean(squared_error(vector, teacher[answer][i, t]) for t, vector in mapped.items()))
        return mean(total)

    pairs = [(0, 0), (1, 2), (2, 4), (3, 6)] if embeddings else [(1, 2), (2, 4), (3, 6)]
    logits = torch.zeros(3, 2)
    value = objective(
        StudentSignal(logits, tokens=TokenSignal(MASK, tuple(student))),
        TeacherSignal(logits, tokens=TokenSignal(MASK, tuple(teacher))),
        Batch({}, torch.arange(3)),
        None,
    )
    assert value.item() == pytest.approx(mean(by_hand(*pair) for pair in pairs), rel=1e-4)
