"""Spans and their metrics against seqeval, whose rules are those of conlleval."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics import accuracy_score, classification_report, f1_score, precision_score, recall_score
from seqeval.metrics.sequence_labeling import get_entities

from codir.measure.bootstrap import resample_metrics
from codir.measure.by_class import score_classes
from codir.report.judgement import class_rows
from codir.tasks import IGNORED_CLASS, NO_LOGIT, Span, Task, are_span_tags, kind_of, spans_of

NAMES = ("O", *(f"{letter}-{kind}" for kind in ("PER", "LOC") for letter in "BIES"))
TAGS = st.sampled_from(NAMES)


@given(st.lists(TAGS, max_size=9))
def test_spans_that_are_not_those_of_seqeval(tags):
    assert [(span.type, span.start, span.end - 1) for span in spans_of(tags)] == get_entities(tags)


@pytest.mark.parametrize(
    ("scheme", "tags"),
    [
        ("IOB1", ["I-PER", "I-PER", "O", "I-LOC", "B-LOC", "O"]),
        ("IOB2", ["B-PER", "I-PER", "O", "B-LOC", "B-LOC", "O"]),
        ("BIOES", ["B-PER", "E-PER", "O", "S-LOC", "S-LOC", "O"]),
        ("BILOU", ["B-PER", "L-PER", "O", "U-LOC", "U-LOC", "O"]),
        ("BMEWO", ["B-PER", "E-PER", "O", "W-LOC", "W-LOC", "O"]),
    ],
)
def test_a_scheme_that_is_read_otherwise_than_the_others(scheme, tags):
    assert are_span_tags(tags), scheme
    assert spans_of(tags) == [Span(0, 2, "PER"), Span(3, 4, "LOC"), Span(4, 5, "LOC")]


def test_parts_of_speech_taken_for_entities():
    assert not are_span_tags(["NOUN", "B-PER"])
    assert not are_span_tags(["O", "O"])
    assert spans_of(["NOUN", "VERB"]) == []
    assert spans_of([]) == []


def answered(seed: int = 0, rows: int = 60):
    """Labels and answers of rows of unequal length, as tags and as a kind takes them."""
    rng = np.random.default_rng(seed)
    kind = kind_of(Task("token_classification", NAMES, len(NAMES), ()))
    lengths = rng.integers(1, 9, rows)
    column = [rng.integers(0, len(NAMES), length).tolist() for length in lengths]
    labels = kind.stack(column)
    logits = rng.normal(size=(*labels.shape, len(NAMES))).astype(np.float32)
    near = rng.random(labels.shape) < 0.6
    logits[near] += 9 * np.eye(len(NAMES), dtype=np.float32)[labels[near].clip(0)]
    logits[labels == IGNORED_CLASS] = NO_LOGIT
    answers = kind.answers(logits)
    true = [[NAMES[index] for index in row] for row in column]
    said = [[NAMES[index] for index in row[:length]] for row, length in zip(answers, lengths, strict=True)]
    return kind, answers, labels, true, said


def test_metrics_that_are_not_those_of_seqeval():
    kind, answers, labels, true, said = answered()
    scores = {
        "entity_f1": f1_score,
        "entity_precision": precision_score,
        "entity_recall": recall_score,
        "token_accuracy": accuracy_score,
    }
    assert kind.metrics == tuple(scores)
    for name, score in scores.items():
        assert kind.own_metrics[name](answers, labels) == pytest.approx(score(true, said)), name


def test_entities_of_a_type_that_are_counted_otherwise_than_by_seqeval():
    kind, answers, labels, true, said = answered()
    found = score_classes(*kind.by_class(answers, labels, dict(enumerate(NAMES))))
    expected = classification_report(true, said, output_dict=True)
    for one in found.classes:
        if one.name in expected:
            wanted = expected[one.name]
            numbers = (one.precision, one.recall, one.f1, one.rows)
            assert numbers == pytest.approx(
                (wanted["precision"], wanted["recall"], wanted["f1-score"], wanted["support"])
            )
    assert {one.name for one in found.classes} == {"PER", "LOC", "no entity"}
    assert [row["class"] for row in class_rows({"student": found}, "student")] == ["LOC", "PER"]


def test_resamples_of_entities_that_are_scored_otherwise_than_their_rows():
    kind, answers, labels, true, said = answered(rows=30)
    found = resample_metrics({"model": answers}, labels, ["entity_f1"], kind, resamples=5, seed=3)["model"]["entity_f1"]
    for value, rows in zip(found, np.random.default_rng(3).integers(0, 30, (5, 30)), strict=True):
        assert value == pytest.approx(f1_score([true[row] for row in rows], [said[row] for row in rows]))


def test_a_word_that_nobody_read_counted_as_right_or_left_out():
    kind = kind_of(Task("token_classification", ("O", "B-X"), 2, ()))
    labels = kind.stack([[1, 0]])
    logits = np.full((1, 2, 2), NO_LOGIT, np.float32)
    answers = kind.answers(logits)
    assert (answers == IGNORED_CLASS).all()
    assert kind.own_metrics["token_accuracy"](answers, labels) == 0.0
    assert kind.own_metrics["entity_recall"](answers, labels) == 0.0
    loss = kind.hard_loss(torch.from_numpy(logits), torch.from_numpy(labels))
    assert loss.item() == 0.0


def test_words_that_only_one_model_read_taught_as_if_both_had():
    kind = kind_of(Task("token_classification", None, 3, ()))
    student, teacher = torch.randn(2, 4, 3, requires_grad=True), torch.randn(2, 4, 3)
    teacher[0, 1] = NO_LOGIT
    seen = torch.where(torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]).bool().unsqueeze(-1), student, NO_LOGIT)
    for loss in (kind.soft_loss(seen, teacher, temperature=2.0), kind.match_loss(seen, teacher)):
        gradient = torch.autograd.grad(loss, student, retain_graph=True)[0]
        assert torch.isfinite(gradient).all()
        reached = gradient.abs().sum(dim=-1) > 0
        assert reached.tolist() == [[True, False, True, True], [True, True, False, False]]
    both = [(0, 0), (0, 2), (0, 3), (1, 0), (1, 1)]
    words = [torch.stack([side[place] for place in both]).unsqueeze(0) for side in (student, teacher)]
    assert kind.soft_loss(seen, teacher, temperature=2.0).item() == pytest.approx(
        kind.soft_loss(*words, temperature=2.0).item()
    )
    assert kind.match_loss(seen, teacher).item() == pytest.approx(torch.nn.functional.mse_loss(*words).item())


def test_words_without_a_tag_that_move_the_others_or_are_those_of_longer_rows():
    kind = kind_of(Task("token_classification", NAMES, len(NAMES), ()))
    answers = np.array([[0, IGNORED_CLASS, 1, IGNORED_CLASS], [IGNORED_CLASS] * 4])
    assert kind.written(answers, NAMES) == ["O - B-PER", ""]
    assert kind.shown(answers[0], {"words": ["a", "b", "c"]}, dict(enumerate(NAMES))) == "O - B-PER"
    assert kind.shown(answers[0], {"words": ["a", "b", "c", "d"]}, dict(enumerate(NAMES))) == "O - B-PER -"
