"""A report one can trust: its numbers are those of scikit-learn and scipy on transformers' own predictions."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_recall_fscore_support
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import codir
from codir.config import DataConfig
from codir.report import summarise, table_rows
from codir.runs import examine
from conftest import make_texts
from families import tiny_classifier

pytestmark = pytest.mark.training

TRAINING = {"max_steps": 30, "learning_rate": 1e-3, "use_cpu": True, "disable_tqdm": True, "precision": "fp32"}
TRAINING |= {"save_strategy": "no", "eval_strategy": "no"}
PRIMARY = {"classes": "accuracy", "scores": "pearson"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory, tokenizer) -> dict[str, codir.RunResult]:
    """A distillation with a baseline, of classes and of scores; files are in the parent of `output_dir`."""
    return {kind: distill(tmp_path_factory.mktemp(kind), tokenizer, kind) for kind in PRIMARY}


def distill(folder: Path, tokenizer, kind: str, **sections: Any) -> codir.RunResult:
    data = write_rows(folder, kind)
    save(tiny_classifier("bert", num_labels=2, layers=2), tokenizer, folder / "start")
    training = {**TRAINING, "max_steps": 90}
    teacher = codir.FinetuneConfig(
        model=str(folder / "start"), data=data, training=training, output_dir=folder / "teacher"
    )
    codir.finetune(teacher)
    recipe = {"student": {"layers": 1}, "training": TRAINING, "baseline": True, **sections}
    return codir.distill(
        codir.Recipe(
            teacher={"model": str(folder / "teacher"), "cache": False},
            data=data,
            objectives="kd",
            output_dir=folder / "out",
            **recipe,
        )
    )


def write_rows(folder: Path, kind: str) -> dict[str, Any]:
    rows_of(kind, 240, 0).to_csv(folder / "train.csv", index=False)
    rows_of(kind, 120, 1).to_csv(folder / "dev.csv", index=False)
    return {"source": str(folder / "train.csv"), "dev": str(folder / "dev.csv"), "max_length": 16}


def rows_of(kind: str, rows: int, seed: int) -> Dataset:
    """Texts of two classes, or the same with scores that are near 1.5 and 4.5."""
    texts = make_texts(rows, seed=seed)
    if kind == "classes":
        return texts
    scores = [1.25 + 3 * row["label"] + len(row["text"].split()) / 20 for row in texts]
    return texts.remove_columns("label").add_column("label", scores)


def save(model, tokenizer, folder: Path) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def predict(folder: Path, texts: list[str]) -> np.ndarray:
    """What plain transformers answers, a row at a time."""
    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        rows = [model.eval()(**tokenizer(text, return_tensors="pt", truncation=True, max_length=16)) for text in texts]
    return torch.cat([row.logits for row in rows]).float().numpy()


def sklearn_metrics(kind: str, logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    if kind == "classes":
        said = logits.argmax(1)
        return {"accuracy": accuracy_score(labels, said), "macro_f1": f1_score(labels, said, average="macro")}
    return {"pearson": pearsonr(logits[:, 0], labels)[0], "spearman": spearmanr(logits[:, 0], labels)[0]}


@pytest.mark.parametrize("kind", list(PRIMARY))
def test_numbers_that_scikit_learn_and_scipy_do_not_find(runs, kind):
    out = runs[kind].output_dir
    report = json.loads((out / "report.json").read_text())
    dev = rows_of(kind, 120, 1)
    labels = np.asarray(dev["label"])
    for name, folder in {"teacher": out.parent / "teacher", "student": out, "baseline": out / "baseline"}.items():
        logits = predict(folder, dev["text"])
        expected = sklearn_metrics(kind, logits, labels)
        assert report[name]["metrics"] == pytest.approx(expected, abs=1e-4)  # padding rounds
        for metric, interval in report["intervals"][name].items():
            assert interval["value"] == report[name]["metrics"][metric]
            assert interval["low"] < interval["value"] < interval["high"]
            assert interval["rows"] == 120
        if kind == "classes":
            said = logits.argmax(1)
            precision, recall, f1, count = precision_recall_fscore_support(labels, said, zero_division=0.0)
            found = report["by_class"][name]
            for key, values in {"precision": precision, "recall": recall, "f1": f1, "rows": count}.items():
                assert [one[key] for one in found["classes"]] == pytest.approx(values)
            assert found["confusion"] == confusion_matrix(labels, said).tolist()
        assert sum(group["rows"] for group in report["by_length"]) == 120
    floor = np.full_like(labels, np.bincount(labels).argmax()) if kind == "classes" else None
    expected = 0.0 if floor is None else accuracy_score(labels, floor)
    assert report["floor"]["metrics"][PRIMARY[kind]] == pytest.approx(expected)


@pytest.mark.parametrize("kind", list(PRIMARY))
def test_what_is_kept_of_a_teacher_by_another_count(runs, kind):
    """Agreement, retention, and the student's lead with its interval, from transformers' own predictions."""
    out, primary = runs[kind].output_dir, PRIMARY[kind]
    report = json.loads((out / "report.json").read_text())
    dev = rows_of(kind, 120, 1)
    labels = np.asarray(dev["label"])
    folders = {"teacher": out.parent / "teacher", "student": out, "baseline": out / "baseline"}
    logits = {name: predict(folder, dev["text"]) for name, folder in folders.items()}
    answers = {name: of_model.argmax(1) if kind == "classes" else of_model[:, 0] for name, of_model in logits.items()}
    scores = {name: sklearn_metrics(kind, of_model, labels)[primary] for name, of_model in logits.items()}
    alike = accuracy_score if kind == "classes" else lambda one, other: pearsonr(one, other)[0]
    for name, prefix in {"student": "", "baseline": "baseline_"}.items():
        assert report[f"{prefix}agreement"] == pytest.approx(alike(answers["teacher"], answers[name]), abs=1e-4)
        assert report[f"{prefix}retention"] == pytest.approx(scores[name] / scores["teacher"], abs=1e-4)
    for other in ("teacher", "baseline"):
        lead = report["differences"]["student"][other][primary]
        assert lead["value"] == pytest.approx(scores["student"] - scores[other], abs=1e-4)
        resampled = resampled_leads(kind, logits["student"], logits[other], labels)
        spread = resampled.std()
        assert abs(lead["low"] - np.percentile(resampled, 2.5)) <= 0.5 * spread + 1e-3
        assert abs(lead["high"] - np.percentile(resampled, 97.5)) <= 0.5 * spread + 1e-3


def resampled_leads(kind: str, student: np.ndarray, other: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How far the student leads on 500 draws of the rows, the same for both models."""
    draws = np.random.default_rng(1).integers(0, len(labels), (500, len(labels)))
    scores = [
        [sklearn_metrics(kind, of[rows], labels[rows])[PRIMARY[kind]] for of in (student, other)] for rows in draws
    ]
    return np.subtract(*np.transpose(scores))


@pytest.mark.parametrize("kind", list(PRIMARY))
def test_the_training_file_stands_for_the_evaluation_set(runs, kind):
    report = json.loads((runs[kind].output_dir / "report.json").read_text())
    assert report["data"]["train"] == {"source": "train.csv", "rows": 240}
    (evaluated_on,) = report["data"]["evaluation"].values()
    assert (evaluated_on["source"], evaluated_on["rows"]) == ("dev.csv", 120)
    assert report["rows"] == {"dev": 120}
    training = report["training"]
    assert (training["steps"], training["batch_size"]) == (30, 32)
    assert training["epochs"] == pytest.approx(30 / 8)
    assert training["minutes"] > 0
    assert report["speed"] == {"batch_size": 32, "rows": 120, "latency_rows": 100}
    assert 0 < report["student"]["latency"]["p50"] <= report["student"]["latency"]["p95"]
    page = (runs[kind].output_dir / "report.md").read_text()
    assert "**evaluated on**: dev.csv, 120 rows" in page
    assert "**trained on**: train.csv, 240 rows" in page


def test_rows_held_out_called_a_file(tmp_path, tokenizer):
    write_rows(tmp_path, "classes")
    save(tiny_classifier("bert", num_labels=2, layers=1), tokenizer, tmp_path / "model")
    loaded = codir.load_data(str(tmp_path / "train.csv"))
    assert loaded.origins == {"train": "train.csv", "dev": "held out of train.csv"}


@pytest.mark.parametrize("kind", list(PRIMARY))
def test_a_student_of_one_answer_praised(tmp_path, tokenizer, kind, runs):
    constant = tiny_classifier("bert", num_labels=2 if kind == "classes" else 1, layers=1)
    with torch.no_grad():
        constant.classifier.weight.zero_()
        constant.classifier.bias.copy_(torch.tensor([0.0, 3.0][-constant.config.num_labels :]))
    checkpoint = save(constant, tokenizer, tmp_path / "constant")
    training = {**TRAINING, "learning_rate": 1e-12, "max_steps": 1}
    result = distill(
        tmp_path, tokenizer, kind, student={"checkpoint": str(checkpoint)}, training=training, baseline=False
    )
    said = {
        "classes": "The student answers 'LABEL_1' to each of 120 rows",
        "scores": "The student answers 3 to each of",
    }
    page = (tmp_path / "out" / "report.md").read_text().splitlines()
    assert said[kind] in page[2]
    floor = {"classes": "largest class", "scores": "mean score"}[kind]
    assert page[2].split(": no better than the ")[1].startswith(floor)
    assert table_rows(result)[-1]["model"] == floor
    assert not any("teacher" in warning for warning in result.warnings)
    assert not any("The student " in warning for warning in runs[kind].warnings)


def test_retention_of_a_teacher_at_its_floor(tmp_path, tokenizer):
    write_rows(tmp_path, "classes")
    save(tiny_classifier("bert", num_labels=2, layers=2), tokenizer, tmp_path / "teacher")
    result = codir.distill(
        codir.Recipe(
            teacher={"model": str(tmp_path / "teacher"), "cache": False},
            data=write_rows(tmp_path, "classes"),
            student={"layers": 1},
            objectives="kd",
            training={**TRAINING, "max_steps": 1},
            output_dir=tmp_path / "out",
        )
    )
    assert result.judgement.standings["teacher"].is_at_floor
    assert result.retention is None
    assert "retention" not in summarise(result)
    assert "so no retention is reported" in (tmp_path / "out" / "report.md").read_text().split("| model")[0]
    assert json.loads((tmp_path / "out" / "report.json").read_text())["retention"] is None


@pytest.mark.parametrize("kind", list(PRIMARY))
def test_evaluate_tells_another_story_than_the_report(runs, kind, caplog):
    out = runs[kind].output_dir
    data = DataConfig(source=str(out.parent / "dev.csv"), max_length=16)
    found = examine(str(out), data)
    report = json.loads((out / "report.json").read_text())
    content = json.loads(json.dumps(found.to_json()))
    metrics = report["student"]["metrics"]
    assert {name: content[name] for name in metrics} == pytest.approx(metrics, abs=1e-6)
    for metric, interval in content["intervals"]["model"].items():
        assert interval == pytest.approx(report["intervals"]["student"][metric])
    assert content["by_class"].get("model") == report["by_class"].get("student")
    calibration = {name: json.loads(json.dumps(found)) for name, found in report["calibration"].items()}
    assert set(calibration) == (set(report["intervals"]) if kind == "classes" else set())
    if calibration:
        ours, of_report = content["calibration"]["model"], calibration["student"]
        assert {**ours, "bins": None} == pytest.approx({**of_report, "bins": None}, abs=1e-6)
        assert sum(one["rows"] for one in ours["bins"]) == 120
    assert ("## Calibration" in (out / "report.md").read_text()) == bool(calibration)
    assert content["floor"] == report["floor"]
    assert [group["scores"]["model"] for group in content["by_length"]] == [
        pytest.approx(group["scores"]["student"]) for group in report["by_length"]
    ]
    assert content["data"] == report["data"]["evaluation"], "the same file, by its fingerprint too"
    assert content["latency"]["rows"] == 100


def test_an_untrained_model_evaluated_without_a_note(tmp_path, tokenizer, caplog):
    write_rows(tmp_path, "scores")
    model = tiny_classifier("bert", num_labels=1, layers=1)
    with torch.no_grad():
        model.classifier.weight.zero_()
    folder = save(model, tokenizer, tmp_path / "model")
    with caplog.at_level(logging.WARNING, logger="codir"):
        codir.evaluate(str(folder), DataConfig(source=str(tmp_path / "dev.csv"), max_length=16))
    assert "The model answers 0 to each of 120 rows: no better than the mean score" in caplog.text
