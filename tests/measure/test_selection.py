"""Which layers a student keeps: candidates run by themselves, and a head judges rows that it has not seen."""

from __future__ import annotations

import copy
import logging
from dataclasses import replace

import datasets
import numpy as np
import pytest
import torch
from torch import Tensor

import codir
from codir.config import StudentConfig
from codir.data import load_data
from codir.errors import UserError
from codir.measure import rank_layers
from codir.models import Reader
from codir.runs.build import make_student
from codir.student import build_student, find_layer_stack, select_layers, student_origin
from conftest import WORDS, make_texts
from families import tiny_classifier, tiny_language_model
from kind_worlds import vectors_model
from measure.test_judgement import distance  # noqa: F401 - a fixture


def make_easy_texts(rows: int) -> datasets.Dataset:
    """Sentences of four words; those of either class have words of their own."""
    rng = np.random.default_rng(0)
    texts = [" ".join(WORDS[row % 2 * 10 + word] for word in rng.integers(0, 10, size=4)) for row in range(rows)]
    return datasets.Dataset.from_dict({"text": texts, "label": [row % 2 for row in range(rows)]})


def make_teacher(*, num_labels: int = 2, broken: int | None = None):
    """A random BERT of four layers; the broken one, where there is one, says the same of every token."""
    teacher = tiny_classifier("bert", num_labels=num_labels, seed=3)
    if broken is not None:
        with torch.no_grad():
            find_layer_stack(teacher)[1][broken - 1].output.LayerNorm.weight.zero_()
    return teacher


@pytest.mark.parametrize("broken", [1, 2, 4])
def test_a_layer_that_says_nothing_is_kept(tokenizer, broken):
    rows = make_easy_texts(96)
    ranking = rank_layers(make_teacher(broken=broken), tokenizer, rows, 2, max_length=16)
    assert ranking.metric == "accuracy"
    assert (ranking.rows, ranking.ways, len(ranking.candidates)) == (96, 6, 6)
    without, with_it = (
        [one.score for one in ranking.candidates if (broken in one.layers) == is_in] for is_in in (False, True)
    )
    assert broken not in ranking.best.layers
    assert min(without) > max(with_it) + 0.1
    scores = [one.score for one in ranking.candidates]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("rows", [0, 1, 15])
def test_too_few_rows_that_are_asked_for(tokenizer, rows):
    with pytest.raises(UserError, match=f"rows: expected at least 16.*got {rows}"):
        rank_layers(make_teacher(), tokenizer, make_easy_texts(96), 2, max_length=16, rows=rows)


def pooled_by_hand(model, tokenizer, text: str) -> np.ndarray:
    with torch.no_grad():
        states: Tensor = model.eval()(
            **tokenizer(text, return_tensors="pt", truncation=True, max_length=16), output_hidden_states=True
        ).hidden_states[-1]
    return states[0].mean(dim=0).double().numpy()


def ridge_by_hand(train: np.ndarray, target: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The textbook's ridge of strength 1 on standardised columns, with an intercept."""
    mean, spread = train.mean(axis=0), train.std(axis=0)
    x, centre = (train - mean) / spread, target.mean(axis=0)
    weights = np.linalg.solve(x.T @ x + np.eye(x.shape[1]), x.T @ (target - centre))
    return (other - mean) / spread @ weights + centre


@pytest.mark.parametrize("kind", ["scores", "none"])
def test_a_score_that_is_not_the_candidates_own(tokenizer, monkeypatch, kind):
    """By hand: the student that `build_student` makes reads each text, and a ridge head is fitted fold by fold."""
    monkeypatch.setattr("codir.measure.ridge.STRENGTHS", (1.0, 1.0))
    rows, teacher = make_texts(60, kind=kind), make_teacher(num_labels=1)
    ranking = rank_layers(teacher, tokenizer, rows, 3, max_length=16)
    student = build_student(teacher, layers=ranking.best.layers)
    vectors = np.stack([pooled_by_hand(student, tokenizer, text) for text in rows["text"]])
    if kind == "scores":
        target = np.array(rows["label"], dtype=float)[:, None]
    else:
        target = np.stack([pooled_by_hand(teacher, tokenizer, text) for text in rows["text"]])
    fold, said = np.random.default_rng(0).permutation(60) % 4, np.empty_like(target)
    for number in range(4):
        said[fold == number] = ridge_by_hand(vectors[fold != number], target[fold != number], vectors[fold == number])
    if kind == "scores":
        expected = np.corrcoef(said[:, 0], target[:, 0])[0, 1]
        assert ranking.metric == "pearson"
    else:
        expected = 1 - ((target - said) ** 2).sum() / ((target - target.mean(axis=0)) ** 2).sum()
        assert ranking.metric == "agreement"
    assert ranking.best.score == pytest.approx(expected, abs=1e-4)


def test_all_layers_that_do_not_agree_with_themselves(tokenizer):
    """Without labels, a student with all layers is the teacher, which a head reads out of itself."""
    rows = make_texts(96, kind="none")
    whole = rank_layers(make_teacher(), tokenizer, rows, 4, max_length=16).best
    assert whole.layers == (1, 2, 3, 4)
    assert whole.score > 0.99
    assert rank_layers(make_teacher(), tokenizer, rows, 1, max_length=16).best.score < whole.score


def test_a_language_model_whose_layers_cannot_be_ranked(tokenizer):
    rows = make_texts(32, kind="none")
    ranking = rank_layers(tiny_language_model("bert"), tokenizer, rows, 2, max_length=16)
    assert ranking.metric == "agreement"
    assert len(ranking.candidates) == 6


def test_few_labels_among_many_rows_that_decide(tokenizer):
    rows = make_texts(64)
    few = rows.map(lambda row, place: {"label": row["label"] if place < 10 else -100}, with_indices=True)
    assert rank_layers(make_teacher(), tokenizer, few, 3, max_length=16).metric == "agreement"
    many = rows.map(lambda row, place: {"label": row["label"] if place < 40 else -100}, with_indices=True)
    ranking = rank_layers(make_teacher(), tokenizer, many, 3, max_length=16)
    assert (ranking.metric, ranking.rows) == ("accuracy", 40)


def test_more_candidates_than_asked_or_others_in_another_run(tokenizer):
    teacher, rows = tiny_classifier("bert", num_labels=2, layers=6), make_texts(48)
    torch.manual_seed(1)
    before, weights = torch.get_rng_state(), copy.deepcopy(teacher.state_dict())
    options = {"max_length": 16, "candidates": 7, "rows": 24}
    first, again = (rank_layers(teacher, tokenizer, rows, 3, **options) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(weight, weights[name]) for name, weight in teacher.state_dict().items())
    assert first == again
    assert (len(first.candidates), first.ways, first.rows) == (7, 20, 24)
    found = {one.layers for one in first.candidates}
    assert {select_layers(6, 3, word) for word in ("every-other", "lower", "upper")} < found
    assert all(len(layers) == 3 and sorted(set(layers)) == list(layers) for layers in found)
    assert found != {one.layers for one in rank_layers(teacher, tokenizer, rows, 3, seed=5, **options).candidates}


def test_layers_ranked_by_nothing(tokenizer):
    with pytest.raises(UserError, match="at least 16 training rows"):
        rank_layers(make_teacher(), tokenizer, make_texts(10), 2, max_length=16)
    with pytest.raises(UserError, match="share one set of weights"):
        rank_layers(tiny_classifier("albert"), tokenizer, make_texts(64), 2, max_length=16)
    with pytest.raises(UserError, match=r"1 to 4, as many as the teacher has, got 5"):
        rank_layers(make_teacher(), tokenizer, make_texts(64), 5, max_length=16)
    with pytest.raises(UserError, match=r"codir\.rank_layers"):
        build_student(make_teacher(), layers=2, selection="best")


def test_a_recipe_whose_student_keeps_other_layers_than_the_best(tmp_path, tokenizer, monkeypatch, caplog):
    """Ranked once for all runs of a process, said in the log and in the notes of the run."""
    (tmp_path / "rows.csv").write_text(
        "text,label\n" + "".join(f"{row['text']},{row['label']}\n" for row in make_easy_texts(96))
    )
    data, teacher = load_data(str(tmp_path / "rows.csv")), Reader(make_teacher(broken=1), tokenizer)
    config = StudentConfig(layers=2, selection="best")
    with caplog.at_level(logging.INFO, logger="codir"):
        student = make_student(config, teacher, data, seed=0, max_length=16)
    ranking = codir.rank_layers(teacher.model, tokenizer, data.train, 2, max_length=16)
    origin = student_origin(student.model)
    assert origin.teacher_layers == ranking.best.layers
    assert 1 not in origin.teacher_layers
    for one in ranking.candidates:
        assert f"layers {', '.join(map(str, one.layers))}: accuracy {one.score:.3f}" in caplog.messages
    assert f"the best of 6 candidates by a linear head before training: accuracy {ranking.best.score:.3f}" in str(
        origin
    )
    others = replace(data, train=data.train.map(lambda row, at: {"label": at % 3 % 2}, with_indices=True))
    ranking = codir.rank_layers(teacher.model, tokenizer, others.train, 2, max_length=16)
    said = str(student_origin(make_student(config, teacher, others, seed=0, max_length=16).model))
    assert f"accuracy {ranking.best.score:.3f}" in said, "other labels of the same texts are judged anew"
    monkeypatch.setattr("codir.runs.selection.rank_layers", None)
    again = make_student(config, teacher, data, seed=1, max_length=16)
    assert student_origin(again.model) == origin


def test_whole_scores_that_a_head_may_only_answer_in_whole_numbers(tokenizer):
    """From a data set of the user's own; `load_data` makes floats of them."""
    rows = make_texts(60, kind="scores")
    whole = rows.remove_columns("label").add_column("label", [round(10 * score) for score in rows["label"]])
    floats = rows.remove_columns("label").add_column("label", [float(score) for score in whole["label"]])
    teacher = make_teacher(num_labels=1)
    found, expected = (rank_layers(teacher, tokenizer, one, 2, max_length=16) for one in (whole, floats))
    assert found == expected


def test_the_layers_with_the_largest_error_kept(tokenizer, distance):  # noqa: F811
    teacher = make_teacher(broken=1)
    teacher.config.codir_task = "distance"
    ranking = rank_layers(teacher, tokenizer, make_easy_texts(96), 2, max_length=16)
    assert ranking.metric == "distance"
    assert 1 not in ranking.best.layers
    scores = [one.score for one in ranking.candidates]
    assert scores == sorted(scores)


def test_fewer_ways_asked_for_than_the_usual_ones(tokenizer):
    """It looked for a third way to keep one layer of two, for ever."""
    teacher = tiny_classifier("bert", num_labels=2, layers=2, seed=3)
    ranking = rank_layers(teacher, tokenizer, make_easy_texts(32), 1, max_length=16, candidates=1)
    assert {one.layers for one in ranking.candidates} == {(1,), (2,)}


def test_layers_of_a_sentence_encoder_that_scores_of_pairs_decide(tokenizer):
    """Training learns nothing from the scores, and reads each text by itself."""
    texts = make_texts(24)["text"]
    pairs = {"text": texts[:12], "text_pair": texts[12:], "label": [row / 12 for row in range(12)]}
    one_by_one = [text for pair in zip(texts[:12], texts[12:], strict=True) for text in pair]
    teacher = vectors_model(3, {})
    of_pairs, of_texts = (
        rank_layers(teacher, tokenizer, datasets.Dataset.from_dict(rows), 2, max_length=16)
        for rows in (pairs, {"text": one_by_one})
    )
    assert of_pairs == of_texts
    assert of_pairs.metric == "agreement"
