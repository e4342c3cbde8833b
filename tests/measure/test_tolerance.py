"""The smallest student that will do is found from what was measured, and its interval is right."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.metrics import accuracy_score

from codir.measure import Contender, Interval, choose_smallest, is_within, measure_losses, weigh
from codir.tasks import Task

ROWS = 400


def answers_of(seed: int, right: float, labels: np.ndarray) -> np.ndarray:
    """Logits that are right on about this share of the rows."""
    rng = np.random.default_rng(seed)
    said = np.where(rng.random(len(labels)) < right, labels, 1 - labels)
    return np.eye(2, dtype=np.float32)[said] + rng.random((len(labels), 2), np.float32) * 0.1


def bootstrapped(score, labels: np.ndarray, teacher: np.ndarray, student: np.ndarray) -> tuple[float, float]:
    """2.5% and 97.5% of the points lost, by drawing rows one resample after another."""
    rng, lost = np.random.default_rng(7), []
    for _ in range(3000):
        rows = rng.integers(0, len(labels), len(labels))
        lost.append(100 * (score(labels[rows], teacher[rows]) - score(labels[rows], student[rows])))
    return tuple(np.percentile(lost, [2.5, 97.5]))


def test_a_loss_that_scikit_learn_and_a_plain_bootstrap_see_otherwise():
    labels = np.random.default_rng(0).integers(0, 2, ROWS)
    logits = {"teacher": answers_of(1, 0.9, labels), "student": answers_of(2, 0.85, labels)}
    task = Task("classification", None, 2, ("accuracy",))
    found = measure_losses(logits, labels, task, against="teacher")
    teacher, student = (logits[name].argmax(axis=1) for name in ("teacher", "student"))
    score, loss = found["student"]
    assert score.value == pytest.approx(accuracy_score(labels, student))
    assert loss.value == pytest.approx(100 * (accuracy_score(labels, teacher) - accuracy_score(labels, student)))
    assert (loss.low, loss.high) == pytest.approx(bootstrapped(accuracy_score, labels, teacher, student), abs=0.6)
    assert loss == weigh(logits["teacher"], logits["student"], labels, task).loss  # as the gate of an export sees it
    own = found["teacher"][1]
    assert (own.value, own.low, own.high) == (0.0, 0.0, 0.0)


def test_a_loss_of_scores_that_scipy_sees_otherwise():
    rng = np.random.default_rng(0)
    labels = rng.normal(size=ROWS)
    logits = {name: (labels + rng.normal(size=ROWS) * noise)[:, None] for name, noise in (("t", 0.3), ("s", 0.6))}
    found = measure_losses(logits, labels, Task("regression", None, 1, ("pearson",)), against="t")["s"][1]

    def score(right: np.ndarray, said: np.ndarray) -> float:
        return float(pearsonr(right, said)[0])

    teacher, student = logits["t"][:, 0], logits["s"][:, 0]
    assert found.value == pytest.approx(100 * (score(labels, teacher) - score(labels, student)))
    assert (found.low, found.high) == pytest.approx(bootstrapped(score, labels, teacher, student), abs=0.6)


def contender(name: str, loss: float, parameters: int, size: int = 1) -> Contender:
    return Contender(name, "onnx fp32", Interval(0.8, 0.7, 0.9, 9), Interval(loss, 0, 2, 9), parameters, size)


@pytest.mark.parametrize(
    ("students", "chosen"),
    [
        ([contender("a", 0.2, 30), contender("b", 0.9, 20), contender("c", 1.2, 10)], "b"),
        ([contender("b", 0.9, 20), contender("a", 0.2, 30)], "b"),  # whatever their order
        ([contender("a", 1.2, 30), contender("c", -0.5, 10)], "c"),  # better than the teacher
        ([contender("fp32", 0.1, 20, 80), contender("int8", 0.2, 20, 20)], "int8"),
        ([contender("a", 1.2, 30)], None),
        ([], None),
    ],
)
def test_a_student_that_is_not_the_smallest_inside_the_tolerance(students, chosen):
    found = choose_smallest(students, 1.0)
    assert (found and found.name) == chosen


def test_a_loss_of_just_the_tolerance_that_rounding_puts_outside():
    assert 100 * (0.85 - 0.84) > 1.0  # in floating point
    assert is_within(contender("a", 100 * (0.85 - 0.84), 1), 1.0)
    assert not is_within(contender("a", 1.01, 1), 1.0)
