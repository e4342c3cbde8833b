"""Attention with cheaper dropout masks: what PyTorch's attention computes, mask and scale included."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codir.speed import attention
from codir.speed.attention import attention_with_fast_dropout


class Layer(nn.Module):
    is_causal = False


def inputs(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 3, 5, 4).to(dtype) for _ in range(3))
    mask = torch.ones(2, 1, 5, 5, dtype=torch.bool)
    mask[1, :, :, 3:] = False
    return query, key, value, mask


@pytest.mark.parametrize("is_additive", [False, True])
@pytest.mark.parametrize("scaling", [None, 0.3])
def test_values_differ_where_nothing_is_dropped(
    monkeypatch: pytest.MonkeyPatch, is_additive: bool, scaling: float | None
) -> None:
    monkeypatch.setattr(attention, "fast_dropout", lambda x, p: x)
    query, key, value, mask = inputs()
    given = torch.zeros(mask.shape).masked_fill(~mask, -1e9) if is_additive else mask
    output, _ = attention_with_fast_dropout(Layer(), query, key, value, given, dropout=0.1, scaling=scaling)
    expected = F.scaled_dot_product_attention(query, key, value, attn_mask=given, scale=scaling)
    assert torch.allclose(output.transpose(1, 2), expected, atol=1e-6)


def test_bf16_is_farther_off_than_pytorchs_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "fast_dropout", lambda x, p: x)
    query, key, value, mask = inputs(torch.bfloat16)
    output, _ = attention_with_fast_dropout(Layer(), query, key, value, mask, dropout=0.1)
    exact = F.scaled_dot_product_attention(query.double(), key.double(), value.double(), attn_mask=mask)
    assert (output.transpose(1, 2) - exact).abs().max() < 0.02 * exact.abs().max()


def test_the_mean_over_masks_is_not_the_attention_without_dropout() -> None:
    query, key, value, mask = inputs()
    expected = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    draws = torch.stack(
        [attention_with_fast_dropout(Layer(), query, key, value, mask, dropout=0.2)[0] for _ in range(4000)]
    )
    error = draws.mean(dim=0).transpose(1, 2) - expected
    standard_error = draws.std(dim=0).transpose(1, 2) / 4000**0.5
    assert (error.abs() < 5 * standard_error + 1e-6).all()


def test_causal_attention_without_a_mask_sees_the_future() -> None:
    class Causal(nn.Module):
        is_causal = True

    query, key, value, _ = inputs()
    torch.manual_seed(1)
    output, _ = attention_with_fast_dropout(Causal(), query, key, value, None, dropout=0.1)
    torch.manual_seed(1)
    expected = F.scaled_dot_product_attention(query, key, value, dropout_p=0.1, is_causal=True)
    assert torch.equal(output.transpose(1, 2), expected)
