"""Calibration against a transcription of the papers in plain loops, and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss

from codir.measure import calibrate
from codir.measure.calibration import BINS
from codir.tasks import KINDS


def answers(classes: int, rows: int = 400, *, seed: int = 0, sharpness: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(rows, classes)).astype(np.float32) * sharpness
    labels = np.where(rng.random(rows) < 0.6, logits.argmax(axis=1), rng.integers(0, classes, rows))
    probabilities = KINDS["classification"].probabilities(logits)
    assert probabilities is not None
    return probabilities, labels


def plain_error(probabilities: np.ndarray, labels: np.ndarray, bins: int) -> float:
    """Guo et al. 2017, equations 2, 3 and 5, in their order."""
    error = 0.0
    for number in range(1, bins + 1):
        inside = [i for i, row in enumerate(probabilities) if (number - 1) / bins < max(row) <= number / bins]
        if not inside:
            continue
        accuracy = sum(int(np.argmax(probabilities[i])) == labels[i] for i in inside) / len(inside)
        confidence = sum(max(probabilities[i]) for i in inside) / len(inside)
        error += len(inside) / len(labels) * abs(accuracy - confidence)
    return error


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("seed", [0, 1])
def test_an_error_that_differs_from_the_papers(classes, seed):
    probabilities, labels = answers(classes, seed=seed)
    found = calibrate(probabilities, labels)
    assert found.expected_calibration_error == pytest.approx(plain_error(probabilities, labels, 15), abs=1e-12)
    assert 0.0 < found.expected_calibration_error < 1.0
    assert sum(one.rows for one in found.bins) == len(labels)
    assert found.mean_confidence == pytest.approx(np.mean([max(row) for row in probabilities]))


def test_a_confidence_at_the_edge_of_a_bin_that_is_counted_in_the_next():
    edges = np.array([(m / BINS) for m in range(8, BINS + 1)])
    probabilities = np.stack([edges, 1 - edges], axis=1)
    labels = np.zeros(len(edges), np.int64)
    assert [one.rows for one in calibrate(probabilities, labels).bins] == [1] * len(edges)
    assert calibrate(probabilities, labels).expected_calibration_error == pytest.approx(
        plain_error(probabilities, labels, BINS)
    )


def test_a_brier_score_that_differs_from_scikit_learns():
    probabilities, labels = answers(2)
    assert calibrate(probabilities, labels).brier_score == pytest.approx(brier_score_loss(labels, probabilities[:, 1]))
    probabilities, labels = answers(5)
    each = [brier_score_loss((labels == k).astype(int), probabilities[:, k]) for k in range(5)]
    assert calibrate(probabilities, labels).brier_score == pytest.approx(sum(each))


def test_a_model_that_is_sure_and_right_or_sure_and_wrong():
    sure = np.array([[1.0, 0.0], [0.0, 1.0]])
    right, wrong = calibrate(sure, np.array([0, 1])), calibrate(sure, np.array([1, 0]))
    assert (right.expected_calibration_error, right.brier_score) == (0.0, 0.0)
    assert (wrong.expected_calibration_error, wrong.brier_score) == (1.0, 1.0)


def test_probabilities_of_large_logits_that_overflow():
    found = KINDS["classification"].probabilities(np.array([[5e4, 0.0], [-3e38, 3e38]], np.float32))
    assert found is not None
    np.testing.assert_array_equal(found, [[1.0, 0.0], [0.0, 1.0]])
    assert KINDS["regression"].probabilities(np.array([[1.0]])) is None
