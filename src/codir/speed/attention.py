"""Attention with dropout for the CPU, registered with transformers under a name of its own.

PyTorch's fused attention on the CPU has no dropout, and its other path spends more on the dropout's random numbers than
on attention. This is that other path, `softmax(q k^T / sqrt(d) + mask) v` in the same order, with `fast_dropout`.
Where there is nothing to drop, transformers' own function answers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from codir.speed.dropout import can_drop_fast, fast_dropout

ATTENTION_NAME = "sdpa_with_fast_dropout"


def attention_with_fast_dropout(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """Attend as `sdpa` does; the signature is that of transformers' attention functions.

    Args:
        module: the attention layer.
        query: `[batch, heads, tokens, head_dim]`.
        key: the same.
        value: the same.
        attention_mask: true (or 0) where a token may be attended to; `None` where all may.
        dropout: probability for the attention weights.
        scaling: of the scores; `1 / sqrt(head_dim)` by default.
        **kwargs: what `sdpa` takes.
    """
    is_plain = attention_mask is not None or not getattr(module, "is_causal", True)
    is_plain = is_plain and query.shape[1] == key.shape[1] and kwargs.get("position_bias") is None
    if dropout == 0.0 or not is_plain or not can_drop_fast(query):
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    scores = torch.matmul(query * (query.shape[-1] ** -0.5 if scaling is None else scaling), key.transpose(2, 3))
    if attention_mask is not None:
        scores = _masked(scores, attention_mask[..., : key.shape[2]])
    weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(value.dtype)
    output = torch.matmul(fast_dropout(weights, dropout), value)
    return output.transpose(1, 2).contiguous(), None


def _masked(scores: Tensor, mask: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        return scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return scores + mask


AttentionInterface.register(ATTENTION_NAME, attention_with_fast_dropout)
AttentionMaskInterface.register(ATTENTION_NAME, sdpa_mask)
