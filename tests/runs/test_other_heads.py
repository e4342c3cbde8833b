"""A model that is to learn other answers than it gave: what its folder said of the old ones is not said of the new."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import codir
from codir.config import FinetuneConfig
from codir.models import kind_of_model
from codir.student import build_student
from codir.tasks.thresholds import THRESHOLDS
from conftest import make_texts
from families import tiny_classifier
from kind_worlds import data_of, fill_with, fill_world, labels_model

pytestmark = pytest.mark.training
TRAINING = {"max_steps": 2, "learning_rate": 1e-9, "use_cpu": True, "precision": "fp32", "save_strategy": "no"}


def tuned_before(folder: Path, tokenizer) -> Path:
    """A model that is always right, with thresholds at which it was not."""
    model = labels_model(2, {})
    fill_with("multi_label", folder, model, tokenizer)
    config = folder / "model" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {THRESHOLDS: [0.9, 0.9, 0.9]}))
    return folder / "model"


def finetuned(model: Path, data: dict, output: Path) -> dict:
    sections = {"model": str(model), "data": data, "training": TRAINING, "output_dir": str(output)}
    return codir.finetune(FinetuneConfig.model_validate(sections))


def classes(folder: Path) -> dict:
    make_texts(60).to_csv(folder / "classes.csv", index=False)
    return {"source": str(folder / "classes.csv"), "max_length": 16}


def test_thresholds_that_were_tuned_on_top_of_those_of_the_model_before(tmp_path, tokenizer):
    model = tuned_before(tmp_path, tokenizer)
    scores = finetuned(model, data_of("multi_label", tmp_path), tmp_path / "again")
    assert scores["micro_f1"] == 1.0
    assert json.loads((tmp_path / "again" / "config.json").read_text())[THRESHOLDS] != [0.9, 0.9, 0.9]


def test_classes_that_are_judged_by_thresholds_of_labels(tmp_path, tokenizer):
    finetuned(tuned_before(tmp_path, tokenizer), classes(tmp_path), tmp_path / "classes")
    assert THRESHOLDS not in json.loads((tmp_path / "classes" / "config.json").read_text())


def test_classes_that_are_learnt_as_scores_of_a_reranker(tmp_path, tokenizer):
    fill_world("reranking", tmp_path, tokenizer)
    finetuned(tmp_path / "model", classes(tmp_path), tmp_path / "classes")
    assert "codir_task" not in json.loads((tmp_path / "classes" / "config.json").read_text())
    student = build_student(tiny_classifier("bert", num_labels=2), checkpoint=str(tmp_path / "model"))
    assert kind_of_model(student).name == "classification"
