"""Pooling against plain loops; padding must never count."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codir.errors import UserError
from codir.signals import Representation, masked_mean, pool_representations, resolve_layers, token_at
from families import FAMILIES, PAD_TOKEN_ID, tiny_classifier


def mean_by_hand(hidden, mask):
    rows = []
    for row, keep in zip(hidden, mask, strict=True):
        total, count = [0.0] * hidden.shape[2], 0
        for vector, is_real in zip(row, keep, strict=True):
            if is_real:
                total = [a + float(b) for a, b in zip(total, vector, strict=True)]
                count += 1
        rows.append([value / max(count, 1) for value in total])
    return torch.tensor(rows)


@settings(max_examples=25, deadline=None)
@given(batch=st.integers(1, 4), tokens=st.integers(1, 6), hidden=st.integers(1, 5), seed=st.integers(0, 1000))
def test_a_mean_that_differs_from_a_plain_loop(batch, tokens, hidden, seed):
    generator = torch.Generator().manual_seed(seed)
    states = torch.randn(batch, tokens, hidden, generator=generator)
    mask = torch.rand(batch, tokens, generator=generator) > 0.4
    assert torch.allclose(masked_mean(states, mask), mean_by_hand(states, mask), atol=1e-5)


def test_a_bf16_mean_summed_in_bf16():
    states = torch.full((1, 512, 1), 1.0 + 2**-7, dtype=torch.bfloat16)
    assert masked_mean(states, torch.ones(1, 512, dtype=torch.bool)).item() == 1.0 + 2**-7


@pytest.mark.parametrize(("position", "expected"), [("first", [0.0, 2.0]), ("last", [1.0, 3.0])])
def test_a_padding_token_taken_for_the_sequences_own(position, expected):
    states = torch.arange(4.0).repeat(2, 1).unsqueeze(2)
    mask = torch.tensor([[True, True, False, False], [False, False, True, True]])
    assert token_at(states, mask, position).squeeze(1).tolist() == expected


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_pooled_layers_that_change_with_padding(family, pooling):
    model = tiny_classifier(family).eval()
    ids = torch.randint(5, 90, (2, 6), generator=torch.Generator().manual_seed(0))
    pooled = []
    for padding in (0, 3):
        padded = torch.nn.functional.pad(ids, (0, padding), value=PAD_TOKEN_ID)
        mask = torch.nn.functional.pad(torch.ones_like(ids), (0, padding))
        with torch.no_grad():
            states = model(input_ids=padded, attention_mask=mask, output_hidden_states=True).hidden_states
        asked = Representation((1, 2, 3, 4), pooling)
        pooled.append(pool_representations(states, mask.bool(), [asked])[asked])
    assert pooled[0].shape[1] == 4
    assert torch.allclose(*pooled, atol=1e-5)


@pytest.mark.parametrize("choice", [(0,), (5,), (), (1, 9)])
def test_a_layer_that_the_model_does_not_have(choice):
    with pytest.raises(UserError, match="layer numbers between 1 and 4"):
        resolve_layers(choice, 4)
