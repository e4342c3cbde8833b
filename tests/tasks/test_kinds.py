"""What must hold of every kind of task, and that a new one is one file and one line."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification

import codir
from codir import tasks
from codir.data import build_negative_sampler, fit_labels, prepare
from codir.measure import METRIC_NAMES, agreement, compute_metrics
from codir.models import load_model, shape_of
from codir.runs.build import head_for
from codir.tasks import KINDS, Kind, Task
from codir.tasks.classification import Classification
from conftest import make_texts
from families import tiny_classifier

SOURCE = Path(codir.__file__).parent
OUTPUTS = {True: 3, False: 1}


class Rating(Classification):
    """A toy: classes in an order, where a near miss costs less."""

    name = "rating"
    metrics = ("distance", "accuracy")
    known_metrics = ("accuracy",)
    correlations = frozenset()
    errors = frozenset({"distance"})
    own_metrics: ClassVar = {"distance": lambda answered, labels: float(np.abs(answered - labels).mean())}

    def radius(self, places, asked):
        """Neighbouring ratings are alike."""
        return 1.0

    def hard_loss(self, logits, labels):
        """Cross-entropy, and how far the mean answer is from the label."""
        is_labelled = labels != self.no_label
        mean = logits.softmax(dim=1) @ torch.arange(logits.shape[1], dtype=logits.dtype)
        misses = torch.where(is_labelled, mean - labels, 0.0).square().sum() / is_labelled.sum().clamp(min=1)
        return super().hard_loss(logits, labels) + misses


@pytest.fixture
def rating(monkeypatch) -> Kind:
    """The toy, registered as its one line in `codir.tasks` would."""
    kind = Rating()
    monkeypatch.setitem(KINDS, kind.name, kind)
    return kind


def labels_of(kind: Kind, rows: int = 12) -> np.ndarray:
    rng = np.random.default_rng(0)
    if kind.has_classes:
        return rng.integers(0, OUTPUTS[True], rows)
    return rng.uniform(0, 5, rows)


def logits_of(kind: Kind, rows: int = 12, *, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, OUTPUTS[kind.has_classes], generator=torch.Generator().manual_seed(seed))


def right(kind: Kind, labels: np.ndarray) -> torch.Tensor:
    """Logits of a model that answers every row rightly."""
    if kind.has_classes:
        return 50.0 * torch.nn.functional.one_hot(torch.from_numpy(labels), OUTPUTS[True]).float()
    return torch.from_numpy(labels).float().unsqueeze(1)


@pytest.fixture(params=[*KINDS, "rating"])
def kind(request, rating) -> Kind:
    """Every kind, and the toy."""
    return KINDS[request.param]


def test_a_kind_that_no_law_runs_over():
    assert list(KINDS) == ["classification", "regression"]


def test_a_hard_loss_that_counts_rows_without_a_label(kind):
    labels, logits = labels_of(kind), logits_of(kind)
    some = torch.from_numpy(labels).clone()
    some[::2] = kind.no_label
    of_some = kind.hard_loss(logits, some)
    assert torch.allclose(of_some, kind.hard_loss(logits[1::2], torch.from_numpy(labels[1::2])))
    none = torch.full_like(some, kind.no_label)
    nothing = kind.hard_loss(logits.requires_grad_(), none)
    nothing.backward()
    assert nothing.item() == 0.0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_a_hard_loss_that_is_not_least_at_the_right_answer(kind):
    labels = labels_of(kind)
    best = kind.hard_loss(right(kind, labels), torch.from_numpy(labels))
    assert best.item() == pytest.approx(0.0, abs=1e-5)
    assert kind.hard_loss(logits_of(kind), torch.from_numpy(labels)) > 0.1


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_a_soft_loss_between_two_that_agree(kind, temperature):
    student, teacher = logits_of(kind), logits_of(kind, seed=1)
    assert kind.soft_loss(student, student, temperature=temperature).item() == pytest.approx(0.0, abs=1e-6)
    assert kind.soft_loss(student, teacher, temperature=temperature) > 0.01


def test_answers_that_are_not_in_the_form_of_the_labels(kind):
    labels = labels_of(kind)
    assert np.allclose(kind.answers(right(kind, labels).numpy()), labels)
    found = compute_metrics(right(kind, labels).numpy(), labels, kind.metrics, kind)
    assert found == pytest.approx({name: float(name not in kind.errors) for name in kind.metrics})
    assert agreement(right(kind, labels).numpy(), right(kind, labels).numpy(), kind) == pytest.approx(1.0)


def test_probabilities_that_are_none_or_not_those_of_the_answers(kind):
    logits = logits_of(kind).numpy()
    found = kind.probabilities(logits)
    assert (found is not None) == kind.has_classes
    if found is not None:
        np.testing.assert_allclose(found, torch.from_numpy(logits).double().softmax(dim=1).numpy())
        np.testing.assert_array_equal(found.argmax(axis=1), kind.answers(logits))


def test_metrics_that_nobody_computes(kind):
    assert {*kind.known_metrics} <= {*METRIC_NAMES}
    assert {*kind.metrics} <= {*kind.known_metrics, *kind.own_metrics}
    assert kind.correlations | kind.errors <= {*kind.known_metrics, *kind.own_metrics}
    assert kind.agreement[0] in (*kind.known_metrics, *kind.own_metrics)


def test_rows_that_are_alike_one_way_only(kind):
    labels = labels_of(kind, 30)
    places = kind.places(labels)
    radius = kind.radius(places, None)
    apart = np.abs(places[:, None] - places[None]) > radius
    assert (apart == apart.T).all()
    assert not apart.diagonal().any()
    assert apart.any()
    unlabelled = np.full(3, kind.no_label, labels.dtype)
    assert np.isnan(kind.places(unlabelled)).all()
    assert np.isfinite(kind.radius(kind.places(unlabelled), None))


def test_labels_that_a_model_cannot_learn(kind, tokenizer):
    labels, outputs = labels_of(kind), OUTPUTS[kind.has_classes]
    dtype = kind.fitted(labels, outputs)
    assert dtype is not None
    assert kind.fitted(np.array(["a"]), outputs) is None
    encoded = prepare(make_texts(12).remove_columns("label").add_column("labels", labels), tokenizer, max_length=8)
    assert fit_labels(encoded, outputs, kind).features["labels"].dtype == dtype


def test_a_head_that_does_not_say_its_kind(kind, tmp_path, tokenizer):
    task = Task(kind.name, None, OUTPUTS[kind.has_classes], kind.metrics)
    tiny_classifier("bert", num_labels=2).save_pretrained(tmp_path / "start")
    load_model(tmp_path / "start", tokenizer, head=head_for(task)).save_pretrained(tmp_path / "task")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "task")
    assert shape_of(model).kind is kind
    assert model.config.problem_type == kind.problem_type
    assert kind.outputs_in_words(task.num_labels)
    assert kind.labels_in_words(task.num_labels)


def test_a_word_that_is_no_kind():
    with pytest.raises(codir.UserError, match="did you mean 'regression'"):
        tasks.kind_named("regresion")


def test_rows_that_a_kind_calls_alike_drawn_as_negatives(rating):
    labels = np.repeat(np.arange(4), 10)
    settings = {"num_examples": 40, "count": 5, "batch_size": 4, "seed": 0}
    drawn = build_negative_sampler(labels, kind=rating, **settings).sample(np.arange(0, 40, 10))
    for label, group in enumerate(drawn.group):
        assert (np.abs(labels[drawn.index[group]] - label) > 1).all()
    of_classes = build_negative_sampler(labels, **settings).sample(np.arange(0, 40, 10))
    near = [np.abs(labels[of_classes.index[group]] - label) == 1 for label, group in enumerate(of_classes.group)]
    assert np.any(near)


# ---- Nobody else asks ----

ASKS = {
    "the number of outputs": re.compile(r"(num_labels|outputs|classes|shape\[1\]|shape\[-1\]) [!=]= 1\b"),
    "a float dtype": re.compile(r"np\.floating|is_floating_point|dtype\.kind"),
    "a kind by name": re.compile(r"is_regression|== \"(regression|classification)\""),
}
ELSEWHERE = {
    "data/encode.py": "which row to show in a message, once the kind has refused the labels",
}


def test_a_file_that_asks_for_itself_whether_something_is_a_score():
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        name = str(path.relative_to(SOURCE))
        if name.startswith("tasks/") or name in ELSEWHERE:
            continue
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):  # without docstrings
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module) and ast.get_docstring(node):
                node.body = node.body[1:] or [ast.Pass()]
        code = ast.unparse(tree).replace("'", '"')
        found += [f"{name}: {what}" for what, asked in ASKS.items() if asked.search(code)]
    assert found == []


# ---- A new kind, trained ----


@pytest.mark.training
def test_a_new_kind_that_needs_more_than_its_own_file(tmp_path, tokenizer, rating):
    rows = make_texts(96, kind="scores")
    rows = rows.map(lambda row: {"label": int(row["label"] // 1.7)}, features=None)
    rows.to_csv(tmp_path / "rows.csv", index=False)
    tiny_classifier("bert", num_labels=2).save_pretrained(tmp_path / "start")
    tokenizer.save_pretrained(tmp_path / "start")
    data = {"source": str(tmp_path / "rows.csv"), "task": "rating", "max_length": 16}
    training = {"max_steps": 4, "use_cpu": True, "disable_tqdm": True, "precision": "fp32", "save_strategy": "no"}
    scores = codir.finetune(
        codir.FinetuneConfig(
            model=str(tmp_path / "start"), data=data, training=training, output_dir=tmp_path / "teacher"
        )
    )
    assert list(scores) == ["distance", "accuracy"]
    result = codir.distill(
        codir.Recipe(
            teacher={"model": str(tmp_path / "teacher"), "cache_dir": tmp_path / "cache"},
            data=data,
            student={"layers": 2},
            objectives={"preset": "codir", "contrastive": {"num_negatives": 5}},
            training=training,
            output_dir=tmp_path / "student",
        )
    )
    assert result.primary_metric == "distance"
    distances = result.teacher.metrics["distance"], result.student.metrics["distance"]
    assert tasks.retention("distance", distances[1], distances[0]) == pytest.approx(distances[0] / distances[1])
    assert (result.retention is None) == result.judgement.standings["teacher"].is_at_floor
    assert f"distance {distances[1]:.3f}" in (tmp_path / "student" / "report.md").read_text().replace("(", "distance ")
    student = AutoModelForSequenceClassification.from_pretrained(tmp_path / "student")
    assert shape_of(student).kind is rating
    for task in ("rating", "auto"):  # the student's configuration names its kind
        asked = codir.config.DataConfig(**{**data, "task": task})
        assert codir.evaluate(str(tmp_path / "student"), asked).keys() == scores.keys()
