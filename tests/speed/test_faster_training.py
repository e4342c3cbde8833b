"""While training lasts, the cheaper parts are in; afterwards, and on disk, nothing of them is left."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import AutoModelForSequenceClassification, BertConfig, BertForSequenceClassification

from codir.speed import FastDropout, RowGradientEmbedding, faster_training, training
from codir.speed.attention import ATTENTION_NAME


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> BertForSequenceClassification:
    monkeypatch.setattr(training, "LARGE_TABLE", 30)
    torch.manual_seed(0)
    size = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 30}
    return BertForSequenceClassification(BertConfig(num_hidden_layers=2, max_position_embeddings=20, **size)).train()


def kinds(model: nn.Module) -> list[type[nn.Module]]:
    return [type(module) for module in model.modules()]


def batch() -> dict[str, torch.Tensor]:
    ids = torch.randint(1, 30, (4, 7), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[0, 5:] = 0
    return {"input_ids": ids, "attention_mask": mask, "labels": torch.tensor([0, 1, 1, 0])}


def test_nothing_is_exchanged_or_something_stays(model: BertForSequenceClassification) -> None:
    before = kinds(model)
    with faster_training(model):
        during = kinds(model)
        assert during.count(FastDropout) == before.count(nn.Dropout) > 0
        assert isinstance(model.get_input_embeddings(), RowGradientEmbedding)
        assert model.config._attn_implementation == ATTENTION_NAME
    assert kinds(model) == before
    assert model.config._attn_implementation == "sdpa"


def test_gradients_differ_where_nothing_is_dropped(model: BertForSequenceClassification) -> None:
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    model(**batch()).loss.backward()
    plain = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    with faster_training(model):
        model(**batch()).loss.backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert torch.allclose(parameter.grad, plain[name], atol=1e-6), name


def test_a_checkpoint_written_meanwhile_names_codirs_attention(
    model: BertForSequenceClassification, tmp_path: Path
) -> None:
    with faster_training(model):
        model.save_pretrained(tmp_path)
    assert ATTENTION_NAME not in (tmp_path / "config.json").read_text()
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert loaded.config._attn_implementation == "sdpa"


def test_processes_that_share_gradients_lose_the_embeddings(model: BertForSequenceClassification) -> None:
    with faster_training(model, one_process=False):
        assert type(model.get_input_embeddings()) is nn.Embedding


def test_a_table_that_is_also_an_output_matrix_is_written_from_two_sides(
    model: BertForSequenceClassification,
) -> None:
    model.classifier = nn.Linear(16, 30, bias=False)
    model.classifier.weight = model.get_input_embeddings().weight
    with faster_training(model):
        assert type(model.get_input_embeddings()) is nn.Embedding


def test_a_frozen_table_gets_a_gradient(model: BertForSequenceClassification) -> None:
    model.get_input_embeddings().weight.requires_grad_(False)
    with faster_training(model):
        model(**batch()).loss.backward()
    assert model.get_input_embeddings().weight.grad is None


def test_an_error_leaves_the_parts_in(model: BertForSequenceClassification) -> None:
    before = kinds(model)
    with pytest.raises(RuntimeError, match="stop"), faster_training(model):
        raise RuntimeError("stop")
    assert kinds(model) == before
