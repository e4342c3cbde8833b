"""A student where it is used: in a fresh process, by other libraries, without codir; the answers are those reported."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

import codir
from conftest import make_texts
from families import tiny_classifier

pytestmark = pytest.mark.training

TRAINING = {"max_steps": 60, "learning_rate": 3e-3, "use_cpu": True, "disable_tqdm": True, "precision": "fp32"}
TRAINING |= {"save_strategy": "no", "eval_strategy": "no"}


@pytest.fixture(scope="module", params=["bert", "roberta"])
def folder(request, tokenizer, tmp_path_factory) -> Path:
    """`student/`, distilled from a teacher that knows its classes, with `dev.csv` beside it."""
    folder = tmp_path_factory.mktemp(request.param)
    for name, rows, seed in (("train", 240, 0), ("dev", 100, 1)):
        texts = make_texts(rows, seed=seed)
        named = texts.map(lambda row: {"label": ("negative", "positive")[row["label"]]}, features=None)
        named.to_csv(folder / f"{name}.csv", index=False)
    tiny_classifier(request.param, num_labels=2, layers=3).save_pretrained(folder / "start")
    tokenizer.save_pretrained(folder / "start")
    common = {
        "data": {"source": str(folder / "train.csv"), "dev": str(folder / "dev.csv"), "max_length": 16},
        "training": TRAINING,
    }
    teaching = {**common, "model": str(folder / "start"), "output_dir": folder / "teacher"}
    codir.finetune(codir.FinetuneConfig.model_validate(teaching))
    recipe = {
        **common,
        "teacher": {"model": str(folder / "teacher"), "cache": False},
        "student": {"layers": 2},
        "objectives": "kd",
        "output_dir": folder / "student",
    }
    codir.distill(codir.Recipe.model_validate(recipe))
    return folder


def in_a_fresh_process(script: str, folder: Path) -> Any:
    """What a script leaves in `found`; it has `texts`, and must not load codir."""
    begin = "import csv, json, sys\ntexts = [row['text'] for row in csv.DictReader(open('dev.csv'))]\n"
    end = "\nassert 'codir' not in sys.modules\nprint(json.dumps(found))"
    done = subprocess.run(
        [sys.executable, "-c", begin + script + end],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_a_pipeline_that_answers_otherwise_than_the_report(folder):
    found = in_a_fresh_process(
        "from transformers import pipeline\n"
        "classify = pipeline('text-classification', model='student')\n"
        "found = classify(texts, truncation=True, max_length=16)",
        folder,
    )
    with (folder / "dev.csv").open() as file:
        labels = [row["label"] for row in csv.DictReader(file)]
    answers = [one["label"] for one in found]
    report = json.loads((folder / "student" / "report.json").read_text())
    assert {"negative", "positive"} == set(answers)
    assert np.mean(np.asarray(answers) == np.asarray(labels)) == report["student"]["metrics"]["accuracy"]


@pytest.mark.skipif(find_spec("sentence_transformers") is None, reason="sentence-transformers is not installed")
def test_sentence_transformers_with_other_vectors_than_the_encoders_mean(folder):
    """It takes the encoder out of the classifier, and pools as codir's contrast does: the mean over real tokens."""
    found = in_a_fresh_process(
        "from sentence_transformers import SentenceTransformer\n"
        "model = SentenceTransformer('student', device='cpu')\n"
        "found = [vector.tolist() for vector in model.encode(texts[:20])]",
        folder,
    )
    tokenizer = AutoTokenizer.from_pretrained(folder / "student")
    encoder = AutoModel.from_pretrained(folder / "student").eval()
    with (folder / "dev.csv").open() as file:
        texts = [row["text"] for row in csv.DictReader(file)][:20]
    with torch.no_grad():
        expected = [
            encoder(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].numpy().mean(axis=0) for text in texts
        ]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.std(found, axis=0).max() > 0.01  # texts differ
