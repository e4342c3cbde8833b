"""Hard labels and soft targets against slow transcriptions of their formulas."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from codir.objectives import hard_label_loss, soft_target_loss
from codir.signals import IGNORED_CLASS


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def softmax_by_hand(row: Tensor, temperature: float = 1.0) -> list[float]:
    exps = [math.exp(float(x) / temperature) for x in row]
    return [e / sum(exps) for e in exps]


def test_cross_entropy_that_differs_from_its_formula():
    logits, labels = randn(6, 3), torch.tensor([0, 2, 1, IGNORED_CLASS, 1, IGNORED_CLASS])
    by_hand = [-math.log(softmax_by_hand(logits[i])[int(y)]) for i, y in enumerate(labels) if y != IGNORED_CLASS]
    assert hard_label_loss(logits, labels).item() == pytest.approx(sum(by_hand) / 4, rel=1e-5)


def test_squared_error_that_differs_from_its_formula():
    scores, labels = randn(4, 1), torch.tensor([1.0, float("nan"), -2.0, 0.5])
    by_hand = [(float(scores[i, 0]) - float(y)) ** 2 for i, y in enumerate(labels) if not math.isnan(y)]
    assert hard_label_loss(scores, labels).item() == pytest.approx(sum(by_hand) / 3, rel=1e-5)


@pytest.mark.parametrize(
    ("logits", "labels"),
    [(randn(3, 2), torch.full((3,), IGNORED_CLASS)), (randn(3, 1), torch.full((3,), float("nan")))],
    ids=["classes", "scores"],
)
def test_nan_from_a_batch_without_any_label(logits, labels):
    logits = logits.requires_grad_()
    loss = hard_label_loss(logits, labels)
    loss.backward()
    assert loss.item() == 0.0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 10.0])
def test_kl_that_differs_from_its_formula(temperature):
    student, teacher = randn(5, 3), randn(5, 3, seed=1)
    total = 0.0
    for s, t in zip(student, teacher, strict=True):
        p, q = softmax_by_hand(t, temperature), softmax_by_hand(s, temperature)
        total += sum(pi * math.log(pi / qi) for pi, qi in zip(p, q, strict=True))
    value = soft_target_loss(student, teacher, temperature=temperature).item()
    assert value == pytest.approx(temperature**2 * total / 5, rel=1e-4)


def test_gradients_that_shrink_when_the_temperature_grows():
    norms = []
    for temperature in (4.0, 16.0):
        student = randn(8, 3).requires_grad_()
        soft_target_loss(student, randn(8, 3, seed=1), temperature=temperature).backward()
        norms.append(student.grad.norm().item())
    assert norms[1] == pytest.approx(norms[0], rel=0.15)


def test_scores_not_matched_by_squared_error():
    student, teacher = randn(5, 1), randn(5, 1, seed=1)
    expected = sum((float(s) - float(t)) ** 2 for s, t in zip(student, teacher, strict=True)) / 5
    assert soft_target_loss(student, teacher).item() == pytest.approx(expected, rel=1e-5)
