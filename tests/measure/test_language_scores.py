"""The exam for language models: the same numbers whatever the order of the models, and pairs of few vectors."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

import codir.measure.language as language
from codir.data import MaskingCollator
from codir.measure import examine_language_models, uniformity
from codir.signals import Batch, Representation
from conftest import make_texts
from families import tiny_language_model


@pytest.fixture
def batches(tokenizer) -> list[tuple[Batch, Batch]]:
    """Two batches of texts, each masked in two ways."""
    texts = make_texts(12, kind="none")["text"]
    rows = [{"input_ids": tokenizer(text)["input_ids"], "example_index": row} for row, text in enumerate(texts)]
    views = [MaskingCollator(tokenizer, seed=seed) for seed in (0, 1)]
    return [tuple(Batch.from_collated(view(rows[start : start + 6])) for view in views) for start in (0, 6)]


@pytest.fixture
def models() -> dict:
    return {name: tiny_language_model("bert", layers=2, seed=seed) for seed, name in enumerate(("student", "teacher"))}


def test_a_distance_to_the_teacher_that_depends_on_the_order_of_the_models(batches, models):
    found = examine_language_models(models, batches)
    total, tokens = 0.0, 0
    for batch, _ in batches:
        with torch.no_grad():
            p, q = (
                F.softmax(models[name](**batch.model_inputs).logits[batch.predicted].double(), dim=-1)
                for name in ("teacher", "student")
            )
        total, tokens = total + float((p * (p / q).log()).sum()), tokens + len(p)
    assert list(found) == ["student", "teacher"]
    assert found["student"]["kl"] == pytest.approx(total / tokens, rel=1e-4)
    assert "kl" not in found["teacher"]
    assert found["student"]["perplexity"] == pytest.approx(math.exp(found["student"]["loss"]))
    assert found == examine_language_models(dict(reversed(models.items())), batches)


def test_pairs_of_more_vectors_than_fit_in_memory(batches, models, monkeypatch):
    """Of 12 sequences, every third is compared with every other where four are as many as may be."""
    asked = []
    monkeypatch.setattr(language, "MOST_SPREAD", 4)
    monkeypatch.setattr(language, "uniformity", lambda vectors: asked.append(vectors) or uniformity(vectors))
    examine_language_models({"student": models["student"]}, batches)
    layer, every = Representation("last", "mean"), []
    with torch.no_grad():
        for batch, _ in batches:
            _, pooled, *_ = language.run_model(
                models["student"], batch.model_inputs, pooled=[layer], predicted=batch.predicted
            )
            every.append(F.normalize(pooled[layer][:, 0], dim=-1))
    assert len(asked) == 1
    assert torch.equal(asked[0], torch.cat(every)[::3])
