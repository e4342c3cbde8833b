"""A real encoder ranks sentences for a question and marks the answer in them; its student keeps that. Minutes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import codir
from codir.data import find_minilm

pytestmark = pytest.mark.slow

NAMES = {
    "who": "Anna Boris Clara David Elena Felix Greta Hugo Irene Jonas Karla Leon Maria Niels Olga Peter",
    "what": "bicycle lamp violin carpet mirror kettle camera tent clock basket guitar helmet",
    "where": "Paris Lisbon Prague Vienna Dublin Athens Oslo Zagreb Madrid Tallinn Naples Geneva",
    "when": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
}
TRAINING = {"use_cpu": True, "disable_tqdm": True, "save_strategy": "no", "eval_strategy": "no", "learning_rate": 2e-4}


def draw(rng: np.random.Generator) -> dict[str, str]:
    """Who bought what, where and when."""
    return {name: str(rng.choice(words.split())) for name, words in NAMES.items()}


def sentence(fact: dict[str, str]) -> str:
    return "On {when} {who} bought a {what} at a shop in {where}.".format(**fact)


def distilled(made: Path, data: dict, task: str, preset: str, epochs: int) -> codir.RunResult:
    """Fine-tune MiniLM, and distil it into three of its layers."""
    data = {**data, "task": task, "max_length": 64}
    training = {**TRAINING, "num_train_epochs": epochs, "per_device_train_batch_size": 20}
    codir.finetune(
        codir.FinetuneConfig(model=str(find_minilm()), data=data, training=training, output_dir=made / "teacher")
    )
    return codir.distill(
        codir.Recipe(
            teacher={"model": str(made / "teacher"), "cache_dir": made / "cache"},
            data=data,
            student={"layers": 3},
            objectives=preset,
            training=training,
            output_dir=made / "student",
        )
    )


def test_real_sentences_that_are_not_ranked(tmp_path):
    rng = np.random.default_rng(0)
    for name, queries in (("train", 200), ("dev", 60)):
        rows = []
        for _ in range(queries):
            asked = draw(rng)
            others = [draw(rng) for _ in range(4)]
            others[0]["what"], others[1]["who"] = asked["what"], asked["who"]
            for fact in (asked, *others):
                relevance = 2 * (fact is asked) + (fact is not asked and fact["who"] == asked["who"])
                query = "Where did {who} buy a {what}?".format(**asked)
                rows.append({"query": query, "document": sentence(fact), "score": relevance})
        order = rng.permutation(len(rows))
        (tmp_path / f"{name}.jsonl").write_text("\n".join(json.dumps(rows[row]) for row in order))
    data = {"source": str(tmp_path / "train.jsonl"), "dev": str(tmp_path / "dev.jsonl")}
    result = distilled(tmp_path, data, "reranking", "rerank-margin", 2)
    print({name: one.metrics for name, one in (("teacher", result.teacher), ("student", result.student))})
    assert result.judgement is not None
    assert result.teacher.metrics["ndcg@10"] > 0.9
    assert result.retention is not None
    assert result.retention > 0.9
    assert not result.judgement.standings["student"].is_at_floor


ASKED = {"who": "Who bought it?", "what": "What was bought?", "where": "In which city?", "when": "On which day?"}
PARTS = {"when": "On {when} ", "where": " at a shop in {where}"}
"""What a sentence may lack; a question about it then has no answer."""


def test_real_answers_that_are_not_found(tmp_path):
    rng, files = np.random.default_rng(0), tmp_path / "files"
    files.mkdir()
    for name, articles in (("train", 400), ("dev", 60)):
        data = []
        for article in range(articles):
            fact, slot = draw(rng), str(rng.choice([*ASKED]))
            has_answer = slot not in PARTS or rng.random() < 0.5
            parts = {part: words.format(**fact) for part, words in PARTS.items() if has_answer or part != slot}
            context = f"{parts.get('when', '')}{fact['who']} bought a {fact['what']}{parts.get('where', '')}."
            answers = [{"text": fact[slot], "answer_start": context.index(fact[slot])}] if has_answer else []
            question = {"id": f"{article}", "question": ASKED[slot], "answers": answers}
            data.append({"paragraphs": [{"context": context, "qas": [{**question, "is_impossible": not has_answer}]}]})
        (files / f"{name}-v2.0.json").write_text(json.dumps({"version": "v2.0", "data": data}))
    result = distilled(tmp_path, {"source": str(files)}, "question_answering", "kd", 5)
    print({name: one.metrics for name, one in (("teacher", result.teacher), ("student", result.student))})
    assert result.judgement is not None
    assert result.teacher.metrics["f1"] > 0.8
    assert result.retention is not None
    assert result.retention > 0.8
    assert not result.judgement.standings["student"].is_at_floor
