"""A small model of each kind of task with something to say, and files of rows that it labels itself.

Labels are the model's own answers, as in `exported.py`: whatever an export turns is a point lost.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import PreTrainedModel, PreTrainedTokenizerBase

import codir
from codir.config import DataConfig
from codir.models import SentenceEncoder, note_shape
from codir.models.sentence_files import SentenceShape
from exported import MAX_LENGTH, WIDE, sentences
from families import FAMILIES

LABELS = ("early", "late", "rare")
TAGS = ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
TRAIN_ROWS, DEV_ROWS = 120, 60


def fill_world(
    kind: str, folder: Path, tokenizer: PreTrainedTokenizerBase, *, layers: int = 2, **settings: Any
) -> None:
    """`model/`, and files of training and evaluation rows that `data_of` names."""
    fill_with(kind, folder, WORLDS[kind].build(layers, settings), tokenizer)


def fill_with(kind: str, folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """The same with a model of one's own."""
    world = WORLDS[kind]
    model.eval().save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    for name, rows, seed in (("train", TRAIN_ROWS, 1), ("dev", DEV_ROWS, 2)):
        with torch.no_grad():
            world.write(folder / f"{name}{world.suffix}", model, tokenizer, rows, seed)


def data_of(kind: str, folder: Path, **changes: Any) -> dict[str, Any]:
    """The section `data` of a recipe; the kind is named, so that nothing is guessed."""
    world = WORLDS[kind]
    files = {"source": str(folder / f"train{world.suffix}"), "dev": str(folder / f"dev{world.suffix}")}
    return {**files, "task": kind, "max_length": MAX_LENGTH, **world.columns, **changes}


def answers(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: list[str], pairs: list[str] | None = None
) -> np.ndarray:
    """A model's logits for all rows at once, read by plain transformers."""
    read = tokenizer(texts, pairs, padding=True, truncation=True, max_length=MAX_LENGTH, return_tensors="pt")
    return model(**read).logits.numpy()


def texts_of(rows: int, seed: int, shortest: int = 3, longest: int = 12) -> list[str]:
    lengths = np.random.default_rng(seed).integers(shortest, longest + 1, rows)
    return sentences(lengths.tolist(), seed=seed)


def _random(auto_class: str, layers: int, settings: Mapping[str, Any], **head: Any) -> PreTrainedModel:
    config = FAMILIES["bert"](num_hidden_layers=layers, **{**WIDE, **head, **settings})
    return _seeded(lambda: getattr(transformers, auto_class).from_config(config))


def _seeded(build: Callable[[], PreTrainedModel]) -> PreTrainedModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return build().eval()


def _write_csv(file: Path, rows: list[dict[str, Any]]) -> None:
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)


# ---- Several labels ----


def _names(names: tuple[str, ...]) -> dict[str, Any]:
    return {
        "num_labels": len(names),
        "id2label": dict(enumerate(names)),
        "label2id": {n: i for i, n in enumerate(names)},
    }


def labels_model(layers: int, settings: Mapping[str, Any]) -> PreTrainedModel:
    head = {**_names(LABELS), "problem_type": "multi_label_classification"}
    return _random("AutoModelForSequenceClassification", layers, settings, **head)


def write_labels(file: Path, model: PreTrainedModel, tokenizer, rows: int, seed: int) -> None:
    texts = texts_of(rows, seed)
    flags = (answers(model, tokenizer, texts) >= 0).astype(int)
    _write_csv(
        file, [{"text": text, **dict(zip(LABELS, row, strict=True))} for text, row in zip(texts, flags, strict=True)]
    )


# ---- Tags ----


def tags_model(layers: int, settings: Mapping[str, Any]) -> PreTrainedModel:
    return _random("AutoModelForTokenClassification", layers, settings, **_names(TAGS))


def write_tags(file: Path, model: PreTrainedModel, tokenizer, rows: int, seed: int) -> None:
    """Each word is one token, behind the first of all."""
    texts = texts_of(rows, seed)
    places = answers(model, tokenizer, texts).argmax(axis=2)[:, 1:]
    blocks = [
        "".join(f"{word} {TAGS[tag]}\n" for word, tag in zip(text.split(), row, strict=False))
        for text, row in zip(texts, places, strict=True)
    ]
    file.write_text("\n".join(blocks))


# ---- Questions ----


def questions_model(layers: int, settings: Mapping[str, Any]) -> PreTrainedModel:
    return _random("AutoModelForQuestionAnswering", layers, settings, num_labels=2)


def write_questions(file: Path, model: PreTrainedModel, tokenizer, rows: int, seed: int) -> None:
    """In the end the answers are those that the model gives to the contexts, over all their windows."""
    contexts, questions = texts_of(rows, seed, 8, 40), texts_of(rows, seed + 50, 2, 4)
    found = {str(row): context.split()[0] if row else "" for row, context in enumerate(contexts)}
    for _ in range(2):
        paragraphs = [
            {"context": context, "qas": [{"id": str(row), "question": question, **_answer(context, found[str(row)])}]}
            for row, (context, question) in enumerate(zip(contexts, questions, strict=True))
        ]
        articles = [{"title": str(row), "paragraphs": [one]} for row, one in enumerate(paragraphs)]
        file.write_text(json.dumps({"version": "2.0", "data": articles}))
        predictions = file.with_name("predictions.json")
        data = DataConfig(source=str(file), task="question_answering", max_length=MAX_LENGTH)
        codir.examine(str(file.parent / "model"), data, predictions=predictions)
        found = json.loads(predictions.read_text())


def _answer(context: str, text: str) -> dict[str, Any]:
    is_there = [{"text": text, "answer_start": context.index(text)}] if text else []
    return {"answers": is_there, "is_impossible": not text}


# ---- Candidates ----


def ranking_model(layers: int, settings: Mapping[str, Any]) -> PreTrainedModel:
    head = {"num_labels": 1, "problem_type": "regression", "codir_task": "reranking"}
    return _random("AutoModelForSequenceClassification", layers, settings, **head)


def write_ranking(file: Path, model: PreTrainedModel, tokenizer, rows: int, seed: int) -> None:
    """Two, four or six candidates of each query; the best one, and the better half of all, are relevant."""
    of_query = [query for query in range(rows) for _ in range((2, 4, 6)[query % 3])][:rows]
    texts = texts_of(rows, seed, 2, 4)
    queries = [texts[query] for query in of_query]
    candidates = texts_of(rows, seed + 50)
    scores = answers(model, tokenizer, queries, candidates)[:, 0]
    best = np.array([max(scores[place] for place, other in enumerate(of_query) if other == one) for one in of_query])
    relevance = (scores >= np.median(scores)).astype(int) + (scores == best)
    _write_csv(
        file,
        [
            {"query": query, "document": candidate, "score": score, "query_id": f"q{number}"}
            for number, query, candidate, score in zip(of_query, queries, candidates, relevance, strict=True)
        ],
    )


# ---- Vectors ----


def vectors_model(layers: int, settings: Mapping[str, Any]) -> PreTrainedModel:
    config = FAMILIES["bert"](num_hidden_layers=layers, **{**WIDE, **settings})
    note_shape(config, SentenceShape(max_length=MAX_LENGTH))
    return _seeded(lambda: SentenceEncoder(config))


def write_vectors(file: Path, model: PreTrainedModel, tokenizer, rows: int, seed: int) -> None:
    first, second = texts_of(rows, seed), texts_of(rows, seed + 50)
    cosines = (answers(model, tokenizer, first) * answers(model, tokenizer, second)).sum(axis=1)
    _write_csv(
        file,
        [
            {"text": one, "text_pair": two, "score": round(float(cosine), 6)}
            for one, two, cosine in zip(first, second, cosines, strict=True)
        ],
    )


@dataclass(frozen=True)
class World:
    """How a kind's model and rows are made.

    Attributes:
        build: a model, from its layers and settings of its configuration.
        write: a file, from a model, its tokenizer, a number of rows and a seed.
        suffix: of the file.
        columns: what `data` says of them.
        preset: that every kind's student can be distilled with, or the nearest to it.
    """

    build: Callable[[int, Mapping[str, Any]], PreTrainedModel]
    write: Callable[[Path, PreTrainedModel, PreTrainedTokenizerBase, int, int], None]
    suffix: str
    columns: Mapping[str, Any]
    preset: str = "kd"


WORLDS: Mapping[str, World] = {
    "multi_label": World(labels_model, write_labels, ".csv", {"label_column": [*LABELS]}),
    "token_classification": World(tags_model, write_tags, ".conll", {}),
    "question_answering": World(questions_model, write_questions, ".json", {}),
    "reranking": World(ranking_model, write_ranking, ".csv", {}, preset="rerank-listwise"),
    "embedding": World(vectors_model, write_vectors, ".csv", {}, preset="embed-cosine"),
}
"""By the name of the kind."""
