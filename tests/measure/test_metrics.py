"""Metrics against the textbook's formulas in plain loops, and the failures that a metric must not hide."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from codir.errors import UserError
from codir.measure import METRIC_NAMES, agreement, best_label_permutation, compute_metrics, predictions


def slow_accuracy(predicted: list[float], labels: list[float]) -> float:
    return sum(guess == truth for guess, truth in zip(predicted, labels, strict=True)) / len(labels)


def slow_f1(predicted: list[float], labels: list[float], of_class: float = 1) -> float:
    pairs = list(zip(predicted, labels, strict=True))
    true_positives = sum(guess == of_class == truth for guess, truth in pairs)
    wrong = sum((guess == of_class) != (truth == of_class) for guess, truth in pairs)
    return 2 * true_positives / (2 * true_positives + wrong) if true_positives else 0.0


def slow_macro_f1(predicted: list[float], labels: list[float]) -> float:
    classes = sorted(set(predicted) | set(labels))
    return sum(slow_f1(predicted, labels, of_class) for of_class in classes) / len(classes)


def slow_pearson(predicted: list[float], labels: list[float]) -> float:
    count = len(labels)
    mean_p, mean_l = sum(predicted) / count, sum(labels) / count
    together = sum((p - mean_p) * (t - mean_l) for p, t in zip(predicted, labels, strict=True))
    apart = math.sqrt(sum((p - mean_p) ** 2 for p in predicted) * sum((t - mean_l) ** 2 for t in labels))
    return together / apart if apart else 0.0


def slow_ranks(values: list[float]) -> list[float]:
    return [
        sum(other < value for other in values) + (sum(other == value for other in values) + 1) / 2 for value in values
    ]


def slow_spearman(predicted: list[float], labels: list[float]) -> float:
    return slow_pearson(slow_ranks(predicted), slow_ranks(labels))


def slow_matthews(predicted: list[float], labels: list[float]) -> float:
    """Gorodkin's correlation of class indicators, which for two classes is Matthews'."""
    classes = sorted(set(predicted) | set(labels))

    def covariance(left: list[float], right: list[float]) -> float:
        total = 0.0
        for of_class in classes:
            of_left, of_right = ([float(value == of_class) for value in side] for side in (left, right))
            mean_left, mean_right = sum(of_left) / len(left), sum(of_right) / len(right)
            total += sum((a - mean_left) * (b - mean_right) for a, b in zip(of_left, of_right, strict=True))
        return total

    apart = math.sqrt(covariance(predicted, predicted) * covariance(labels, labels))
    return covariance(predicted, labels) / apart if apart else 0.0


SLOW = {
    "accuracy": slow_accuracy,
    "f1": slow_f1,
    "macro_f1": slow_macro_f1,
    "matthews": slow_matthews,
    "pearson": slow_pearson,
    "spearman": slow_spearman,
}


def test_every_metric_has_an_oracle() -> None:
    assert set(SLOW) == set(METRIC_NAMES)
    assert len(METRIC_NAMES) == 6


@pytest.mark.parametrize(
    ("name", "classes"),
    [("f1", 2), *itertools.product(["accuracy", "macro_f1", "matthews"], [2, 4])],
)
@pytest.mark.parametrize("seed", range(5))
def test_class_metric_differs_from_its_formula(name: str, classes: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    logits, labels = generator.normal(size=(40, classes)), generator.integers(classes, size=40)
    expected = SLOW[name](logits.argmax(axis=1).tolist(), labels.tolist())
    assert compute_metrics(logits, labels, [name]) == {name: pytest.approx(expected, abs=1e-12)}


@pytest.mark.parametrize("name", ["pearson", "spearman"])
@pytest.mark.parametrize("shape", [(30, 1), (30,)])
@pytest.mark.parametrize("seed", range(5))
def test_correlation_differs_from_its_formula_where_scores_tie(name: str, shape: tuple[int, ...], seed: int) -> None:
    generator = np.random.default_rng(seed)
    labels = generator.integers(6, size=30).astype(np.float32)  # six values in thirty rows: ties everywhere
    scores = (labels + generator.integers(-2, 3, size=30)).astype(np.float32)
    expected = SLOW[name](scores.tolist(), labels.tolist())
    assert compute_metrics(scores.reshape(shape), labels, [name]) == {name: pytest.approx(expected, abs=1e-6)}


@pytest.mark.parametrize("name", ["pearson", "spearman"])
@pytest.mark.parametrize(("scores", "labels"), [([2.0] * 4, [1, 2, 3, 4]), ([1, 2, 3, 4], [2.0] * 4), ([5.0], [5.0])])
def test_collapsed_student_gives_nan_or_a_warning(name: str, scores: list[float], labels: list[float]) -> None:
    assert compute_metrics(np.array(scores, dtype=float), np.array(labels), [name]) == {name: 0.0}


def test_almost_collapsed_student_gives_a_warning() -> None:
    scores = np.array([1.0, 1.0, 1.0, np.nextafter(1.0, 2.0)])
    assert np.isfinite(compute_metrics(scores, np.arange(4.0), ["pearson"])["pearson"])


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("guess", [0, 1])
def test_data_or_student_of_one_class_gives_a_warning(label: int, guess: int) -> None:
    logits = np.eye(2)[[guess] * 5]
    found = compute_metrics(logits, np.full(5, label), ["accuracy", "f1", "macro_f1", "matthews"])
    right = float(label == guess)
    assert found == {"accuracy": right, "f1": right * label, "macro_f1": right, "matthews": 0.0}


def test_f1_of_three_classes_silently_scores_one_of_them() -> None:
    with pytest.raises(UserError, match="macro_f1"):
        compute_metrics(np.eye(3), np.arange(3), ["f1"])


def test_unknown_metric_is_not_told_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'matthews'"):
        compute_metrics(np.eye(2), np.arange(2), ["mathews"])


@pytest.mark.parametrize(("logits", "name"), [(np.eye(2), "pearson"), (np.ones((2, 1)), "accuracy")])
def test_metric_of_the_other_kind_of_task_is_computed_anyway(logits: np.ndarray, name: str) -> None:
    with pytest.raises(UserError, match="choose from"):
        compute_metrics(logits, np.array([0, 1]), [name])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_diverged_model_is_scored_as_if_it_had_answered(bad: float) -> None:
    logits = np.eye(3)
    logits[1, 1] = bad
    with pytest.raises(UserError, match="in 1 places"):
        compute_metrics(logits, np.arange(3), ["accuracy"])


@pytest.mark.parametrize("labels", [np.arange(2), np.arange(0)])
def test_rows_that_do_not_match_are_scored(labels: np.ndarray) -> None:
    with pytest.raises(UserError, match="same rows"):
        compute_metrics(np.eye(3), labels, ["accuracy"])


def test_predictions_of_scores_keep_a_column() -> None:
    assert predictions(np.array([[0.5], [0.7]])).shape == predictions(np.array([0.5, 0.7])).shape == (2,)


def test_agreement_of_classes_looks_at_logits_and_not_at_answers() -> None:
    logits = np.array([[0.1, 0.9], [0.8, 0.2], [0.4, 0.6], [0.9, 0.1]])
    assert agreement(logits, 100 * logits) == 1.0
    assert agreement(logits, logits[:, ::-1]) == 0.0
    assert agreement(logits, np.array([[0, 1], [1, 0], [1, 0], [1, 0.0]])) == 0.75


def test_agreement_of_scores_depends_on_their_scale() -> None:
    scores = np.array([[1.0], [2.0], [4.0]])
    assert agreement(scores, 3 * scores + 1) == pytest.approx(1.0)
    assert agreement(scores, np.full((3, 1), 2.0)) == 0.0


@pytest.mark.parametrize("order", [(1, 0), (2, 0, 1), (0, 2, 1), (0, 1, 2, 3)])
def test_swapped_label_order_goes_unseen(order: tuple[int, ...]) -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(len(order), size=200)
    model_class_of = np.argsort(order)  # the model says class c where the data says order[c]
    logits = np.eye(len(order))[model_class_of[labels]]
    wrong = generator.choice(200, size=20, replace=False)
    logits[wrong] = np.roll(logits[wrong], 1, axis=1)
    permutation, as_is, renamed = best_label_permutation(logits, labels)
    assert permutation == order
    assert as_is == pytest.approx(compute_metrics(logits, labels, ["accuracy"])["accuracy"])
    assert renamed == pytest.approx(0.9)


def test_classes_that_never_occur_are_renamed_at_random() -> None:
    labels = np.array([0, 0, 3, 3])
    permutation, as_is, renamed = best_label_permutation(np.eye(5)[labels], labels)
    assert permutation == (0, 1, 2, 3, 4)
    assert as_is == renamed == 1.0
