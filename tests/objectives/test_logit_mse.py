"""Squared error of logits against its formula."""

from __future__ import annotations

import pytest
import torch
from plain import mean, randn, squared_error

from codir.objectives import logit_mse_loss, soft_target_loss


@pytest.mark.parametrize("classes", [1, 2, 7])
def test_a_value_that_differs_from_the_papers_formula(classes):
    student, teacher = randn(5, classes), randn(5, classes, seed=1)
    by_hand = mean(squared_error(s, t) for s, t in zip(student, teacher, strict=True))
    assert logit_mse_loss(student, teacher).item() == pytest.approx(by_hand, rel=1e-5)


def test_the_limit_of_kd_at_high_temperatures_missed():
    """Hinton et al. 2015, eq. 4: for centred logits, the gradients of both have one direction."""
    teacher = randn(5, 3, seed=1)
    teacher -= teacher.mean(dim=1, keepdim=True)
    gradients = []
    for loss in (logit_mse_loss, lambda s, t: soft_target_loss(s, t, temperature=1000.0)):
        student = randn(5, 3)
        student = (student - student.mean(dim=1, keepdim=True)).requires_grad_()
        gradients.append(torch.autograd.grad(loss(student, teacher), student)[0].flatten())
    assert torch.cosine_similarity(*gradients, dim=0).item() == pytest.approx(1.0, abs=1e-3)
