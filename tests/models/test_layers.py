"""Layers read while a model runs must be those that it would have given at the end, to the bit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from codir.bilstm.config import BiLSTMConfig
from codir.bilstm.model import BiLSTMForSequenceClassification
from codir.models import find_layers, reading_layers, run_model
from codir.signals import Representation
from families import FAMILIES, PAD_TOKEN_ID, tiny_classifier, tiny_language_model

TURNED = "xlnet"
"""Turns the axes of its hidden states around before it gives them."""
ASKED = (Representation("all"), Representation((2, 4), "cls"), Representation("last"))


def padded_batch(*, left: bool = False) -> dict[str, Tensor]:
    ids = torch.randint(5, 90, (3, 9), generator=torch.Generator().manual_seed(0))
    mask = torch.arange(9) < torch.tensor([[9], [6], [3]])
    mask = mask.flip(1) if left else mask
    return {"input_ids": ids.where(mask, PAD_TOKEN_ID), "attention_mask": mask.long()}


def count_hooks(model: PreTrainedModel) -> int:
    return sum(len(module._forward_hooks) for module in model.modules())


def recurrent() -> PreTrainedModel:
    return BiLSTMForSequenceClassification(BiLSTMConfig(vocab_size=100, hidden_size=32, num_hidden_layers=4)).eval()


MODELS: dict[str, Callable[[], PreTrainedModel]] = {
    **{name: (lambda name=name: tiny_classifier(name)) for name in FAMILIES},
    "bilstm": recurrent,
    "a language model that masks": lambda: tiny_language_model("bert"),
    "a language model that goes on": lambda: tiny_language_model("llama"),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.no_grad()
def test_layers_pooled_on_the_way_that_are_not_those_at_the_end(name, dtype):
    model, inputs = MODELS[name](), padded_batch(left=name in {"gpt2", "llama", "qwen2"})
    places = find_layers(model)
    assert (places is None) == (name == TURNED)
    hooks_before = count_hooks(model)  # transformers' own among them
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        expected = run_model(model, inputs, pooled=ASKED)
        found = run_model(model, inputs, pooled=ASKED, places=places)
    assert torch.equal(found[0], expected[0])
    assert found[1].keys() == expected[1].keys() == set(ASKED)
    for asked, vectors in expected[1].items():
        assert torch.equal(found[1][asked], vectors)
    assert count_hooks(model) == hooks_before


@torch.no_grad()
def test_layers_that_are_kept_to_the_end_all_the_same(monkeypatch):
    model, asked = tiny_classifier("bert"), []
    places = find_layers(model)
    forward = type(model).forward
    monkeypatch.setattr(
        type(model),
        "forward",
        lambda self, **given: asked.append(given["output_hidden_states"]) or forward(self, **given),
    )
    run_model(model, padded_batch(), pooled=ASKED, places=places)
    run_model(model, padded_batch(), pooled=ASKED, places=places, hidden_states=True)
    assert asked == [False, True]


def test_a_model_left_in_another_mode_or_with_hooks():
    model = tiny_classifier("bert").train()
    places = find_layers(model)
    assert model.training
    before = count_hooks(model)
    with pytest.raises(IndexError), reading_layers(places, [1, 4], lambda *_: None):  # noqa: PT012 - it has to fail inside
        assert count_hooks(model) == before + 2
        model(input_ids=torch.tensor([[10**6]]))
    assert count_hooks(model) == before


def test_a_layer_read_before_it_is_changed():
    """Its module returns the very tensor that is the hidden state, but with other values."""
    model = recurrent()
    assert find_layers(model) is not None

    class Changing(type(model.bilstm)):
        def forward(self, *args, **kwargs):
            output = super().forward(*args, **kwargs)
            output.hidden_states[2].add_(1.0)
            return output

    model.bilstm.__class__ = Changing
    assert find_layers(model) is None
