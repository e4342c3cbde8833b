"""What is found out before training: labels, scores, positions, texts that are cut."""

from __future__ import annotations

import datasets
import numpy as np
import pytest

from codir.config import FinetuneConfig, ObjectivesConfig
from codir.data import Task, encode
from codir.errors import UserError
from codir.models import check_max_length, count_positions
from codir.runs.finetune import check_labelled
from codir.runs.preflight import (
    check_labels,
    check_teacher_score,
    note_budget,
    note_truncation,
)
from families import tiny_classifier

CLASSES = Task("classification", ("negative", "positive"), 2, ("accuracy",))
SCORES = Task("regression", None, 1, ("pearson", "spearman"))


def named(names: list[str]):
    model = tiny_classifier("bert", num_labels=len(names))
    model.config.id2label = dict(enumerate(names))
    return model


def test_names_in_another_order():
    with pytest.raises(UserError, match=r"label order: expected the teacher's: positive, negative"):
        check_labels(named(["positive", "negative"]), CLASSES)


def test_the_same_names_in_capitals_taken_for_others():
    assert check_labels(named(["NEGATIVE", "POSITIVE"]), CLASSES) == []
    with pytest.raises(UserError, match="label order"):
        check_labels(named(["POSITIVE", "NEGATIVE"]), CLASSES)


def test_other_names_matched_by_place_in_silence():
    assert "matched by place" in check_labels(named(["bad", "good"]), CLASSES)[0]


def test_a_teacher_without_names_refused():
    assert check_labels(tiny_classifier("bert", num_labels=2), CLASSES) == []


def test_another_number_of_classes():
    with pytest.raises(UserError, match="3 classes, as the teacher gives, got 2 classes"):
        check_labels(tiny_classifier("bert", num_labels=3), CLASSES)
    with pytest.raises(UserError, match="got one score"):
        check_labels(tiny_classifier("bert", num_labels=3), SCORES)


def test_a_teacher_that_has_learned_nothing_passed_in_silence():
    labels = np.array([0, 1] * 20)
    floor, advice = check_teacher_score(np.tile([1.0, 0.0], (40, 1)), labels, CLASSES)
    assert "no better than" in floor
    assert "more labels, for more epochs" in advice
    (said,) = check_teacher_score(np.tile([1.0, 0.0], (40, 1)), 0 * labels, CLASSES)
    assert "accuracy 100.0%" in said  # and no advice: rows of one class say nothing of it
    scores = np.arange(40.0)
    assert "no better than the mean score" in check_teacher_score(-scores[:, None], scores, SCORES)[0]


def test_swapped_classes_passed_in_silence():
    labels = np.array([0, 1] * 20)
    with pytest.raises(UserError, match=r"1\.000 with its classes renamed to \[1, 0\]"):
        check_teacher_score(np.eye(2)[1 - labels], labels, CLASSES)


def test_positions_that_roberta_spends_on_padding():
    assert count_positions(tiny_classifier("bert")) == 64
    assert count_positions(tiny_classifier("roberta")) == 63  # its padding index is 0 here, 1 in the released models
    assert count_positions(tiny_classifier("xlnet")) is None
    with pytest.raises(UserError, match="at most 63"):
        check_max_length(tiny_classifier("roberta"), 64)


def test_texts_cut_in_silence(tokenizer):
    rows = datasets.Dataset.from_dict({"text": ["w1", "w1 w2 w3 w4 w5", "w1", "w2"]})
    assert "25.0%" in note_truncation(encode(rows, tokenizer, max_length=5), 5)[0]
    assert note_truncation(encode(rows, tokenizer, max_length=9), 9) == []


@pytest.mark.parametrize(
    ("objectives", "steps", "noted"),
    [
        ("codir", 100, None),
        ("codir", 99, "99 steps are few for a contrast whose weight rises over 50"),
        ("crd", 20, "20 steps are few"),
        ("kd", 20, None),
        ({"stages": [{"preset": "kd", "epochs": 3}, {"preset": "codir"}]}, 200, "50 steps are few"),
        ({"stages": [{"preset": "kd", "epochs": 3}, {"preset": "codir"}]}, 400, None),
        ({"contrastive": {"warmup_steps": 5000}}, 1000, "whose weight rises over 5,000"),
        ({"contrastive": {"warmup_steps": 0}}, 20, None),
    ],
)
def test_a_contrast_of_a_few_steps_that_nobody_is_warned_of(objectives, steps, noted):
    notes = note_budget(ObjectivesConfig.model_validate(objectives), steps)
    assert len(notes) == (noted is not None)
    assert all(noted in note for note in notes)


def test_few_steps_with_rows_without_a_label_that_are_sent_to_fine_tuning():
    (note,) = note_budget(ObjectivesConfig.model_validate("codir"), 1, unlabelled=12_000)
    assert note.startswith("1 step is few for a contrast whose weight rises over 50; in so few, `--preset kd` does as")
    assert "the 12,000 rows without a label" in note
    assert "fine-tune" not in note
    (note,) = note_budget(ObjectivesConfig.model_validate("codir"), 1, unlabelled=12_000, has_answers=False)
    assert note == "1 step is few for a contrast whose weight rises over 50."


def test_rows_without_a_label_that_fine_tuning_spends_steps_on(tmp_path):
    data = {"source": "train.csv", "unlabelled": [tmp_path / "more.csv"]}
    with pytest.raises(UserError, match="`codir distill --unlabelled`"):
        check_labelled(FinetuneConfig(model="model", data=data, output_dir=tmp_path / "out"))
