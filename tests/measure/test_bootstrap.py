"""Intervals: every metric over resamples as it is over the rows drawn, and what an interval must not promise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from codir.measure import METRIC_NAMES, interval_of, resample_metrics
from codir.measure.bootstrap import WEIGHTED
from codir.tasks import KINDS
from codir.tasks.metrics import METRICS

KIND_OF = {metric: kind for kind in reversed(KINDS.values()) for metric in kind.known_metrics}  # the first that has it


def answers_of(metric: str, rows: int, *, seed: int = 0, classes: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Answers, of which a part is right, and labels; scores have many ties."""
    rng = np.random.default_rng(seed)
    if KIND_OF[metric].has_classes:
        labels = rng.integers(0, classes, rows)
        return np.where(rng.random(rows) < 0.6, labels, rng.integers(0, classes, rows)), labels
    labels = rng.integers(0, 6, rows).astype(np.float32)
    return (labels + rng.integers(-2, 3, rows)).astype(np.float32), labels


def test_a_metric_without_a_form_for_resamples():
    assert set(WEIGHTED) == set(METRIC_NAMES)


@pytest.mark.parametrize("metric", METRIC_NAMES)
@pytest.mark.parametrize("rows", [1, 2, 5, 40])  # of few rows, many resamples have one class or one score only
def test_a_resample_scored_in_another_way_than_its_rows(metric, rows):
    for classes in (2,) if metric == "f1" else (2, 4):
        predicted, labels = answers_of(metric, rows, classes=classes)
        weights = np.random.default_rng(1).multinomial(rows, [1 / rows] * rows, size=50).astype(float)
        drawn = [np.repeat(np.arange(rows), row.astype(int)) for row in weights]
        expected = [METRICS[metric](predicted[chosen], labels[chosen]) for chosen in drawn]
        assert WEIGHTED[metric](weights, predicted, labels) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("metric", METRIC_NAMES)
def test_an_interval_that_scipy_would_not_give(metric):
    predicted, labels = answers_of(metric, 150)
    ours = resample_metrics({"model": predicted}, labels, [metric], KIND_OF[metric], resamples=2000)["model"][metric]
    interval = interval_of(METRICS[metric](predicted, labels), ours, len(labels))
    theirs = stats.bootstrap(
        (predicted, labels),
        METRICS[metric],
        paired=True,
        vectorized=False,
        n_resamples=2000,
        method="percentile",
        rng=0,
    ).confidence_interval
    spread = theirs.high - theirs.low
    assert abs(interval.low - theirs.low) < 0.1 * spread
    assert abs(interval.high - theirs.high) < 0.1 * spread


def test_differences_of_models_on_other_rows():
    predicted, labels = answers_of("accuracy", 200)
    wrong_once = predicted.copy()
    wrong_once[0] = 1 - labels[0]
    found = resample_metrics(
        {"a": predicted, "b": predicted, "c": wrong_once}, labels, ["accuracy"], KINDS["classification"]
    )
    assert (found["a"]["accuracy"] == found["b"]["accuracy"]).all()
    difference = found["a"]["accuracy"] - found["c"]["accuracy"]
    alone = found["a"]["accuracy"].std()
    assert difference.std() < alone / 2  # one row can make little difference, whatever rows are drawn


def test_intervals_that_change_from_one_report_to_the_next():
    predicted, labels = answers_of("pearson", 60)
    first, second = (
        resample_metrics({"m": predicted}, labels, ["pearson"], KINDS["regression"])["m"]["pearson"] for _ in range(2)
    )
    assert (first == second).all()
    assert len(first) == 1000


def test_weights_that_do_not_fit_in_memory(monkeypatch):
    predicted, labels = answers_of("spearman", 60)
    whole = resample_metrics({"m": predicted}, labels, ["spearman"], KINDS["regression"])["m"]["spearman"]
    monkeypatch.setattr("codir.measure.bootstrap.MOST_WEIGHTS", 1000)
    in_parts = resample_metrics({"m": predicted}, labels, ["spearman"], KINDS["regression"])["m"]["spearman"]
    assert in_parts == pytest.approx(whole)
