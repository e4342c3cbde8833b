"""Thresholds of labels: tuned to the best F1 there is, and the same answers once logits are moved by them."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics

from codir.errors import UserError
from codir.tasks import KINDS, thresholds
from codir.tasks.label_sets import best_constant, micro_f1


def test_a_threshold_that_another_one_beats():
    rng = np.random.default_rng(0)
    labels = (rng.random((60, 5)) < [0.05, 0.2, 0.5, 0.9, 0.3]).astype(float)
    said = np.clip(0.3 * labels + rng.random((60, 5)) * 0.7, 0, 1).round(2)  # with rows of one probability
    for label, least in enumerate(thresholds.tune(said, labels)):
        scores = {}
        for cut in [0.0, *np.unique(said[:, label])]:  # every way to divide the rows
            answered = said[:, label] > cut
            scores[cut] = sklearn.metrics.f1_score(labels[:, label], answered, zero_division=0.0)
        found = sklearn.metrics.f1_score(labels[:, label], said[:, label] >= least)
        assert found == pytest.approx(max(scores.values()))


def test_a_label_without_examples_that_gets_a_threshold_of_its_own():
    said, labels = np.array([[0.2, 0.3], [0.4, 0.9]]), np.array([[0.0, 1.0], [0.0, 1.0]])
    assert thresholds.tune(said, labels) == [0.5, 0.5]


def test_moved_logits_that_answer_other_labels():
    kind, least = KINDS["multi_label"], [0.5, 0.1, 0.9, 0.37]
    logits = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32) * 3
    moved = thresholds.move(logits, least)
    assert moved.dtype == logits.dtype
    np.testing.assert_array_equal(kind.answers(moved) >= 0.5, kind.answers(logits) >= least)
    np.testing.assert_allclose(thresholds.move_back(moved, least), logits, atol=1e-5)
    assert thresholds.move(logits, None) is logits


def test_a_floor_that_other_constant_labels_beat():
    rng = np.random.default_rng(1)
    labels = (rng.random((40, 4)) < [0.6, 0.4, 0.35, 0.1]).astype(float)
    every = [np.array([number >> bit & 1 for bit in range(4)], dtype=float) for number in range(16)]
    scores = [micro_f1(np.broadcast_to(one, labels.shape), labels) for one in every]
    assert micro_f1(np.broadcast_to(best_constant(labels), labels.shape), labels) == pytest.approx(max(scores))


@pytest.mark.parametrize("shares", [[0.0, 0.5], [0.5, 1.0], [0.5, float("nan")], 0.5, ["a", 0.5]])
def test_thresholds_that_no_probability_passes_or_all_do(shares):
    with pytest.raises(UserError, match="probabilities above 0 and below 1"):
        thresholds.thresholds_of({thresholds.THRESHOLDS: shares})


def test_thresholds_of_another_number_of_labels():
    with pytest.raises(UserError, match="expected 3 of them, as many as the model has answers, got 2"):
        thresholds.move(np.zeros((4, 3), np.float32), [0.5, 0.4])
