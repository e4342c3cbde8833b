"""Small models with something to say, rows that they label themselves, and what `codir export` makes of them.

Random weights are drawn wider than usual, so that answers differ from row to row and rounding can turn them. Labels are
a model's own answers: it scores 100%, and every answer that an export turns is a point lost.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from codir.config import ExportConfig, validate
from codir.student import BiLSTMConfig, BiLSTMForSequenceClassification
from conftest import WORDS, make_texts
from families import VOCAB_SIZE, tiny_classifier

WIDE = {"initializer_range": 0.4}
MAX_LENGTH = 32


def sharp_classifier(family: str = "bert", **settings: Any) -> PreTrainedModel:
    """A random classifier whose answers depend on the text."""
    return tiny_classifier(family, **{"layers": 2, "num_labels": 2, "seed": 3, **WIDE, **settings})


def recurrent_classifier() -> PreTrainedModel:
    """A tiny recurrent student."""
    torch.manual_seed(0)
    sizes = {"vocab_size": VOCAB_SIZE, "hidden_size": 12, "num_hidden_layers": 2, "num_labels": 3}
    return BiLSTMForSequenceClassification(BiLSTMConfig(**sizes)).eval()


def with_outliers(model: PreTrainedModel, layer: int) -> PreTrainedModel:
    """Give one layer of a BERT, whatever its head, weights that no 8 bits can hold beside its others.

    Answers in fp32 do not depend on them: they multiply a feature that is always 0, and every output of the layer has
    one.
    """
    block = model.base_model.encoder.layer[layer]
    with torch.no_grad():
        block.attention.output.LayerNorm.weight[5] = 0.0
        block.attention.output.LayerNorm.bias[5] = 0.0
        block.intermediate.dense.weight[:, 5] = 500.0
    return model


def sentences(lengths: list[int], seed: int = 0) -> list[str]:
    """Texts of so many words each."""
    rng = np.random.default_rng(seed)
    return [" ".join(WORDS[i] for i in rng.integers(0, len(WORDS), size=length)) for length in lengths]


def ask(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: list[str], pairs: list[str] | None = None
) -> np.ndarray:
    """Logits by PyTorch, each row alone, so without padding."""
    found = []
    for row, text in enumerate(texts):
        pair = None if pairs is None else pairs[row]
        encoded = tokenizer(text, pair, return_tensors="pt", truncation=True, max_length=MAX_LENGTH)
        with torch.no_grad():
            found.append(model(**encoded).logits[0].numpy())
    return np.stack(found)


def labelled_rows(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, count: int, *, seed: int = 0, pairs: bool = False
) -> datasets.Dataset:
    """Rows with the model's own answers as labels."""
    texts = list(make_texts(count, seed=seed)["text"])
    seconds = list(make_texts(count, seed=seed + 100)["text"]) if pairs else None
    logits = ask(model, tokenizer, texts, seconds)
    is_score = logits.shape[1] == 1
    labels = [round(float(row[0]), 4) for row in logits] if is_score else [int(row.argmax()) for row in logits]
    content: dict[str, Any] = {"text": texts, "label": labels}
    return datasets.Dataset.from_dict(content | ({"text_pair": seconds} if seconds else {}))


def make_world(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, **rows: Any) -> Path:
    """`student/`, `train.csv` and `dev.csv` in a folder."""
    model.save_pretrained(folder / "student")
    tokenizer.save_pretrained(folder / "student")
    labelled_rows(model, tokenizer, 120, seed=1, **rows).to_csv(folder / "train.csv", index=False)
    labelled_rows(model, tokenizer, 100, seed=2, **rows).to_csv(folder / "dev.csv", index=False)
    return folder


def export_config(world: Path, output: Path, **changes: Any) -> ExportConfig:
    """What `runs.export` is given."""
    data = {"source": str(world / "train.csv"), "dev": str(world / "dev.csv"), "max_length": MAX_LENGTH}
    content = {"model": str(world / "student"), "data": data, "calibration_rows": 40, "output_dir": output, **changes}
    return validate(ExportConfig, content)
