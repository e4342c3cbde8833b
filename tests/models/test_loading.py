"""Folders that load in silence and answer nonsense: no tokenizer files, weights that do not fit their config."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertTokenizer

from codir.errors import UserError
from codir.models import load_language_model, load_model, load_tokenizer
from codir.student import build_student, student_origin
from conftest import SPECIAL, WORDS
from families import FAMILIES, tiny_classifier, tiny_language_model

NO_TOKENIZER = {"modernbert", "llama"}
"""Types for which transformers itself refuses to make a tokenizer up."""


LOADERS = {
    "evaluate": load_model,
    "finetune": lambda folder, tokenizer: load_model(folder, tokenizer, head={"num_labels": 5}),
    "teacher of pretrain": lambda folder, _: load_language_model(folder),
    "student of pretrain": lambda folder, _: load_language_model(folder, needs_head=False),
    "checkpoint": lambda folder, _: build_student(tiny_classifier("bert", num_labels=2), checkpoint=folder),
    "checkpoint for pretrain": lambda folder, _: build_student(tiny_language_model("bert"), checkpoint=folder),
}


def saved(model, folder: Path, **changes) -> Path:
    """A folder whose config says other things than its weights."""
    model.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))
    BertTokenizer(vocab={word: i for i, word in enumerate(SPECIAL + WORDS)}).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("family", FAMILIES)
def test_a_folder_without_tokenizer_files(tmp_path, family):
    tiny_classifier(family).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="tokenizer: expected") as refused:
        load_tokenizer(tmp_path)
    assert ("special tokens only" in str(refused.value)) == (family not in NO_TOKENIZER)


@pytest.mark.parametrize(
    "change",
    [
        {"intermediate_size": 128},
        {"vocab_size": 120},
        {"max_position_embeddings": 32},
        {"num_hidden_layers": 2},
        {"num_hidden_layers": 6},
    ],
    ids=lambda change: next(iter(change)),
)
@pytest.mark.parametrize("load", LOADERS)
def test_weights_that_do_not_fit_their_config(tmp_path, tokenizer, change, load):
    is_language = "pretrain" in load
    model = tiny_language_model("bert") if is_language else tiny_classifier("bert", num_labels=2)
    folder = saved(model, tmp_path / "broken", **change)
    with pytest.raises(UserError, match=r"weights of the sizes that its config\.json says"):
        LOADERS[load](folder, tokenizer)


def test_a_body_that_lacks_weights(tmp_path, tokenizer):
    folder = saved(tiny_classifier("bert", num_labels=2), tmp_path)
    weights = load_file(folder / "model.safetensors")
    gone = "bert.encoder.layer.1.output.dense.weight"
    save_file({k: v for k, v in weights.items() if k != gone}, folder / "model.safetensors", metadata={"format": "pt"})
    for head in (None, {"num_labels": 2}):
        with pytest.raises(UserError, match=f"got no {gone}"):
            load_model(folder, tokenizer, head=head)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_new_head_that_is_refused(tmp_path, tokenizer, family):
    """Of another size, over a body of any family; the body's weights are the saved ones."""
    model = tiny_classifier(family, num_labels=2)
    model.save_pretrained(tmp_path)
    loaded = load_model(tmp_path, tokenizer, head={"num_labels": 5})
    assert loaded.config.num_labels == 5
    body = dict(model.base_model.named_parameters())
    for name, weights in loaded.base_model.named_parameters():
        assert torch.equal(weights, body[name]), name
    student = build_student(tiny_classifier(family, num_labels=4), checkpoint=tmp_path)
    assert "new, with random weights" in str(student_origin(student))


def test_a_language_model_that_cannot_become_a_classifier(tmp_path, tokenizer):
    """BERT without a pooler, as masked-LM training leaves it."""
    tiny_language_model("bert").save_pretrained(tmp_path)
    assert load_model(tmp_path, tokenizer, head={"num_labels": 3}).config.num_labels == 3
