"""The language model's loss against its formula in plain loops."""

from __future__ import annotations

import math

import pytest
import torch
from plain import mean, randn, softmax

from codir.errors import UserError
from codir.objectives import HardLabel, SoftTarget, TokenLabel, token_label_loss
from codir.signals import IGNORED_CLASS, Batch, ModelShape, StudentSignal, TeacherSignal

CLASSIFIER = ModelShape(2, 8, 2, classes=3)
LANGUAGE_MODEL = ModelShape(2, 8, 2, classes=0, vocabulary=7)


def test_a_masked_lm_loss_that_differs_from_its_formula():
    """Labels as a collator makes them, and logits of every position: only the labelled ones count."""
    labels = torch.tensor([[IGNORED_CLASS, 3, IGNORED_CLASS, 0], [6, IGNORED_CLASS, IGNORED_CLASS, 2]])
    everywhere = randn(2, 4, 7)
    by_hand = mean(
        -math.log(softmax(everywhere[row, place])[int(labels[row, place])])
        for row in range(2)
        for place in range(4)
        if labels[row, place] != IGNORED_CLASS
    )
    batch = Batch({}, torch.tensor([0, 1]), token_labels=labels)
    student = StudentSignal(torch.zeros(2, 0), token_logits=everywhere[batch.predicted])
    value = TokenLabel()(student, TeacherSignal(torch.zeros(2, 0)), batch, None)
    assert value.item() == pytest.approx(by_hand, rel=1e-5)


def test_nan_from_a_batch_that_predicts_no_token():
    logits = torch.zeros(0, 7, requires_grad=True)
    loss = token_label_loss(logits, torch.zeros(0, dtype=torch.long))
    loss.backward()
    assert loss.item() == 0.0
    assert logits.grad is not None


def test_a_classifier_asked_for_tokens():
    with pytest.raises(UserError, match="student with a language-model head"):
        TokenLabel().build(teacher=None, student=CLASSIFIER)


@pytest.mark.parametrize("objective", [HardLabel(), SoftTarget()])
def test_a_language_model_asked_for_classes(objective):
    with pytest.raises(UserError, match="a classifier or regressor"):
        objective.build(teacher=LANGUAGE_MODEL, student=LANGUAGE_MODEL)
