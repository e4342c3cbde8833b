"""KL over predicted tokens against its formula, and against the same over all logits restricted to them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from plain import kl, mean, randn, softmax

from codir.errors import UserError
from codir.objectives import TokenKL, token_kl_loss
from codir.signals import ModelShape


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_a_token_kl_that_differs_from_its_formula(temperature):
    student, teacher = randn(4, 7), randn(4, 7, seed=1)
    by_hand = temperature**2 * mean(
        kl(softmax(t / temperature), softmax(s / temperature)) for s, t in zip(student, teacher, strict=True)
    )
    assert token_kl_loss(student, teacher, temperature=temperature).item() == pytest.approx(by_hand, rel=1e-4)


@given(rows=st.integers(1, 4), tokens=st.integers(1, 6), seed=st.integers(0, 1000))
def test_a_kl_over_predicted_positions_that_differs_from_all_positions_restricted_to_them(rows, tokens, seed):
    """`T^2 sum KL(p, t) [predicted] / count`, over whole `[rows, tokens, vocabulary]` logits."""
    student, teacher = randn(rows, tokens, 7, seed=seed), randn(rows, tokens, 7, seed=seed + 1)
    predicted = torch.rand(rows, tokens, generator=torch.Generator().manual_seed(seed)) < 0.5
    p, q = torch.softmax(teacher / 2, dim=-1), torch.softmax(student / 2, dim=-1)
    everywhere = 4 * (p * (p / q).log()).sum(dim=-1)
    expected = (everywhere * predicted).sum() / predicted.sum().clamp(min=1)
    found = token_kl_loss(student[predicted], teacher[predicted], temperature=2.0)
    assert found.item() == pytest.approx(expected.item(), abs=1e-5)


def test_models_that_choose_from_other_vocabularies():
    teacher, student = (ModelShape(2, 8, 2, classes=0, vocabulary=size) for size in (7, 9))
    with pytest.raises(UserError, match="as many tokens as its teacher, 7, got 9"):
        TokenKL().build(teacher=teacher, student=student)


def test_a_teacher_that_predicts_no_tokens():
    with pytest.raises(UserError, match="teacher with a language-model head"):
        TokenKL().build(teacher=ModelShape(2, 8, 2, classes=3), student=ModelShape(2, 8, 2, classes=0, vocabulary=7))
