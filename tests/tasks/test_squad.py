"""SQuAD's measures against a transcription of the official script, `evaluate-v2.0.py`."""

from __future__ import annotations

import collections
import re
import string

import numpy as np
import pytest

from codir.tasks import KINDS
from codir.tasks.squad import Gold, exact_match, normalise, word_f1
from codir.tasks.thresholds import move


def normalize_answer(s):
    def remove_articles(text):
        return re.sub(re.compile(r"\b(a|an|the)\b", re.UNICODE), " ", text)

    def white_space_fix(text):
        return " ".join(text.split())

    def remove_punc(text):
        exclude = set(string.punctuation)
        return "".join(ch for ch in text if ch not in exclude)

    return white_space_fix(remove_articles(remove_punc(s.lower())))


def get_tokens(s):
    return normalize_answer(s).split() if s else []


def compute_f1(a_gold, a_pred):
    gold_toks, pred_toks = get_tokens(a_gold), get_tokens(a_pred)
    common = collections.Counter(gold_toks) & collections.Counter(pred_toks)
    num_same = sum(common.values())
    if len(gold_toks) == 0 or len(pred_toks) == 0:
        return int(gold_toks == pred_toks)
    if num_same == 0:
        return 0
    precision, recall = num_same / len(pred_toks), num_same / len(gold_toks)
    return (2 * precision * recall) / (precision + recall)


TEXTS = [
    "",
    "the",
    "The Eiffel Tower",
    "Eiffel tower!",
    "a tower in Paris, the old one",
    "U.S.A.",
    "usa",
    "an  apple\ta day",
    "théâtre, “the”",
    "1,000 km²",
    "one one two",
    "two one",
]


@pytest.mark.parametrize("answer", TEXTS)
@pytest.mark.parametrize("gold", TEXTS)
def test_a_measure_that_is_not_the_official_one(answer, gold):
    assert normalise(answer) == normalize_answer(answer)
    assert exact_match(answer, gold) == int(normalize_answer(gold) == normalize_answer(answer))
    assert word_f1(answer, gold) == pytest.approx(compute_f1(gold, answer))


def test_the_nearest_of_several_right_answers():
    gold = Gold("the old tower in Paris", ("tower", "the old tower"))
    assert gold.f1(0, 13) == gold.exact_match(4, 13) == 1.0
    assert gold.f1(14, 22) == 0.0
    assert Gold("x", ()).exact_match(-1, -1) == 1.0
    assert Gold("x", ("the",)).exact_match(-1, -1) == 1.0  # as the script does: nothing is left of it
    assert gold.f1(-1, -1) == 0.0


def test_a_threshold_that_another_would_beat():
    kind, rng = KINDS["question_answering"], np.random.default_rng(0)
    context = "aa bb cc dd"
    golds = np.empty(40, dtype=object)
    logits = np.zeros((40, 4))
    for row in range(40):
        answers = () if rng.random() < 0.4 else ("bb",)
        golds[row] = Gold(context, answers)
        place = 3 if rng.random() < 0.7 else 6
        logits[row] = (place, place + 2, rng.normal(), rng.normal() + (2.0 if not answers else 0.0) + 1.5)
    tuned = kind.tuned(logits, golds)["codir_thresholds"]

    def f1_at(thresholds):
        moved = logits.copy()
        moved[:, 3:] = move(moved[:, 3:], thresholds)
        return kind.own_metrics["f1"](kind.answers(moved), golds)

    every = [f1_at([1 / (1 + np.exp(-cut))]) for cut in np.linspace(-8, 8, 400)]
    assert f1_at(tuned) == pytest.approx(max(every))
    assert f1_at(tuned) > f1_at([0.5])
    always = np.array([Gold(context, ("bb",))] * 3, dtype=object)
    assert kind.tuned(logits[:3], always) == {}


def test_a_threshold_between_questions_of_one_score():
    """Those are answered together, or not at all."""
    kind, golds = KINDS["question_answering"], np.empty(3, dtype=object)
    golds[:] = [Gold("bb", ("bb",)), Gold("bb", ()), Gold("bb", ())]
    logits = np.tile(np.array([0.0, 2.0, 1.0, 1.0]), (3, 1))
    moved = logits.copy()
    moved[:, 3:] = move(moved[:, 3:], kind.tuned(logits, golds)["codir_thresholds"])
    assert kind.own_metrics["f1"](kind.answers(moved), golds) == pytest.approx(2 / 3)


def test_answers_side_by_side_that_share_a_character():
    """The end of an answer is the character behind it."""
    first, second = np.array([[0.0, 5.0, 1.0, -9.0]]), np.array([[5.0, 8.0, 1.0, -9.0]])
    kind = KINDS["question_answering"]
    assert kind.distances(first, second) == [1.0]
    assert kind.distances(first, first) == [0.0]
    assert kind.distances(first, np.array([[0.0, 10.0, 1.0, -9.0]])) == pytest.approx([1 / 3])
    silent = np.array([[0.0, 5.0, -9.0, 1.0]])
    assert kind.distances(silent, silent) == [0.0]
    assert kind.distances(first, silent) == [1.0]
