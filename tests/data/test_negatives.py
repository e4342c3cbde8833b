"""Which rows are drawn as negatives, against a filter in a plain loop."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codir.data import NegativeSampler, build_negative_sampler
from codir.errors import UserError
from codir.signals import IGNORED_CLASS
from codir.tasks import KINDS


def allowed_by_hand(labels, row, batch, radius=0.0):
    """Every row that may be a negative of `row`."""
    if np.isnan(labels[row]):
        return {i for i in range(len(labels)) if i not in batch}
    return {i for i, label in enumerate(labels) if not np.isnan(label) and abs(label - labels[row]) > radius}


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(12, 60),
    classes=st.integers(2, 4),
    unlabelled=st.floats(0, 0.5),
    radius=st.sampled_from([0.0, 0.4]),
    seed=st.integers(0, 10_000),
)
def test_a_negative_of_the_same_kind_or_a_repeated_one(rows, classes, unlabelled, radius, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, rows).astype(float) + (rng.random(rows) * 0.3 if radius else 0.0)
    labels[:classes] = range(classes)
    labels[classes:][rng.random(rows - classes) < unlabelled] = np.nan
    batch = rng.choice(rows, 4, replace=False)
    try:
        sampler = NegativeSampler(labels, count=2, batch_size=4, radius=radius, seed=seed)
    except UserError:
        return
    drawn = sampler.sample(batch)
    for place, row in enumerate(batch):
        own = drawn.index[drawn.group[place]].tolist()
        assert len(set(own)) == 2
        assert set(own) <= allowed_by_hand(labels, row, set(batch), radius)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(8, 30), unlabelled=st.floats(0, 0.5), radius=st.sampled_from([0.0, 0.4]), seed=st.integers(0, 999)
)
def test_rows_of_a_queue_judged_by_another_rule_than_draws(rows, unlabelled, radius, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, rows).astype(float) + (rng.random(rows) * 0.3 if radius else 0.0)
    labels[:3] = range(3)
    labels[3:][rng.random(rows - 3) < unlabelled] = np.nan
    batch, queued = rng.choice(rows, 4, replace=False), rng.integers(0, rows, 50)
    sampler = NegativeSampler(labels, count=1, batch_size=4, radius=radius, seed=seed)
    allowed, group = sampler.allows(batch, queued), sampler.sample(batch).group
    for place, row in enumerate(batch):
        by_hand = allowed_by_hand(labels, row, set(batch), radius)
        assert [bool(is_negative) for is_negative in allowed[group[place]]] == [other in by_hand for other in queued]


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(8, 30), unlabelled=st.floats(0, 0.5), radius=st.sampled_from([0.0, 0.4]), seed=st.integers(0, 999)
)
def test_rows_of_a_step_judged_by_another_rule_than_draws(rows, unlabelled, radius, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, rows).astype(float) + (rng.random(rows) * 0.3 if radius else 0.0)
    labels[:3] = range(3)
    labels[3:][rng.random(rows - 3) < unlabelled] = np.nan
    step = rng.integers(0, rows, 8)  # a row may be there twice
    sampler = NegativeSampler(labels, count=0, batch_size=4, radius=radius, seed=seed)
    is_negative, is_kin = sampler.relate(step[:4], step)
    for place, row in enumerate(step[:4]):
        by_hand = allowed_by_hand(labels, row, {row}, radius)
        assert [bool(given) for given in is_negative[place]] == [other in by_hand for other in step]
        kin = [other == row or abs(labels[other] - labels[row]) <= radius for other in step]
        assert [bool(given) for given in is_kin[place]] == kin


def test_a_mixture_without_its_halves_or_with_a_row_twice():
    labels = np.array([0.0] * 200 + [1.0] * 200)
    sampler = build_negative_sampler(labels.astype(int), num_examples=400, count=101, batch_size=8, strategy="mixed")
    batch = np.array([0, 1, 2, 3, 200, 201, 202, 203])
    drawn = sampler.sample(batch)
    for kind, own in enumerate(drawn.index):
        assert len(set(own.tolist())) == 101
        assert not set(own[51:].tolist()) & set(batch.tolist())
        assert (labels[own[:51]] != kind).all()
        assert 10 < (labels[own[51:]] == kind).sum() < 45  # of 50, where 29 are expected


def test_a_mixture_of_more_rows_than_there_are():
    labels = np.array([0] * 50 + [1] * 6)
    most = build_negative_sampler(labels, num_examples=56, count=12, batch_size=8, strategy="mixed")
    assert most.sample(np.array([0])).index.shape == (1, 12)
    with pytest.raises(UserError, match=r"at most 12.*got 13"):
        build_negative_sampler(labels, num_examples=56, count=13, batch_size=8, strategy="mixed")


def test_advice_that_forgets_the_pool_of_hard_negatives():
    labels = np.array([0] * 90 + [1] * 30)
    with pytest.raises(UserError, match=r"at most 30.*got 40, `hard_pool` included.*num_negatives=7`"):
        build_negative_sampler(labels, num_examples=120, count=40, batch_size=2, hard_pool=4)


@pytest.mark.parametrize(
    ("labels", "found"),
    [(None, "no labels"), (np.array([0.5, 1.0]), "scores"), (np.array([IGNORED_CLASS] * 2), "no labels")],
)
def test_positives_of_one_class_where_there_are_no_classes(labels, found):
    with pytest.raises(UserError, match=f"class labels for `supcon`.*got {found}"):
        build_negative_sampler(labels, num_examples=2, count=0, batch_size=1, needs_classes=True)


@pytest.mark.parametrize(
    ("task", "found"), [("reranking", "a relevance and the number of its query"), ("multi_label", "lists of 2 numbers")]
)
def test_positives_of_one_class_where_a_kind_of_task_has_none(task, found):
    labels = np.array([[1.0, 0.0], [0.0, 1.0]])
    with pytest.raises(UserError, match=f"class labels for `supcon`.*got .*{found}"):
        build_negative_sampler(labels, num_examples=2, count=0, batch_size=1, needs_classes=True, kind=KINDS[task])


def test_a_sampler_that_takes_more_room_as_rows_come_in():
    """A million rows: what is kept is 12 bytes for each, and a draw makes nothing that is as large as the data."""
    rows = 1_000_000
    sampler = build_negative_sampler(np.arange(rows) % 3, num_examples=rows, count=128, batch_size=8)
    kept = [value.nbytes for value in vars(sampler).values() if isinstance(value, np.ndarray)]
    assert sum(kept) <= 12 * rows + 100
    tracemalloc.start()
    try:
        sampler.sample(np.arange(8) * 1000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < rows / 10


def test_draws_that_favour_some_negatives():
    labels = np.array([0.0] * 10 + [1.0] * 10)
    counts = np.zeros(20)
    for seed in range(2000):
        sampler = NegativeSampler(labels, count=3, batch_size=1, seed=seed)
        np.add.at(counts, sampler.sample(np.array([0])).index[0], 1)
    assert counts[:10].sum() == 0
    expected = 2000 * 3 / 10
    chi_square = ((counts[10:] - expected) ** 2 / expected).sum()
    assert chi_square < 27.9  # 9 degrees of freedom, p = 0.001


def test_draws_that_a_resumed_run_cannot_repeat():
    labels = np.arange(40) % 2.0
    batch = np.array([3, 8, 21])
    first, second = (NegativeSampler(labels, count=5, batch_size=3, seed=7).sample(batch) for _ in range(2))
    assert np.array_equal(first.index, second.index)
    other = NegativeSampler(labels, count=5, batch_size=3, seed=8).sample(batch)
    assert not np.array_equal(first.index, other.index)


def test_every_batch_of_a_class_drawing_the_same_negatives():
    sampler = NegativeSampler(np.arange(400) % 2.0, count=5, batch_size=2, seed=0)
    assert not np.array_equal(sampler.sample(np.array([0, 2])).index, sampler.sample(np.array([4, 6])).index)


def test_more_negatives_than_there_are():
    with pytest.raises(UserError, match=r"at most 3, the smallest pool.*got 4"):
        build_negative_sampler(np.array([0] * 9 + [1] * 3), num_examples=12, count=4, batch_size=2)


def test_a_class_without_any_other_class():
    with pytest.raises(UserError, match="another class"):
        build_negative_sampler(np.zeros(12, dtype=int), num_examples=12, count=2, batch_size=2)


def test_unlabelled_rows_taken_for_a_class_of_their_own():
    labels = np.array([0, 0, 0, 1, 1, 1, *[IGNORED_CLASS] * 10])
    sampler = build_negative_sampler(labels, num_examples=16, count=3, batch_size=2)
    drawn = sampler.sample(np.array([0, 9]))
    assert set(drawn.index[drawn.group[0]].tolist()) == {3, 4, 5}
    assert 9 not in drawn.index[drawn.group[1]]


def test_near_scores_taken_for_negatives():
    scores = np.linspace(0.0, 5.0, 101)
    sampler = build_negative_sampler(scores, num_examples=101, count=10, batch_size=1)
    drawn = scores[sampler.sample(np.array([0])).index[0]]
    assert (drawn > scores.std()).all()


@pytest.mark.parametrize(("strategy", "labels"), [("distant", np.array([0, 1])), ("other_class", np.array([0.5, 1.0]))])
def test_a_strategy_that_does_not_fit_the_labels(strategy, labels):
    with pytest.raises(UserError, match="use `auto`"):
        build_negative_sampler(labels, num_examples=2, count=1, batch_size=1, strategy=strategy)
