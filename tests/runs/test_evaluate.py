"""What an evaluation would get wrong in silence: classes that the data numbers in another way, unknown words."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from transformers import BertTokenizer

import codir
from codir.config import DataConfig
from codir.errors import UserError
from conftest import SPECIAL, WORDS, make_texts
from families import tiny_classifier

CLASSES = 5


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """Answers with the class that a row's first word numbers: `w0` is class 0."""
    folder = tmp_path_factory.mktemp("model")
    made = tiny_classifier("bert", num_labels=CLASSES, layers=1)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.zero_()
        made.bert.embeddings.LayerNorm.weight.fill_(1.0)
        for layer in made.bert.encoder.layer:
            layer.attention.output.LayerNorm.weight.fill_(1.0)
            layer.output.LayerNorm.weight.fill_(1.0)
            layer.attention.self.value.weight.copy_(torch.eye(32))
            layer.attention.output.dense.weight.copy_(torch.eye(32))
        embeddings = made.bert.embeddings.word_embeddings.weight
        for index in range(CLASSES):
            embeddings[len(SPECIAL) + index, index] = 5.0
        made.bert.pooler.dense.weight.copy_(torch.eye(32))
        made.classifier.weight[:, :CLASSES] = torch.eye(CLASSES)
    made.save_pretrained(folder)
    BertTokenizer(vocab={word: i for i, word in enumerate(SPECIAL + WORDS)}).save_pretrained(folder)
    return folder


def write(path: Path, first: int, *, classes: int = CLASSES, lines: int = 40) -> DataConfig:
    """Rows of each class in turn, whose labels count from `first`."""
    rows = [f"w{row % classes} w{row % classes},{row % classes + first}" for row in range(lines)]
    path.write_text("text,label\n" + "\n".join(rows) + "\n")
    return DataConfig(source=str(path), max_length=16)


def test_labels_that_count_from_one_taken_for_indices(tmp_path, model):
    assert codir.evaluate(str(model), write(tmp_path / "rows.csv", 0))["accuracy"] == 1.0
    assert codir.evaluate(str(model), write(tmp_path / "few.csv", 0, classes=4))["accuracy"] == 1.0
    with pytest.raises(UserError, match=r"label order: .* got accuracy 0\.000 .* 1\.000 with its classes renamed"):
        codir.evaluate(str(model), write(tmp_path / "later.csv", 1, classes=4))


def test_texts_of_unknown_words_scored_in_silence(tmp_path, model, caplog):
    data = write(tmp_path / "rows.csv", 0)
    path = Path(data.source)
    path.write_text(path.read_text().replace(",", " zebra zebra,").replace("text zebra zebra,", "text,"))
    with caplog.at_level(logging.WARNING, logger="codir"):
        codir.evaluate(str(model), data)
    assert "50% of the tokens are unknown to the tokenizer" in caplog.text


def test_pairs_that_a_model_cannot_tell_apart(tmp_path, model, tokenizer):
    made = tiny_classifier("roberta", num_labels=2)
    made.config.type_vocab_size = 1
    tiny = type(made)(made.config)
    tiny.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    rows = make_texts(12)
    rows.add_column("text_pair", rows["text"]).to_csv(tmp_path / "rows.csv", index=False)
    with pytest.raises(UserError, match="segment numbers below 1"):
        codir.evaluate(str(tmp_path / "model"), DataConfig(source=str(tmp_path / "rows.csv"), max_length=32))
