"""The student of each kind of task in a process without codir: loaded as its library does it, it answers the same."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import codir
from codir.config import DataConfig, Recipe
from exported import MAX_LENGTH
from kind_worlds import LABELS, WORLDS, data_of, fill_world

pytestmark = pytest.mark.slow

TRAINING = {"use_cpu": True, "disable_tqdm": True, "precision": "fp32", "save_strategy": "no", "eval_strategy": "no"}
ELSEWHERE = {
    "multi_label": """
from transformers import AutoModelForSequenceClassification as Auto
shares = load(Auto)(**read(rows["text"])).logits.sigmoid()
said = shares.tolist()
""",
    "token_classification": """
from transformers import pipeline
tag = pipeline("token-classification", "student", ignore_labels=[])
said = [[one["entity"] for one in tag(text)] for text in rows["text"]]
""",
    "question_answering": """
from transformers import AutoModelForQuestionAnswering as Auto
found = load(Auto)(**read(rows["text"], rows["text_pair"]))
said = [found.start_logits.tolist(), found.end_logits.tolist()]
""",
    "reranking": """
from transformers import AutoModelForSequenceClassification as Auto
said = load(Auto)(**read(rows["text"], rows["text_pair"])).logits[:, 0].tolist()
""",
    "embedding": """
from sentence_transformers import SentenceTransformer
model = SentenceTransformer("student", device="cpu")
said = (model.encode(rows["text"]) * model.encode(rows["text_pair"])).sum(axis=1).tolist()
""",
}
"""What somebody writes who has the folder alone; `said` is what comes out."""
PRELUDE = """
import json, os, sys
import torch
from transformers import AutoTokenizer
torch.set_grad_enabled(False)
def load(auto):
    return auto.from_pretrained("student").eval()
def read(*texts):
    return AutoTokenizer.from_pretrained("student")(
        *texts, padding=True, truncation=True, max_length=MOST, return_tensors="pt"
    )
everything = {}
"""


@pytest.fixture(scope="module")
def students(once_per_suite, tokenizer) -> Path:
    """For each kind a folder with a teacher, its files and a student."""

    def fill(folder: Path) -> None:
        for kind in ELSEWHERE:
            (folder / kind).mkdir()
            fill_world(kind, folder / kind, tokenizer)
            content = {
                "teacher": {"model": str(folder / kind / "model"), "cache": False},
                "data": data_of(kind, folder / kind),
                "student": {"layers": 1},
                "objectives": WORLDS[kind].preset,
                "training": {**TRAINING, "max_steps": 2, "per_device_train_batch_size": 8},
                "output_dir": folder / kind / "student",
            }
            codir.distill(Recipe.model_validate(content))

    return once_per_suite("students-elsewhere", fill)


def predictions_of(kind: str, folder: Path) -> list[dict[str, Any]]:
    """A line for each evaluation row, or for each word."""
    data = DataConfig(**data_of(kind, folder, dev=None, source=data_of(kind, folder)["dev"]))
    codir.examine(str(folder / "student"), data, predictions=folder / "student.jsonl")
    return [json.loads(line) for line in (folder / "student.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def both(students) -> dict[str, tuple[Any, list[dict[str, Any]]]]:
    """What each student says elsewhere, all in one process, and what codir says that it says."""
    if find_spec("sentence_transformers") is None:
        pytest.skip("sentence-transformers is not installed")
    ours = {kind: predictions_of(kind, students / kind) for kind in ELSEWHERE}
    lines = [PRELUDE.replace("MOST", str(MAX_LENGTH))]
    for kind, code in ELSEWHERE.items():
        rows = {name: [row[name] for row in ours[kind]] for name in ("text", "text_pair") if name in ours[kind][0]}
        if kind == "token_classification":
            rows = {"text": sentences_in(ours[kind])}
        lines += [f"os.chdir({str(students / kind)!r})", f"rows = {rows!r}", code, f"everything[{kind!r}] = said"]
    lines += ["assert 'codir' not in sys.modules", "print(json.dumps(everything))"]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.splitlines()[-1])
    return {kind: (said[kind], ours[kind]) for kind in ELSEWHERE}


def sentences_in(words: list[dict[str, Any]]) -> list[str]:
    numbers = sorted({line["row"] for line in words})
    return [" ".join(line["text"] for line in words if line["row"] == number) for number in numbers]


def compare_labels(said: Any, ours: list[dict[str, Any]]) -> None:
    expected = [[row[f"p_{label}"] for label in LABELS] for row in ours]
    np.testing.assert_allclose(said, expected, atol=1e-4)


def compare_tags(said: Any, ours: list[dict[str, Any]]) -> None:
    """Words of one token each."""
    assert [tag for row in said for tag in row] == [line["answer"] for line in ours]


def compare_questions(said: Any, ours: list[dict[str, Any]]) -> None:
    """Where a context fits into one window: the score of codir's answer is that of the best start and end."""
    starts, ends = (np.array(logits) for logits in said)
    fits = [
        row for row, line in enumerate(ours) if len(f"{line['text']} {line['text_pair']}".split()) + 3 <= MAX_LENGTH
    ]
    assert len(fits) > 5
    for row in fits:
        first = len(ours[row]["text"].split()) + 2
        inside = range(first, first + len(ours[row]["text_pair"].split()))
        best = max(
            (starts[row, a] + ends[row, b], a - first, b - first) for a in inside for b in inside if a <= b < a + 30
        )
        assert ours[row]["score"] == pytest.approx(best[0], abs=1e-4)
        words = ours[row]["text_pair"].split()
        assert ours[row]["answer"] in ("", " ".join(words[best[1] : best[2] + 1]))


def compare_numbers(said: Any, ours: list[dict[str, Any]]) -> None:
    np.testing.assert_allclose(said, [row["score"] for row in ours], atol=1e-4)


COMPARED: dict[str, Callable[[Any, list[dict[str, Any]]], None]] = {
    "multi_label": compare_labels,
    "token_classification": compare_tags,
    "question_answering": compare_questions,
    "reranking": compare_numbers,
    "embedding": compare_numbers,
}


@pytest.mark.parametrize("kind", ELSEWHERE)
def test_a_student_that_answers_otherwise_without_codir(kind, both):
    COMPARED[kind](*both[kind])


def test_a_card_whose_snippet_does_not_run_for_a_kind(students):
    """All of them, in one process with transformers and without codir."""
    lines = ["import os, sys"]
    for kind in ELSEWHERE:
        card = (students / kind / "student" / "README.md").read_text()
        (snippet,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
        lines += [f"os.chdir({str(students / kind)!r})", snippet]
    lines += ["assert 'codir' not in sys.modules"]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(done.stdout.splitlines()) >= len(ELSEWHERE)
