"""What is captured must be what the model attends with: its own probabilities are the oracle."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from transformers import AttentionInterface, PreTrainedModel

from codir.errors import UserError
from codir.models import capture_attention, check_attention, run_model
from codir.speed import faster_training
from codir.speed.attention import ATTENTION_NAME
from families import FAMILIES, PAD_TOKEN_ID, tiny_classifier

CAPTURED = ("bert", "roberta", "xlm-roberta", "distilbert", "electra", "albert", "modernbert", "gpt2", "llama", "qwen2")
CAUSAL = ("gpt2", "llama", "qwen2")
WINDOWED = ("modernbert", "qwen2")


def padded_batch() -> dict[str, Tensor]:
    ids = torch.randint(5, 90, (3, 9), generator=torch.Generator().manual_seed(0))
    mask = torch.arange(9) < torch.tensor([[9], [6], [3]])
    return {"input_ids": ids.where(mask, PAD_TOKEN_ID), "attention_mask": mask.long()}


def probabilities(layer, allowed: Tensor) -> Tensor:
    scores = layer.query @ layer.key.transpose(2, 3) * layer.scaling
    return torch.softmax(scores.masked_fill(~allowed, torch.finfo(scores.dtype).min), dim=-1)


def with_eager(model: PreTrainedModel) -> PreTrainedModel:
    model.set_attn_implementation("eager")
    return model


def with_large_weights(family: str) -> PreTrainedModel:
    """A model whose attention is not even, so that a wrong scaling or head shows."""
    model = tiny_classifier(family)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 2 and "embed" not in name:
                parameter.mul_(10)
    return model


@pytest.mark.parametrize("family", CAPTURED)
def test_captured_inputs_that_are_not_what_the_model_attends_with(family):
    """Softmax of scores and mask against the `attentions` that the same model writes out with eager attention."""
    model, inputs = with_large_weights(family), padded_batch()
    with torch.no_grad():
        _, _, tokens, _ = run_model(model, inputs, attention=True)
        attentions = with_eager(model)(**inputs, output_attentions=True).attentions
    assert len(tokens.attention) == len(attentions) == 4
    real = tokens.mask
    assert torch.equal(real, inputs["attention_mask"].bool())
    for layer, expected in zip(tokens.attention, attentions, strict=True):
        assert layer.query.shape == layer.key.shape == layer.value.shape == (3, 4, 9, 8)
        allowed = (expected > 0).any(dim=1, keepdim=True) if family in WINDOWED else real[:, None, None, :]
        if family in CAUSAL:
            allowed = allowed & torch.ones(9, 9, dtype=torch.bool).tril()
        found = probabilities(layer, allowed)
        rows = real[:, None, :, None].expand_as(found)  # a padding token attends to anything
        assert torch.allclose(found[rows], expected[rows], atol=1e-5)
        assert expected[rows].std() > 0.05


@pytest.mark.parametrize("family", ["bert", "gpt2", "llama"])
def test_values_that_are_not_what_is_attended_to(family):
    """One layer's output, from the captured values, against the input of its output map."""
    model, inputs = with_large_weights(family), padded_batch()
    output_map = {"bert": "bert.encoder.layer.3.attention.output.dense", "gpt2": "transformer.h.3.attn.c_proj"}
    seen: list[Tensor] = []
    module = model.get_submodule(output_map.get(family, "model.layers.3.self_attn.o_proj"))
    module.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    with torch.no_grad():
        _, _, tokens, _ = run_model(model, inputs, attention=True)
    allowed = tokens.mask[:, None, None, :]
    if family in CAUSAL:
        allowed = allowed & torch.ones(9, 9, dtype=torch.bool).tril()
    mixed = (probabilities(tokens.attention[3], allowed) @ tokens.attention[3].value).transpose(1, 2).flatten(2)
    assert torch.allclose(mixed[tokens.mask], seen[0][tokens.mask], atol=1e-4)


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - set(CAPTURED)))
def test_a_model_whose_attention_is_out_of_reach(family):
    with pytest.raises(UserError, match=r"attention interface.*presets `codir`, `kd`, `pooled-mse`"):
        check_attention(tiny_classifier(family))


@pytest.mark.parametrize("family", CAPTURED)
def test_a_model_refused_whose_attention_can_be_captured(family):
    check_attention(tiny_classifier(family).train())


def test_an_eager_model_whose_remedy_is_not_told():
    with pytest.raises(UserError, match='attn_implementation="sdpa"'):
        check_attention(with_eager(tiny_classifier("bert")))


def test_a_function_that_stays_replaced():
    before, model = AttentionInterface()["sdpa"], tiny_classifier("bert")
    with pytest.raises(IndexError), capture_attention(model):  # noqa: PT012 - the block has to fail inside
        assert AttentionInterface()["sdpa"] is not before
        model(input_ids=torch.tensor([[10**6]]))
    assert AttentionInterface()["sdpa"] is before


def gradients_of_queries(model: PreTrainedModel) -> dict[str, Tensor]:
    """Gradients of a loss on the last layer's queries, keys and values alone."""
    torch.manual_seed(0)
    model.zero_grad()
    _, _, tokens, _ = run_model(model, padded_batch(), attention=True)
    assert len(tokens.attention) == 4
    last = tokens.attention[-1]
    sum(tensor[tokens.mask[:, None, :].expand(tensor.shape[:3])].square().mean() for tensor in vars_of(last)).backward()
    assert len(tokens.attention) == 4
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def vars_of(layer) -> list[Tensor]:
    return [layer.query, layer.key, layer.value]


@pytest.mark.parametrize("family", ["bert", "distilbert", "llama"])
@pytest.mark.parametrize("is_half", [False, True])
def test_layers_that_a_checkpointed_model_notes_twice_or_gives_no_gradient(family, is_half):
    model = tiny_classifier(family).train()
    with torch.autocast("cpu", torch.bfloat16, enabled=is_half):
        plain = gradients_of_queries(model)
        model.activation_checkpointing_enable()
        checkpointed = gradients_of_queries(model)
    assert plain.keys() == checkpointed.keys()
    assert len(plain) > 5
    for name, gradient in plain.items():
        assert torch.allclose(gradient, checkpointed[name], atol=1e-6), name


def test_queries_lost_beside_the_attention_of_faster_training():
    model = tiny_classifier("bert").train()
    with faster_training(model):
        assert model.config._attn_implementation == ATTENTION_NAME
        faster = gradients_of_queries(model)
    assert any("layer.3.attention.self.query" in name for name in faster)
    assert not any("classifier" in name for name in faster)


def test_half_precision_that_reaches_the_objectives():
    model, inputs = tiny_classifier("llama"), padded_batch()
    with torch.no_grad():
        _, _, exact, _ = run_model(model, inputs, hidden_states=True, attention=True)
    with torch.autocast("cpu", torch.bfloat16):
        _, _, tokens, _ = run_model(model, inputs, hidden_states=True, attention=True)
    assert {t.dtype for t in (*tokens.hidden_states, *vars_of(tokens.attention[0]))} == {torch.float32}
    assert tokens.attention[3].query.requires_grad
    assert len(tokens.hidden_states) == 5
    for found, expected in zip(vars_of(tokens.attention[3]), vars_of(exact.attention[3]), strict=True):
        assert torch.allclose(found, expected, atol=0.05 * expected.abs().max().item())
