"""What lies behind scores, against slow transcriptions in numpy, and on models that have little in common."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace

import datasets
import numpy as np
import pytest
import torch
from transformers import BertTokenizer

from codir.bilstm.config import BiLSTMConfig
from codir.bilstm.model import BiLSTMForSequenceClassification
from codir.data import encode
from codir.measure import TorchRunner, predict_logits
from codir.measure.analysis import (
    analyse,
    class_alignment,
    compare_heads,
    compare_layers,
    describe_vectors,
    find_disagreements,
    linear_cka,
    pooled_layers,
    probe_layers,
    project,
)
from codir.measure.analysis.analyse import HEAD_ROWS, READ_ROWS
from codir.measure.ridge import STRENGTHS
from codir.tasks import Task, kind_of
from conftest import SPECIAL, WORDS, make_texts
from families import FAMILIES, tiny_classifier

TWO = Task("classification", ("negative", "positive"), 2, ("accuracy", "macro_f1"))
SCORE = Task("regression", None, 1, ("pearson",))


def randn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


# ---- Centred kernel alignment ----


def slow_cka(x, y) -> float:
    """Kornblith et al. 2019, equation 3 with linear kernels: HSIC over the root of the product of each one's own."""
    n = len(x)
    centre = np.eye(n) - np.ones((n, n)) / n
    one, other = (np.array([[float(a @ b) for b in of] for a in of]) for of in (x.astype(float), y.astype(float)))

    def hsic(left, right) -> float:
        return np.trace(left @ centre @ right @ centre) / (n - 1) ** 2

    return hsic(one, other) / math.sqrt(hsic(one, one) * hsic(other, other))


@pytest.mark.parametrize(("dim", "other"), [(3, 5), (40, 7)])
def test_an_alignment_of_layers_that_differs_from_its_formula(dim, other):
    x, y = randn(12, dim) + 3, randn(12, other, seed=1)
    y[:, :3] += x[:, :3]
    assert linear_cka(x, y) == pytest.approx(slow_cka(x, y), rel=1e-6)
    turned = np.linalg.qr(randn(dim, dim, seed=2))[0]
    assert linear_cka(x, 5 * x @ turned - 1) == pytest.approx(1.0, abs=1e-5)


def test_layers_in_each_others_places():
    teacher, student = randn(4, 20, 6), randn(3, 20, 5, seed=1)
    student[2] = teacher[1][:, :5]
    found, by_chance = compare_layers(teacher, student)
    assert found.shape == (4, 3)
    assert found == pytest.approx(np.array([[slow_cka(t, s) for s in student] for t in teacher]), rel=1e-6)
    assert found[:, 2].argmax() == 1
    order = np.random.default_rng(0).permutation(20)
    assert by_chance == pytest.approx(np.mean([[slow_cka(t, s[order]) for s in student] for t in teacher]), rel=1e-6)


def test_vectors_that_never_differ_are_like_others():
    assert linear_cka(np.ones((5, 3)), randn(5, 3)) == 0.0


# ---- Layers read ----


def runner(model, tokenizer) -> TorchRunner:
    return TorchRunner(model, tokenizer)


@pytest.mark.parametrize("family", [*FAMILIES, "recurrent"])
def test_a_layer_read_with_its_padding_or_in_another_order(family, tokenizer):
    if family == "recurrent":
        model = BiLSTMForSequenceClassification(
            BiLSTMConfig(vocab_size=100, hidden_size=32, num_hidden_layers=4)
        ).eval()
    else:
        model = tiny_classifier(family)
    model.config.pad_token_id = tokenizer.pad_token_id
    rows = make_texts(5)
    found = pooled_layers(runner(model, tokenizer), rows, max_length=16)
    assert found.shape == (5, 5, 32)
    for row, text in enumerate(rows["text"]):
        with torch.no_grad():
            alone = model(**tokenizer(text, return_tensors="pt"), output_hidden_states=True).hidden_states
        expected = np.array([np.mean([token.numpy() for token in layer[0]], axis=0) for layer in alone])
        assert found[:, row] == pytest.approx(expected, abs=2e-5)


def test_a_model_that_runs_in_bf16_is_not_read(teacher, student, tokenizer):
    rows, models = make_texts(12), (teacher, student)
    half, full = (
        [TorchRunner(model, tokenizer, dtype) for model in models] for dtype in (torch.bfloat16, torch.float32)
    )
    for one, other in zip(half, full, strict=True):
        found, expected = (pooled_layers(of, rows, max_length=16) for of in (one, other))
        assert found == pytest.approx(expected, abs=0.05)
    heads = [np.ravel(compare_heads(*of, rows, max_length=16).kept) for of in (half, full)]
    assert heads[0] == pytest.approx(heads[1], abs=0.02)


# ---- Probes ----


def slow_ridge(x, y, new, strength):
    """Ridge with a free intercept: the normal equations of centred data."""
    centre, mean = x.mean(axis=0), y.mean(axis=0)
    weights = np.linalg.solve(
        (x - centre).T @ (x - centre) + strength * np.eye(x.shape[1]), (x - centre).T @ (y - mean)
    )
    return (new - centre) @ weights + mean


def slow_probe(x, labels, new, *, classes: int):
    """Leaves out one text after the other for each strength, and takes the strength with the least squared error."""
    mean, spread = x.mean(axis=0), x.std(axis=0)
    x, new = (x - mean) / spread, (new - mean) / spread
    y = np.where(np.arange(classes) == labels[:, None], 1.0, -1.0) if classes else labels[:, None]
    y = y[:, 1:] if classes == 2 else y

    def error(strength) -> float:
        others = [np.arange(len(x)) != row for row in range(len(x))]
        guesses = [slow_ridge(x[kept], y[kept], x[~kept], strength)[0] for kept in others]
        return float(np.mean((np.array(guesses) - y) ** 2))

    answers = slow_ridge(x, y, new, min(STRENGTHS, key=error))
    if classes == 2:
        return (answers[:, 0] > 0).astype(int)
    return answers.argmax(axis=1) if classes else answers[:, 0]


@pytest.mark.parametrize("classes", [2, 3, 0])
def test_a_probe_that_reads_another_head_than_its_formula(classes):
    known, new = randn(2, 30, 6).astype(np.float64), randn(2, 25, 6, seed=1).astype(np.float64)
    drawn = [layers[1] @ np.arange(1, 7) + 2 * randn(len(layers[1]), seed=9) for layers in (known, new)]
    cuts = np.quantile(drawn[0], np.arange(1, classes) / classes) if classes else []
    labels, of_new = (np.digitize(one, cuts) if classes else one for one in drawn)
    task = Task("classification", None, classes, ("accuracy",)) if classes else SCORE
    kind, metric = kind_of(task), task.metrics[0]
    found = probe_layers(known, labels, new, of_new, kind=kind, metric=metric)
    answers = [slow_probe(known[layer], labels, new[layer], classes=classes) for layer in range(2)]
    if classes:
        expected = [np.mean(answer == of_new) for answer in answers]
    else:
        expected = [np.corrcoef(answer, of_new)[0, 1] for answer in answers]
    assert found == pytest.approx(expected, abs=1e-6)
    assert found[1] > found[0]


# ---- Vectors ----


def test_texts_of_other_classes_taken_for_views():
    vectors, classes = randn(9, 4), np.array([0, 1, 2, 0, 1, 0, 1, 0, 1])
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    order = [int(row) for row in np.random.default_rng(0).permutation(9)]
    total, pairs = 0.0, 0
    for one in (0, 1):  # the third class has a single text
        of_class = [row for row in order if classes[row] == one]
        for place, row in enumerate(of_class):
            total, pairs = total + float(((unit[row] - unit[of_class[place - 1]]) ** 2).sum()), pairs + 1
    found = describe_vectors(vectors, classes)
    assert pairs == 8
    assert found.alignment == pytest.approx(total / pairs, rel=1e-5)
    distances = [((unit[a] - unit[b]) ** 2).sum() for a in range(9) for b in range(a)]
    assert found.uniformity == pytest.approx(math.log(np.mean(np.exp(-2 * np.array(distances)))), rel=1e-5)
    assert describe_vectors(vectors, None).alignment is None
    assert class_alignment(unit, np.arange(9)) is None


def test_a_projection_along_other_directions():
    vectors = randn(20, 5) * np.array([1, 9, 1, 4, 1], dtype=np.float32)
    found = project(vectors)
    _, sizes, directions = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    expected = (vectors - vectors.mean(axis=0)) @ directions[:2].T
    for axis in range(2):
        points = np.array(found.points)[:, axis]
        assert np.abs(points) == pytest.approx(np.abs(expected[:, axis]), abs=2e-3)
        assert abs(np.corrcoef(points, expected[:, axis])[0, 1]) == pytest.approx(1.0)
    assert found.explained == pytest.approx(tuple((sizes**2 / (sizes**2).sum())[:2]), rel=1e-4)


def test_vectors_that_never_differ_have_no_picture():
    assert project(np.ones((4, 3), dtype=np.float32)).points == ((0.0, 0.0),) * 4


# ---- Heads ----


def attentions_of(model, tokenizer, text) -> list[np.ndarray]:
    """The maps that the model itself writes out, `[heads, tokens, tokens]` by layer."""
    model.set_attn_implementation("eager")
    with torch.no_grad():
        found = model(**tokenizer(text, return_tensors="pt"), output_attentions=True).attentions
    return [layer[0].numpy() for layer in found]


@pytest.mark.parametrize("family", ["bert", "distilbert", "llama", "gpt2"])
def test_a_head_compared_with_other_maps_than_its_model_attends_with(family, tokenizer):
    models = [tiny_classifier(family, layers=layers, seed=layers) for layers in (3, 2)]
    for model in models:
        model.config.pad_token_id = tokenizer.pad_token_id
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if parameter.ndim == 2 and "embed" not in name:
                    parameter.mul_(10)
    rows = make_texts(4)
    found = compare_heads(*(runner(model, tokenizer) for model in models), rows, max_length=16)
    maps = [[attentions_of(model, tokenizer, text) for text in rows["text"]] for model in models]
    flat = [
        [
            np.concatenate([text[layer][head].ravel() for text in of_model])
            for layer in range(layers)
            for head in range(4)
        ]
        for of_model, layers in zip(maps, (3, 2), strict=True)
    ]
    cosines = np.array([[t @ s / math.sqrt((t @ t) * (s @ s)) for s in flat[1]] for t in flat[0]])
    assert np.ravel(found.kept) == pytest.approx(cosines.max(axis=1), abs=1e-4)
    assert found.typical == pytest.approx(cosines.mean(), abs=1e-4)
    for layer in range(2):
        for head in range(4):
            one, column = found.closest[layer][head], cosines[:, 4 * layer + head]
            assert one.cosine == pytest.approx(column.max(), abs=1e-4)
            assert column[4 * (one.layer - 1) + one.head - 1] == pytest.approx(column.max(), abs=1e-4)


# ---- Rows ----


def test_rows_on_which_two_models_agree_are_shown():
    logits, others = randn(30, 3), randn(30, 3, seed=1)
    rows = datasets.Dataset.from_dict({
        "text": [f"row {row} " + "x" * 500 for row in range(30)],
        "text_pair": [f"pair {row}" for row in range(30)],
        "label": [row % 3 for row in range(30)],
    })  # fmt: skip
    task = Task("classification", ("a", "b", "c"), 3, ("accuracy",))
    found = find_disagreements(logits, others, rows, task, most=4)

    def probabilities(row) -> list[float]:
        powers = [math.exp(float(logit)) for logit in row]
        return [power / sum(powers) for power in powers]

    distances = [
        sum(abs(p - q) for p, q in zip(probabilities(one), probabilities(other), strict=True)) / 2
        for one, other in zip(logits, others, strict=True)
    ]
    farthest = sorted(range(30), key=lambda row: -distances[row])[:4]
    assert [one.row for one in found] == farthest
    assert [one.distance for one in found] == pytest.approx([distances[row] for row in farthest], rel=1e-5)
    first = found[0]
    assert first.text.startswith(f"row {first.row} xxx")
    assert first.text.endswith(f" | pair {first.row}")
    assert len(first.text) < 320
    assert first.label == f"'{'abc'[first.row % 3]}'"
    assert first.teacher == f"'{'abc'[int(logits[first.row].argmax())]}'"
    assert first.student == f"'{'abc'[int(others[first.row].argmax())]}'"
    assert find_disagreements(logits, logits, rows, task) == ()


def test_scores_that_are_far_apart_are_not_shown():
    rows = datasets.Dataset.from_dict({"text": ["a", "b", "c"], "label": [1.0, 2.0, 3.0]})
    first, second = (np.array(scores, dtype=np.float32)[:, None] for scores in ([1, 2, 3], [1, 4.5, 2]))
    found = find_disagreements(first, second, rows, SCORE)
    assert [(one.row, one.distance) for one in found] == [(1, 2.5), (2, 1.0)]
    assert "4.5" in found[0].student


# ---- All of it ----


def look(teacher, student, tokenizer, *, task=TWO, dev=None, train=None, of_student=None):
    kind = "classes" if task is TWO else "scores"
    dev, train = dev or make_texts(40, seed=1, kind=kind), train or make_texts(60, kind=kind)
    runners = {"teacher": runner(teacher, tokenizer), "student": runner(student, of_student or tokenizer)}
    logits = {name: predict_logits(one, encode(dev, one.tokenizer, max_length=16)) for name, one in runners.items()}
    return analyse(runners, logits, dev, train, task, max_length=16)


def test_a_student_that_is_its_teacher_looks_like_another(teacher, tokenizer):
    found = look(teacher, teacher, tokenizer)
    assert found.left_out == ()
    layers = found.layers
    assert np.diag(layers.cka) == pytest.approx(np.ones(5), abs=1e-6)
    assert layers.cka_by_chance < 0.5
    assert np.ravel(found.heads.kept) == pytest.approx(np.ones(16), abs=1e-5)
    assert [[(one.layer, one.head) for one in of_layer] for of_layer in found.heads.closest] == [
        [(layer, head) for head in range(1, 5)] for layer in range(1, 5)
    ]
    assert layers.probes["teacher"] == layers.probes["student"]
    assert (found.differing, found.disagreements, found.heads.rows) == (0.0, (), HEAD_ROWS)
    assert (layers.rows, layers.training_rows, len(layers.groups)) == (40, 60, 40)
    assert {*layers.groups} == {"negative", "positive"}


def test_more_rows_read_than_take_seconds(teacher, student, tokenizer):
    dev, train = make_texts(READ_ROWS + 9, seed=1), make_texts(READ_ROWS + 1)
    found = look(teacher, student, tokenizer, dev=dev, train=train)
    assert (found.layers.rows, found.layers.training_rows) == (READ_ROWS, READ_ROWS)
    assert len(found.layers.projections["student"].points) == READ_ROWS
    assert json.loads(json.dumps(asdict(found), allow_nan=False))
    assert found == look(teacher, student, tokenizer, dev=dev, train=train)


def test_rows_without_a_label_are_learnt_from(teacher, student, tokenizer):
    train = make_texts(30)
    unlabelled = make_texts(30, seed=5).remove_columns("label").add_column("label", [-100] * 30)
    both = datasets.concatenate_datasets([train, unlabelled.cast(train.features)])
    found, without = (look(teacher, student, tokenizer, train=one) for one in (both, train))
    assert found.layers.training_rows == 30
    assert found.layers.probes == without.layers.probes


def test_scores_are_taken_for_classes(tokenizer):
    teacher, student = (tiny_classifier("bert", num_labels=1, layers=layers) for layers in (4, 2))
    found = look(teacher, student, tokenizer, task=SCORE, train=make_texts(400, kind="scores"))
    assert found.differing is None
    assert found.layers.spread["student"].alignment is None
    assert {*found.layers.groups} == {"lowest third", "middle third", "highest third"}
    assert len(found.disagreements) == 10
    assert min(found.layers.probes["student"] + found.layers.probes["teacher"]) > 0.3


def test_models_of_which_little_can_be_compared(teacher, tokenizer):
    model = tiny_classifier("deberta-v2", num_labels=2, layers=2)
    found = look(teacher, model, tokenizer)
    assert found.heads is None
    (why,) = found.left_out
    assert why.startswith("Attention by head is left out: that of BertForSequenceClassification or DebertaV2")
    other = BertTokenizer(vocab={word: i for i, word in enumerate(SPECIAL + WORDS[::-1])})
    found = look(teacher, tiny_classifier("bert", num_labels=2, layers=2), tokenizer, of_student=other)
    assert found.left_out == ("Attention by head is left out: teacher and student read different tokens.",)
    recurrent = BiLSTMForSequenceClassification(
        BiLSTMConfig(vocab_size=100, hidden_size=16, num_hidden_layers=1)
    ).eval()
    found = look(teacher, recurrent, tokenizer)
    assert found.heads is None
    assert np.shape(found.layers.cka) == (5, 2)


def test_data_of_which_little_can_be_read(teacher, student, tokenizer):
    few = look(teacher, student, tokenizer, dev=make_texts(3))
    assert few.layers is None
    assert few.heads is not None
    assert "fewer than 8 evaluation rows" in few.left_out[0]
    one_class = make_texts(60).filter(lambda row: row["label"] == 1)
    found = look(teacher, student, tokenizer, train=one_class)
    assert found.layers.probes == {}
    assert found.layers.training_rows == 0
    assert "of one class" in found.left_out[0]
    assert "fewer than 8 rows" in look(teacher, student, tokenizer, train=make_texts(5)).left_out[0]


def test_a_model_without_hidden_states_ends_the_run(teacher, student, tokenizer):
    class Silent(torch.nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, output_hidden_states=False, **inputs):
            return self.model(**inputs)

    dev, task = make_texts(20), TWO
    runners = {
        "teacher": runner(teacher, tokenizer),
        "student": replace(runner(student, tokenizer), model=Silent(student)),
    }
    logits = {name: randn(20, 2) for name in runners}
    other = BertTokenizer(vocab={word: i for i, word in enumerate(SPECIAL + WORDS[::-1])})
    runners["student"] = replace(runners["student"], reads_with=other)
    found = analyse(runners, logits, dev, make_texts(20), task, max_length=16)
    assert found.layers is None
    assert found.left_out[0] == "Layers are left out: Silent gives no hidden states."
