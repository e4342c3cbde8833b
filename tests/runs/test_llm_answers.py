"""`examples/llm_answers.py`: what an API answers becomes a teacher."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import datasets
import numpy as np
import pytest

from codir.tasks import Task
from codir.teacher import AnswersFile, FileTeacher

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "llm_answers.py"
LABELS = ("negative", "positive")


def completion(name: str, shares: dict[str, float], *, space: bool = False) -> dict[str, object]:
    """As OpenAI-style chat completions give it."""
    listed = [{"token": token, "logprob": math.log(share), "bytes": None} for token, share in shares.items()]
    tokens = [{"token": "\n", "logprob": -0.1, "top_logprobs": []}] if space else []
    content = [*tokens, {**listed[0], "top_logprobs": listed}]
    message = {"role": "assistant", "content": listed[0]["token"]}
    choice = {"index": 0, "message": message, "logprobs": {"content": content}, "finish_reason": "length"}
    return {"id": name, "object": "chat.completion", "choices": [choice]}


def batched(name: str, body: dict[str, object] | None) -> dict[str, object]:
    """As a line of a batch's output."""
    if body is None:
        return {"custom_id": name, "response": None, "error": {"code": "server_error", "message": "no"}}
    return {"custom_id": name, "response": {"status_code": 200, "body": body}, "error": None}


def test_an_api_whose_answers_cannot_be_taught(tmp_path):
    lines = [
        batched("row-1", completion("c1", {"positive": 0.7, " Pos": 0.1, "neg": 0.1, "The": 0.1})),
        batched("row-2", completion("c2", {"neg": 0.6, "n": 0.1, "maybe": 0.3}, space=True)),
        completion("row-3", {"Positive": 0.5, "Negative": 0.5}),
        batched("row-4", None),
        batched("row-5", completion("c5", {"I": 0.9, "Sorry": 0.1})),
    ]
    (tmp_path / "output.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    words = ["output.jsonl", "answers.parquet", "--labels", *LABELS]
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), *words], cwd=tmp_path, check=True, timeout=120, capture_output=True, text=True
    )
    assert done.stdout.splitlines() == [
        "answers.parquet: 3 answers",
        "left out, the request failed: 1",
        "left out, no label among the likeliest tokens: 1",
    ]
    file = AnswersFile(tmp_path / "answers.parquet", id_column="id")
    rows = {"text": ["c", "a", "b"], "id": ["row-3", "row-1", "row-2"], "label": [0, 1, 0]}
    task = Task("classification", LABELS, 2, ("accuracy",))
    teacher = FileTeacher(file, datasets.Dataset.from_dict(rows), task)
    shares = np.exp(file.answer(datasets.Dataset.from_dict(rows), task))
    # what is listed of labels, over its sum; the second row lists one label, whose other gets what is left of 1, 0.3
    expected = [0.5, 0.8 / 0.9, 0.3 / 1.0]
    assert shares[:, 1] == pytest.approx(expected, abs=1e-6)
    assert any("1 of 3 rows list only some of the classes" in note for note in teacher.notes)
