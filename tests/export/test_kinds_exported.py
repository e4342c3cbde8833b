"""Every kind of task in every engine, in fp32 and int8: the gate weighs its metric, `infer.py` says its answers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

import codir
from codir import runs
from codir.config import DataConfig, ExportConfig, validate
from codir.export import EXPORTERS
from codir.models import load_model
from codir.tasks import KINDS
from exported import MAX_LENGTH, with_outliers
from kind_worlds import LABELS, WORLDS, answers, data_of, fill_with, fill_world

pytestmark = pytest.mark.slow

ASKED = {
    "multi_label": ["w1 w2 w3", "w4 w80 w7"],
    "token_classification": ["w1 w2 w3 w4 w5 w6 w7 w8", "w80"],
    "question_answering": ["w70 w71", "w1 w2 w3 w4 w80 w81"],
    "reranking": ["w1 w2", "w3 w4", "w80 w80 w5", "w80 w6"],
    "embedding": ["w1 w2 w3", "w80"],
}
LINES = {"multi_label": 2, "token_classification": 2, "question_answering": 1, "reranking": 3, "embedding": 2}


@pytest.fixture
def world_of(once_per_suite, tokenizer):
    return lambda kind: once_per_suite(f"world-{kind}", lambda folder: fill_world(kind, folder, tokenizer))


def export(kind: str, world: Path, output: Path, **changes: object):
    content = {"model": str(world / "model"), "data": data_of(kind, world), "calibration_rows": 40, **changes}
    return runs.export_model(validate(ExportConfig, {**content, "output_dir": output}))


def asked(folder: Path, texts: list[str]) -> list[str]:
    """What `infer.py` prints, in a process of its own, where a warning is an error."""
    command = [sys.executable, "-W", "error", str(folder / "infer.py"), *texts]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.splitlines()


def scores_of(model: Path, kind: str, world: Path) -> dict[str, float]:
    data = data_of(kind, world, dev=None, source=data_of(kind, world)["dev"])
    return codir.evaluate(str(model), DataConfig(**data))


@pytest.mark.parametrize("engine", EXPORTERS)
@pytest.mark.parametrize("kind", WORLDS)
def test_a_kind_that_an_engine_answers_otherwise_in_fp32(kind, engine, world_of, tmp_path):
    world, out = world_of(kind), tmp_path / "out"
    result = export(kind, world, out, engine=engine)
    metric = KINDS[kind].named(("O", "B-X")).metrics[0]
    found, verdict = scores_of(out, kind, world), result.chosen.verdict
    assert verdict.metric == metric
    assert verdict.before == pytest.approx(1.0, abs=1e-6), "its labels are its own answers"
    assert found == pytest.approx(scores_of(world / "model", kind, world), abs=2e-3)
    assert found[metric] == pytest.approx(verdict.after, abs=1e-6)
    check_answers(kind, world, asked(out, ASKED[kind]))


@pytest.mark.parametrize("engine", EXPORTERS)
@pytest.mark.parametrize("kind", WORLDS)
def test_a_kind_whose_int8_model_is_not_weighed(kind, engine, world_of, tmp_path):
    world, out = world_of(kind), tmp_path / "out"
    result = export(kind, world, out, engine=engine, int8=True, max_loss=40.0)
    verdict = result.chosen.verdict
    assert result.chosen.precision.startswith("int8")
    metric = verdict.metric
    before, after = (scores_of(model, kind, world)[metric] for model in (world / "model", out))
    assert (verdict.before, verdict.after) == pytest.approx((before, after), abs=1e-6)
    assert verdict.loss.value == pytest.approx(100 * (before - after), abs=1e-4)
    record = json.loads((out / "export.json").read_text())
    assert record["gate"][result.chosen.name]["loss"]["value"] == verdict.loss.value
    assert len(asked(out, ASKED[kind])) == LINES[kind]


@pytest.mark.parametrize("kind", WORLDS)
def test_a_gate_that_ships_a_kinds_ruined_layer(kind, tokenizer, tmp_path):
    """The second of three layers holds weights that no 8 bits can hold; it stays in fp32, or the model is ruined."""
    model = with_outliers(WORLDS[kind].build(3, {}), layer=1)
    fill_with(kind, tmp_path, model, tokenizer)
    most = 40.0 if kind == "question_answering" else 10.0  # a span is right as a whole or not
    result = export(kind, tmp_path, tmp_path / "out", int8=True, max_loss=most)
    tried = {one.name: one for one in result.candidates if one.precision != "fp32"}
    assert any("layer.1" in layer for one in tried.values() for layer in one.left), tried
    assert result.chosen.verdict.loss.value <= most


def check_answers(kind: str, world: Path, lines: list[str]) -> None:
    """What was printed is what the PyTorch model says, read through transformers' own tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(world / "model")
    model = load_model(world / "model", tokenizer).eval()
    texts = ASKED[kind]
    with torch.no_grad():
        CHECKS[kind](texts, lines, model, tokenizer)


def check_labels(texts, lines, model, tokenizer):
    shares = 1 / (1 + 2.718281828459045 ** -answers(model, tokenizer, texts))
    expected = [
        ", ".join(f"{label} {share:.4f}" for label, share in zip(LABELS, row, strict=True) if share >= 0.5) or "(none)"
        for row in shares
    ]
    assert lines == expected


def check_tags(texts, lines, model, tokenizer):
    tags = answers(model, tokenizer, texts).argmax(axis=2)
    for text, line, row in zip(texts, lines, tags, strict=True):
        words = text.split()
        of_words = [model.config.id2label[int(tag)] for tag in row[1 : len(words) + 1]]
        inside = {number for span in json.loads(line) for number in range(*_words_of(text, span))}
        assert inside == {number for number, tag in enumerate(of_words) if tag != "O"}


def _words_of(text: str, span: dict) -> tuple[int, int]:
    before = len(text[: span["start"]].split())
    return before, before + len(span["text"].split())


def check_question(texts, lines, model, tokenizer):
    (line,) = lines
    question, context = texts
    read = tokenizer(question, context, return_tensors="pt", return_offsets_mapping=True)
    offsets = read.pop("offset_mapping")[0].tolist()
    start, end = model(**read).logits[0].T.tolist()
    parts = read.encodings[0].sequence_ids
    best, place = max(
        (start[first] + end[last], (offsets[first][0], offsets[last][1]))
        for first in range(len(parts))
        for last in range(first, min(first + 30, len(parts)))
        if parts[first] == parts[last] == 1
    )
    found = json.loads(line)
    assert found["score"] == pytest.approx(best, abs=1e-3)
    is_none = start[0] + end[0] > best
    assert found["answer"] == ("" if is_none else context[slice(*place)])
    assert (found["start"], found["end"]) == ((None, None) if is_none else place)


def check_ranking(texts, lines, model, tokenizer):
    query, *candidates = texts
    scores = answers(model, tokenizer, [query] * len(candidates), candidates)[:, 0]
    ranked = sorted(zip(scores.tolist(), candidates, strict=True), reverse=True)
    assert [line.partition(" ")[2] for line in lines] == [candidate for _, candidate in ranked]
    assert [float(line.partition(" ")[0]) for line in lines] == pytest.approx([score for score, _ in ranked], abs=2e-4)


def check_vectors(texts, lines, model, tokenizer):
    expected = answers(model, tokenizer, texts)
    for line, vector in zip(lines, expected, strict=True):
        assert json.loads(line) == pytest.approx(vector.tolist(), abs=1e-4)


CHECKS = {
    "multi_label": check_labels,
    "token_classification": check_tags,
    "question_answering": check_question,
    "reranking": check_ranking,
    "embedding": check_vectors,
}


def test_a_long_question_that_leaves_a_script_no_room(world_of, tmp_path):
    """Windows share fewer tokens then, as where the model is evaluated."""
    world = world_of("question_answering")
    export("question_answering", world, tmp_path / "out")
    question = " ".join(f"w{number}" for number in range(MAX_LENGTH - 12))
    context = " ".join(f"w{number}" for number in range(60))
    (line,) = asked(tmp_path / "out", [question, context])
    assert json.loads(line)["answer"] in context


def test_a_question_that_leaves_no_room_for_an_answer(world_of, tmp_path):
    export("question_answering", world_of("question_answering"), tmp_path / "out")
    question = " ".join(f"w{number}" for number in range(MAX_LENGTH))
    done = subprocess.run(
        [sys.executable, tmp_path / "out" / "infer.py", question, "w1 w2"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("The question has ")
    assert "no room is left" in done.stderr
