"""Put the cheaper parts into a model for as long as it trains, and take them out again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from transformers import PreTrainedModel

from codir.speed.attention import ATTENTION_NAME
from codir.speed.dropout import FastDropout
from codir.speed.embedding import RowGradientEmbedding

LARGE_TABLE = 4096
"""Rows from which on an embedding's gradient is worth keeping."""


@contextmanager
def faster_training(model: PreTrainedModel, *, one_process: bool = True) -> Iterator[None]:
    """Train `model` on the CPU with cheaper dropout masks and row-wise embedding gradients, then leave it as it was.

    Losses and gradients are the same; dropout's masks are others, of the same distribution. Elsewhere than on the CPU
    nothing changes: there both cost nothing.

    Args:
        model: parameters, names and saved files stay as they are.
        one_process: whether no other process shares the gradients; embeddings stay as they are otherwise.
    """
    if model.device.type != "cpu":
        yield
        return
    was: dict[nn.Module, type[nn.Module]] = {}
    for module in model.modules():
        if type(module) is nn.Dropout:
            was[module], module.__class__ = nn.Dropout, FastDropout
    tables = [module for module in model.modules() if one_process and _keeps_rows(module, model)]
    for table in tables:
        was[table], table.__class__ = nn.Embedding, RowGradientEmbedding
    attention = model.config._attn_implementation
    if attention == "sdpa":
        model.set_attn_implementation(ATTENTION_NAME)
    try:
        yield
    finally:
        for table in tables:
            table.forget_table()
        for module, kind in was.items():
            module.__class__ = kind
        if attention == "sdpa":
            model.set_attn_implementation(attention)


def _keeps_rows(module: nn.Module, model: nn.Module) -> bool:
    if type(module) is not nn.Embedding or module.num_embeddings < LARGE_TABLE or not module.weight.requires_grad:
        return False
    owners = Counter(id(parameter) for part in model.modules() for parameter in part.parameters(recurse=False))
    is_plain = module.max_norm is None and not module.scale_grad_by_freq and not module.sparse
    return is_plain and owners[id(module.weight)] == 1
