"""What must hold of every kind of task, and that a new one is one file and one line."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar, get_args

import numpy as np
import pytest
import torch
from kind_samples import SAMPLES, Sample, classes
from transformers import AutoModelForSequenceClassification

import codir
from codir import preset, tasks
from codir.config import ObjectivesConfig, preset_names, words
from codir.data import (
    DistillationCollator,
    build_negative_sampler,
    fit_labels,
    label_feature,
    labels_of,
    prepare,
)
from codir.measure import METRIC_NAMES, agreement, compute_metrics
from codir.measure.bootstrap import resample_metrics
from codir.models import load_model, shape_of
from codir.runs.build import head_for
from codir.runs.objectives import check_preset, presets_for
from codir.student import build_student
from codir.tasks import KINDS, Kind, Task
from codir.tasks.classification import Classification
from codir.tasks.metrics import find_metric
from codir.trainer.label_weights import weigh_labels
from codir.trainer.rows import LabelledRows
from conftest import make_texts
from families import tiny_classifier

SOURCE = Path(codir.__file__).parent


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


def sample_of(kind: Kind) -> Sample:
    return classes(5) if kind.name == "rating" else SAMPLES[kind.name]


def column_for(kind: Kind, rows: int = 12, *, seed: int = 0) -> list:
    return sample_of(kind).labels(rows, seed)


def logits_of(kind: Kind, rows: int = 12, *, seed: int = 0) -> torch.Tensor:
    return sample_of(kind).logits(rows, seed)


def right(kind: Kind, column: list) -> torch.Tensor:
    """Logits of a model that answers every row rightly."""
    return sample_of(kind).right(column)


def without_labels(kind: Kind, column: list) -> list:
    """The same column, the labels of every other row taken away."""
    return [kind.unlabelled(sample_of(kind).outputs) if row % 2 == 0 else label for row, label in enumerate(column)]


@pytest.fixture(params=[*SAMPLES, "rating"])
def kind(request, rating) -> Kind:
    """Every kind, and the toy."""
    return KINDS[request.param]


def test_a_kind_that_no_law_runs_over():
    """Retrieval is a way to judge vectors by ranks, which no label names: `test_embedding_kinds.py` holds its laws."""
    names = ["classification", "regression", "reranking", "multi_label", "token_classification"]
    names += ["question_answering", "embedding"]
    assert sorted(SAMPLES) == sorted(names)
    assert list(KINDS) == [*names, "retrieval"]


def test_a_task_that_the_command_line_offers_and_codir_does_not_have():
    assert get_args(words.TaskChoice) == (words.TASK, *KINDS)


# ---- Losses ----


def test_a_hard_loss_that_is_not_what_its_formula_says(kind):
    if kind.name == "rating":
        pytest.skip("a toy has no paper")
    column, logits = without_labels(kind, column_for(kind)), logits_of(kind)
    labels = kind.batch(column)
    assert kind.hard_loss(logits, labels).item() == pytest.approx(sample_of(kind).hard_loss(logits, labels), rel=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_a_soft_loss_that_is_not_what_its_formula_says(kind, temperature):
    student, teacher = logits_of(kind), logits_of(kind, seed=1)
    found = kind.soft_loss(student, teacher, temperature=temperature).item()
    assert found == pytest.approx(sample_of(kind).soft_loss(student, teacher, temperature), rel=1e-5)


def test_a_hard_loss_that_counts_rows_without_a_label(kind):
    column, logits = column_for(kind), logits_of(kind)
    some = kind.batch(without_labels(kind, column))
    assert torch.allclose(kind.hard_loss(logits, some), kind.hard_loss(logits[1::2], kind.batch(column[1::2])))
    assert kind.is_labelled(some).tolist() == [row % 2 == 1 for row in range(len(column))]
    none = kind.batch([kind.unlabelled(sample_of(kind).outputs)] * len(column))
    nothing = kind.hard_loss(logits.requires_grad_(), none)
    nothing.backward()
    assert nothing.item() == kind.count_labels(none).item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_parts_of_a_step_that_do_not_add_up_to_its_mean(kind, tokenizer):
    column, logits = column_for(kind), logits_of(kind)
    column[:3] = without_labels(kind, column)[:3]
    parts = [{"labels": kind.batch(part)} for part in (column[:4], column[4:])]
    rows = LabelledRows(tokenizer, sample_of(kind).outputs, kind, 16)
    for processes in (1, 2):  # the second sees the same two micro-batches as one each
        steps = [[part] for part in parts] if processes == 2 else [parts]
        gathered = [torch.stack([rows.count_labels(step[0]), torch.tensor(1)]) for step in steps]
        accelerator = SimpleNamespace(
            num_processes=processes,
            device=torch.device("cpu"),
            gather=lambda tensor, all=gathered, n=processes: torch.cat(all) if n == 2 else tensor,
        )
        for step in steps:
            weigh_labels(step, rows, accelerator)
        losses = [
            kind.hard_loss(of_part, part["labels"]) * part["label_weight"]
            for of_part, part in zip((logits[:4], logits[4:]), parts, strict=True)
        ]
        whole = kind.hard_loss(logits, kind.batch(column))
        assert torch.stack(losses).mean().item() == pytest.approx(whole.item(), rel=1e-5)


def test_a_hard_loss_that_is_not_least_at_the_right_answer(kind):
    column = column_for(kind)
    best = kind.hard_loss(right(kind, column), kind.batch(column))
    assert best.item() == pytest.approx(0.0, abs=1e-5)
    if "labels" in kind.offers:
        assert kind.hard_loss(logits_of(kind), kind.batch(column)) > 0.1


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_a_soft_loss_between_two_that_agree(kind, temperature):
    student, teacher = logits_of(kind), logits_of(kind, seed=1)
    assert kind.soft_loss(student, student, temperature=temperature).item() == pytest.approx(0.0, abs=1e-6)
    assert kind.soft_loss(student, teacher, temperature=temperature) > 0.01


# ---- Answers and metrics ----


def test_answers_that_are_not_in_the_form_of_the_labels(kind):
    column = column_for(kind)
    labels, logits = kind.stack(column), right(kind, column).numpy()
    assert kind.answers(logits).shape == kind.targets(labels).shape
    assert np.allclose(kind.answers(logits), kind.targets(labels))
    found = compute_metrics(logits, labels, kind.metrics, kind)
    assert found == pytest.approx({name: float(name not in kind.errors) for name in kind.metrics})
    assert agreement(logits, logits, kind) == pytest.approx(1.0)
    assert kind.distances(logits, logits) == pytest.approx(np.zeros(len(column)))
    assert kind.distances(logits, logits_of(kind).numpy()).shape == (len(column),)


def test_metrics_that_are_not_those_of_scikit_learn(kind):
    labels, answers = kind.stack(column_for(kind, 40)), kind.answers(logits_of(kind, 40).numpy())
    assert {*sample_of(kind).scores} >= {*kind.metrics} - {*Rating.own_metrics}
    for name, score in sample_of(kind).scores.items():
        if name in (*kind.known_metrics, *kind.own_metrics):
            assert find_metric(name, kind)(answers, labels) == pytest.approx(score(answers, labels)), name


def of_units(kind, drawn, units, answers, labels):
    """Answers and labels of the rows of these units; one that is drawn twice is two."""
    rows = [np.flatnonzero(units == unit) for unit in drawn]
    labels = [labels[of_unit].copy() for of_unit in rows]
    for place, of_unit in enumerate(labels):
        if kind.has_groups:
            of_unit[:, 1] = place
    return answers[np.concatenate(rows)], np.concatenate(labels)


def test_resamples_that_are_scored_otherwise_than_their_rows(kind):
    labels, answers = kind.stack(column_for(kind, 30)), kind.answers(logits_of(kind, 30).numpy())
    found = resample_metrics({"model": answers}, labels, kind.metrics, kind, resamples=7, seed=3)["model"]
    units = np.arange(30) if kind.units(labels) is None else kind.units(labels).astype(int)
    count = units.max() + 1
    drawn = np.random.default_rng(3).integers(0, count, (7, count))
    for name in kind.metrics:
        expected = [find_metric(name, kind)(*of_units(kind, draw, units, answers, labels)) for draw in drawn]
        assert found[name] == pytest.approx(expected, abs=1e-9), name


def test_a_floor_that_reads_or_scores_above_the_right_answers(kind):
    labels = kind.stack(column_for(kind, 30))
    floor = kind.floor(labels)
    assert floor.shape == kind.targets(labels).shape
    assert kind.is_constant(floor)
    assert not kind.is_constant(labels)
    assert kind.variation(floor, labels) == pytest.approx(0.0, abs=1e-12)
    assert kind.variation(labels, labels) == pytest.approx(1.0)
    at_floor = {name: find_metric(name, kind)(floor, labels) for name in kind.metrics}
    assert all(np.isfinite(score) for score in at_floor.values())


def test_answers_that_a_file_does_not_give_back(kind, tmp_path):
    labels = kind.stack(column_for(kind, 5))
    names = [f"name {index}" for index in range(sample_of(kind).outputs)]
    written = kind.written(labels, names)
    assert json.loads(json.dumps(written)) == written
    assert len(written) == len(labels)
    assert len({*map(str, written)}) == len({*map(str, kind.targets(labels).tolist())})
    assert all(kind.in_words(label, dict(enumerate(names))) for label in labels)
    assert len(kind.groups(labels, dict(enumerate(names)))) == len(labels)


def test_probabilities_that_are_none_or_not_those_of_the_answers(kind):
    logits = logits_of(kind).numpy()
    found = kind.probabilities(logits)
    assert (found is not None) == kind.has_classes
    if found is not None:
        assert found.shape == logits.shape
        assert ((found >= 0) & (found <= 1)).all()
    if kind.one_class:
        np.testing.assert_allclose(found, torch.from_numpy(logits).double().softmax(dim=1).numpy())
        np.testing.assert_array_equal(found.argmax(axis=1), kind.answers(logits))


def test_metrics_that_nobody_computes(kind):
    assert {*kind.known_metrics} <= {*METRIC_NAMES, *kind.own_metrics}
    assert {*kind.metrics} <= {*kind.known_metrics, *kind.own_metrics}
    assert {*kind.own_weighted} <= {*kind.own_metrics}
    assert kind.correlations | kind.errors <= {*kind.known_metrics, *kind.own_metrics}
    assert kind.agreement[0] in (*kind.known_metrics, *kind.own_metrics)


# ---- Rows ----


def test_rows_that_are_alike_one_way_only(kind):
    labels = kind.stack(column_for(kind, 30))
    settings = {"num_examples": 30, "count": 0, "batch_size": 4, "kind": kind}
    sampler = build_negative_sampler(labels, **settings)
    every = np.arange(30)
    is_negative, is_kin = sampler.relate(every, every)
    assert (is_negative == is_negative.T).all()
    assert not is_negative.diagonal().any()
    assert is_kin.diagonal().all()
    assert is_negative.any()
    assert not (is_negative & is_kin).any()
    unlabelled = kind.stack([kind.unlabelled(sample_of(kind).outputs)] * 3)
    is_negative, is_kin = build_negative_sampler(unlabelled, **{**settings, "num_examples": 3}).relate(
        *2 * (every[:3],)
    )
    assert (is_negative == ~np.eye(3, dtype=bool)).all()
    assert (is_kin == np.eye(3, dtype=bool)).all()


def test_labels_that_a_model_cannot_learn(kind, tokenizer):
    column, outputs = column_for(kind), sample_of(kind).outputs
    labels = kind.stack(column)
    assert kind.fitted(labels, outputs) is not None
    assert kind.fitted(np.array(["a"]), outputs) is None
    assert 0 <= kind.misfit(labels, outputs) < len(labels)
    texts = make_texts(12).remove_columns("label")
    rows = texts.add_column("label", column, feature=label_feature(kind, outputs))
    encoded = fit_labels(prepare(rows, tokenizer, max_length=8), outputs, kind)
    batch = DistillationCollator(tokenizer, None, kind)([encoded[row] for row in range(12)])
    assert torch.equal(batch["labels"], kind.batch(column))
    np.testing.assert_allclose(labels_of(encoded, kind, "labels"), labels)


def test_a_head_that_does_not_say_its_kind(kind, tmp_path, tokenizer):
    if "labels" not in kind.offers:
        pytest.skip("nothing is learned that a new head would answer")
    task = Task(kind.name, None, sample_of(kind).outputs, kind.metrics)
    tiny_classifier("bert", num_labels=2).save_pretrained(tmp_path / "start")
    load_model(tmp_path / "start", tokenizer, head=head_for(task)).save_pretrained(tmp_path / "task")
    model = load_model(tmp_path / "task", tokenizer)
    assert type(model).__name__.endswith(kind.auto_class.removeprefix("AutoModel"))
    assert shape_of(model).kind is kind
    assert model.config.problem_type == kind.problem_type
    assert kind.outputs_in_words(task.num_labels)
    assert kind.labels_in_words(task.num_labels)
    student = build_student(model, checkpoint=tmp_path / "start")
    assert shape_of(student).kind is kind


# ---- Presets ----


def test_a_preset_that_neither_works_nor_is_refused(kind):
    works = presets_for(kind)
    assert works
    shape = replace(shape_of(tiny_classifier("bert", num_labels=sample_of(kind).outputs)), kind=kind)
    for name in preset_names("distill"):
        config = ObjectivesConfig.model_validate(name)
        if name in works:
            check_preset(config, kind)
            preset(name).build(teacher=shape, student=shape)
            continue
        with pytest.raises(codir.UserError, match=f"for task `{kind.name}`, one of .*`{works[0]}`.*`{name}`, whose"):
            check_preset(config, kind)
        with pytest.raises(codir.UserError, match=f"got `{kind.name}`"):
            preset(name).build(teacher=shape, student=shape)


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


def test_a_file_that_asks_for_itself_whether_something_is_a_score():
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        name = str(path.relative_to(SOURCE))
        if name.startswith("tasks/"):
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
