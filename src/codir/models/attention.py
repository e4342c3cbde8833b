"""Queries, keys and values of every layer, taken where a model hands them to transformers' attention function.

What a model attends with need not be written out as probabilities for this: it goes on using its fast attention, and an
objective computes scores from queries and keys where it wants any. Knows one model; knows nothing of objectives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel

from codir.errors import UserError
from codir.signals import AttentionInputs


@contextmanager
def capture_attention(model: PreTrainedModel) -> Iterator[list[AttentionInputs]]:
    """Note what every layer attends with while the block runs, in the order of the layers, in fp32, with gradients.

    The function that transformers has registered under the model's attention is replaced by one that notes and calls
    it. It is put back before any backward pass, so a checkpointed layer that runs again is not noted twice.

    Raises:
        UserError: the model does not attend through a registered function.

    Example:
        >>> from transformers import BertConfig, BertModel
        >>> sizes = {"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 3, "intermediate_size": 8}
        >>> model = BertModel(BertConfig(**sizes, vocab_size=9))
        >>> with capture_attention(model) as captured:
        ...     output = model(input_ids=torch.tensor([[1, 2, 3, 4, 5]]))
        >>> len(captured), captured[0].query.shape
        (3, torch.Size([1, 2, 5, 4]))
    """
    name = model.config._attn_implementation
    attend = AttentionInterface().get(name)
    if attend is None:
        raise _not_captured(model)
    captured: list[AttentionInputs] = []
    AttentionInterface.register(name, partial(_note_and_attend, captured, attend))
    try:
        yield captured
    finally:
        AttentionInterface.register(name, attend)


@torch.no_grad()
def check_attention(model: PreTrainedModel) -> None:
    """Refuse a model whose attention cannot be captured, one layer at a time: two tokens through it will tell.

    Raises:
        UserError: its attention cannot be captured.
    """
    with capture_attention(model) as captured:
        model.base_model(input_ids=torch.ones(1, 2, dtype=torch.long, device=model.device))
    if len(captured) != model.config.num_hidden_layers:
        raise _not_captured(model)


def _note_and_attend(
    captured: list[AttentionInputs],
    attend: Callable[..., Any],
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *args: Any,
    **kwargs: Any,
) -> Any:
    captured.append(_inputs_of(query, key, value, kwargs.get("scaling")))
    return attend(module, query, key, value, *args, **kwargs)


def _inputs_of(query: Tensor, key: Tensor, value: Tensor, scaling: float | None) -> AttentionInputs:
    """Grouped keys and values are repeated to the query's heads; views and casts alone, which save nothing."""
    groups = query.shape[1] // key.shape[1]
    key, value = (_repeat_heads(tensor, groups).float() for tensor in (key, value))
    return AttentionInputs(query.float(), key, value, query.shape[-1] ** -0.5 if scaling is None else scaling)


def _repeat_heads(tensor: Tensor, groups: int) -> Tensor:
    return tensor.unsqueeze(2).expand(-1, -1, groups, -1, -1).flatten(1, 2)


def _not_captured(model: PreTrainedModel) -> UserError:
    presets = "take objectives that need no attention: presets `codir`, `kd`, `pooled-mse`"
    can_be_loaded_so = getattr(model, "_supports_sdpa", False) and model.config._attn_implementation == "eager"
    return UserError(
        "attention",
        expected="a model that computes its attention through transformers' attention interface, for objectives that "
        "compare attention",
        got=f"{type(model).__name__} with `{model.config._attn_implementation}` attention, which does not",
        do=f'load it with `attn_implementation="sdpa"`, or {presets}' if can_be_loaded_so else presets,
    )
