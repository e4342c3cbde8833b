"""`infer.py` must run where only its engine, numpy and `tokenizers` are installed, and say what transformers says."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from codir import runs
from codir.export import EXPORTERS
from codir.measure import PACKAGES
from exported import MAX_LENGTH, export_config, make_world, sentences, sharp_classifier

pytestmark = pytest.mark.slow

TEXTS = sentences([3, 12, 1, 60], seed=9)
"""The last is cut."""
MODELS = {
    "classes": ({"num_labels": 3, "id2label": {0: "bad", 1: "so so", 2: "good"}}, {}),
    "scores": ({"num_labels": 1}, {}),
    "pairs": ({"num_labels": 2}, {"pairs": True}),
}


@pytest.fixture(scope="module")
def python_of(once_per_suite):
    """The interpreter of an environment that holds one engine and what it brings, and `tokenizers`."""

    def interpreter(engine: str) -> Path:
        def fill(folder: Path) -> None:
            subprocess.run([sys.executable, "-m", "venv", str(folder / "env")], check=True)
            python = folder / "env" / "bin" / "python"
            install = [str(python), "-m", "pip", "install", "-q", PACKAGES[engine], "tokenizers"]
            if subprocess.run(install, check=False, timeout=600).returncode != 0:
                shutil.rmtree(folder / "env")

        python = once_per_suite(f"only-{engine}", fill) / "env" / "bin" / "python"
        if not python.exists():
            pytest.skip("no package index that can be reached")
        return python

    return interpreter


@pytest.fixture(scope="module")
def world_of(once_per_suite, tokenizer):
    def world(kind: str) -> Path:
        settings, rows = MODELS[kind]
        settings = {
            **settings,
            **({"label2id": {v: k for k, v in settings["id2label"].items()}} if "id2label" in settings else {}),
        }
        return once_per_suite(
            f"infer-{kind}", lambda folder: make_world(folder, sharp_classifier(**settings), tokenizer, **rows)
        )

    return world


@pytest.mark.parametrize("engine", EXPORTERS)
@pytest.mark.parametrize("kind", MODELS)
def test_a_script_that_needs_more_than_it_says_or_answers_otherwise(kind, engine, world_of, python_of, tmp_path):
    world, out = world_of(kind), tmp_path / "shipped"
    runs.export_model(export_config(world, out, engine=engine))
    imports = f"import {PACKAGES[engine]}, tokenizers, numpy"
    assert subprocess.run([python_of(engine), "-c", imports], check=False).returncode == 0
    assert (
        subprocess.run([python_of(engine), "-c", "import torch"], check=False, stderr=subprocess.DEVNULL).returncode
        == 1
    )
    said = subprocess.run(
        [python_of(engine), "-W", "error", out / "infer.py", *TEXTS],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stderr == ""
    lines = said.stdout.splitlines()
    for line, expected in zip(lines, answers_of_transformers(world, kind), strict=True):
        name, _, number = line.rpartition(" ")
        assert name == expected["label"] if kind != "scores" else name == ""
        assert float(number) == pytest.approx(expected["score"], abs=2e-4)


def answers_of_transformers(world: Path, kind: str) -> list[dict]:
    model = AutoModelForSequenceClassification.from_pretrained(world / "student")
    tokenizer = AutoTokenizer.from_pretrained(world / "student")
    ask = pipeline("text-classification", model=model, tokenizer=tokenizer)
    texts = [{"text": one, "text_pair": two} for one, two in zip(TEXTS[::2], TEXTS[1::2], strict=True)]
    how = {"truncation": True, "max_length": MAX_LENGTH, "function_to_apply": "none" if kind == "scores" else "softmax"}
    return [ask(text, **how) for text in texts] if kind == "pairs" else ask(TEXTS, **how)


def test_a_script_without_a_text_that_ends_with_a_traceback(world_of, python_of, tmp_path):
    runs.export_model(export_config(world_of("classes"), tmp_path / "shipped"))
    said = subprocess.run(
        [python_of("onnx"), tmp_path / "shipped" / "infer.py"], capture_output=True, text=True, check=False
    )
    assert said.returncode == 1
    assert said.stderr.startswith('Run this model: `python infer.py "a text"')
    assert "Traceback" not in said.stderr
