"""What stands beside scores: models that might as well not read are found, and every row is counted once."""

from __future__ import annotations

import itertools
from typing import ClassVar

import numpy as np
import pytest
from sklearn.metrics import classification_report, confusion_matrix, precision_recall_fscore_support

from codir.measure import AnsweredSet, judge, score_classes, stand
from codir.measure.by_class import score_labels
from codir.tasks import KINDS, Task
from codir.tasks.classification import Classification
from codir.tasks.squad import Gold

CLASSES = Task("classification", ("no", "maybe", "yes"), 3, ("accuracy", "macro_f1"))
SCORES = Task("regression", None, 1, ("pearson", "spearman"))
ROWS = 300


class Distance(Classification):
    """Classes in an order, judged by how far off an answer is: lower is better."""

    name = "distance"
    metrics = ("distance",)
    known_metrics = ()
    errors = frozenset({"distance"})
    own_metrics: ClassVar = {"distance": lambda answered, labels: float(np.abs(answered - labels).mean())}


@pytest.fixture
def distance(monkeypatch) -> Task:
    monkeypatch.setitem(KINDS, "distance", Distance())
    return Task("distance", None, 3, ("distance",))


def classes(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).choice(3, ROWS, p=[0.5, 0.3, 0.2])


def logits_for(answers: np.ndarray) -> np.ndarray:
    return np.eye(3)[answers]


@pytest.mark.parametrize("answer", [0, 2])
def test_a_model_of_one_class_taken_for_one_that_reads(answer):
    found = stand(logits_for(np.full(ROWS, answer)), classes(), CLASSES)
    assert found.is_at_floor
    assert found.hardly_varies
    assert found.only_answer == f"'{CLASSES.label_names[answer]}'"


def test_a_right_model_that_learned_nothing_since_all_rows_are_of_one_class():
    right, wrong = (stand(logits_for(np.full(ROWS, answer)), np.full(ROWS, 2), CLASSES) for answer in (2, 0))
    assert (right.is_no_better, right.learned_nothing, wrong.learned_nothing) == (True, False, False)
    assert stand(logits_for(np.full(ROWS, 0)), classes(), CLASSES).learned_nothing
    assert not stand(logits_for(classes()), classes(), CLASSES).learned_nothing


def test_questions_without_an_answer_that_show_that_a_model_learned_nothing():
    kind, spans = KINDS["question_answering"], np.array([[0, 3], [0, 3]])
    golds = np.empty(2, object)
    golds[:] = [Gold("a b c", ()), Gold("c d", ())]
    assert kind.is_constant(golds)
    golds[1] = Gold("c d", ("d",))
    assert not kind.is_constant(golds)
    assert kind.is_constant(spans)
    assert not kind.is_constant(np.array([[0, 3], [1, 3]]))


def test_a_model_of_one_score_taken_for_one_that_reads():
    labels = np.random.default_rng(0).uniform(1, 5, ROWS)
    found = stand(np.full((ROWS, 1), 3.125), labels, SCORES)
    assert (found.is_at_floor, found.hardly_varies, found.only_answer) == (True, True, "3.12")
    shrunken = stand(3.0 + 0.01 * labels[:, None], labels, SCORES)
    assert (shrunken.is_at_floor, shrunken.hardly_varies, shrunken.only_answer) == (False, True, None)


def test_a_good_model_warned_of():
    labels = classes()
    right = np.where(np.random.default_rng(1).random(ROWS) < 0.8, labels, 0)
    found = stand(logits_for(right), labels, CLASSES)
    assert (found.is_at_floor, found.hardly_varies, found.only_answer) == (False, False, None)


@pytest.mark.parametrize(("gained", "lost", "is_lucky"), [(20, 0, False), (3, 1, True), (20, 18, True)])
def test_a_model_of_luck_taken_for_one_that_reads(gained, lost, is_lucky):
    labels, answers = classes(), np.zeros(ROWS, int)
    answers[np.flatnonzero(labels == 1)[:gained]] = 1
    answers[np.flatnonzero(labels == 0)[:lost]] = 2
    found = stand(logits_for(answers), labels, CLASSES)
    assert found.above.value == pytest.approx((gained - lost) / ROWS)
    assert found.is_at_floor == is_lucky


def test_an_error_taken_for_a_score(distance):
    labels = classes()
    assert stand(logits_for(labels), labels, distance).above.value > 0
    assert stand(logits_for(2 - labels), labels, distance).is_at_floor


def test_the_floor_of_another_class_than_the_largest():
    found = judge([one_set(classes())], CLASSES, lengths=np.arange(ROWS), against={})
    share = (classes() == 0).mean()
    assert found.floor_name == "largest class"
    assert found.floor["accuracy"] == pytest.approx(share)
    assert found.floor["macro_f1"] == pytest.approx(2 * share / (1 + share) / 3)


def one_set(labels: np.ndarray, name: str = "dev", suffix: str = "") -> AnsweredSet:
    rng = np.random.default_rng(2)
    answers = {who: np.where(rng.random(len(labels)) < share, labels, 0) for who, share in (("a", 0.9), ("b", 0.5))}
    return AnsweredSet(name, labels, answers, suffix)


def test_an_evaluation_set_left_out():
    sets = [one_set(classes()), one_set(classes(1)[:100], "dev_other", "_other")]
    found = judge(sets, CLASSES, lengths=np.arange(ROWS), against={"b": ["a"]})
    keys = {"accuracy", "macro_f1", "accuracy_other", "macro_f1_other"}
    assert set(found.floor) == set(found.intervals["a"]) == set(found.differences["b"]["a"]) == keys
    assert found.rows == {"dev": ROWS, "dev_other": 100}
    other = found.differences["b"]["a"]["accuracy_other"]
    assert other.rows == 100
    assert other.value == pytest.approx(
        found.intervals["b"]["accuracy_other"].value - found.intervals["a"]["accuracy_other"].value
    )
    assert other.low <= other.value <= other.high < 0


@pytest.mark.parametrize("lengths", [np.arange(ROWS), np.full(ROWS, 7), np.arange(ROWS) % 3, np.repeat([5, 90], 150)])
def test_rows_of_some_length_left_out_or_counted_twice(lengths):
    found = judge([one_set(classes())], CLASSES, lengths=lengths, against={}).by_length
    assert sum(group.rows for group in found) == ROWS
    assert len(found) <= 4
    assert all(before.longest < after.shortest for before, after in itertools.pairwise(found))
    total = sum(group.rows * group.scores["a"] for group in found) / ROWS
    assert total == pytest.approx((one_set(classes()).answers["a"] == classes()).mean())


def test_classes_scored_in_another_way_than_scikit_learn_scores_them():
    labels, answers = classes(), one_set(classes()).answers["b"]
    found = score_classes(answers, labels, CLASSES.id2label)
    names = CLASSES.label_names
    expected = classification_report(labels, answers, target_names=names, output_dict=True, zero_division=0.0)
    for one in found.classes:
        want = expected[one.name]
        assert (one.precision, one.recall, one.f1, one.rows) == pytest.approx(
            (want["precision"], want["recall"], want["f1-score"], want["support"])
        )
    assert np.array_equal(found.confusion, confusion_matrix(labels, answers))


def test_a_class_that_is_never_seen_breaks_the_table():
    found = score_classes(np.array([0, 0]), np.array([0, 1]), {0: "a", 1: "b", 2: "c"})
    assert [one.rows for one in found.classes] == [1, 1, 0]
    assert found.classes[2].f1 == 0.0


@pytest.mark.parametrize("names", [{0: "only"}, {1: "b", 0: "a"}], ids=str)
def test_one_label_or_labels_in_another_order_that_break_the_table(names):
    rng = np.random.default_rng(3)
    answered, true = (rng.random((50, len(names))) < 0.5 for _ in range(2))
    for one, index in zip(score_labels(answered, true, names).classes, names, strict=True):
        expected = precision_recall_fscore_support(true[:, index], answered[:, index], average="binary")[:3]
        assert (one.name, one.rows, one.answered) == (names[index], true[:, index].sum(), answered[:, index].sum())
        assert (one.precision, one.recall, one.f1) == pytest.approx(expected)


def test_a_set_without_an_entity_that_ends_the_run():
    """Nothing is there and nothing is answered: as many spans on either side."""
    nothing = np.zeros(0, np.int64)
    found = score_classes(nothing, nothing, {0: "PER", 1: "no entity"})
    assert [(one.rows, one.answered, one.f1) for one in found.classes] == [(0, 0, 0.0)] * 2
    assert found.confusion == ((0, 0), (0, 0))
