"""The head that gives scores: where a new one begins, and how exactly it computes.

A new head begins at the mean of the scores, and in steps of their spread.

A head of small random weights answers about 0 to everything. Where scores lie elsewhere, the first hundred steps would
go into moving one bias there, at a learning rate made for the body. So the head answers `mean + spread * z`, where `z`
is what it would have answered: the model learns scores as if they were standardised, and the saved model gives them as
they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel

from codir.models.shape import kind_of_model


@torch.no_grad()
def start_head(model: PreTrainedModel, mean: float, spread: float) -> None:
    """Scale and shift the last layer; one without a bias (GPT-2, Llama) is only scaled.

    Args:
        model: whose head is new; it gives one number for each row.
        mean: of the scores that it is to give.
        spread: their standard deviation.
    """
    layer = last_layer(model)
    layer.weight.mul_(spread)
    if layer.bias is not None:
        layer.bias.mul_(spread).add_(mean)


@contextmanager
def exact_scores(model: nn.Module) -> Iterator[None]:
    """Have the last layer of a model for scores compute in fp32 for a while, whatever `autocast` says.

    In bf16 a score has 8 bits: those from 0.5 to 1 are 0.004 apart. Candidates whose scores are nearer would count as
    equal, so that a model in bf16 would seem to rank worse than the same model in fp32. Other models stay as they are.

    Args:
        model: of any kind, perhaps without a configuration; its weights stay as they are.
    """
    layers: list[nn.Linear] = []
    if isinstance(model, PreTrainedModel) and kind_of_model(model).order_counts:
        layers = layers_of_width(model, model.config.num_labels)
    if not layers or "forward" in vars(layers[-1]):  # no such layer, or it is exact already
        yield
        return
    layer = layers[-1]

    def forward(input: Tensor) -> Tensor:
        with torch.autocast(input.device.type, enabled=False):
            return F.linear(input.float(), layer.weight.float(), None if layer.bias is None else layer.bias.float())

    layer.forward = forward  # type: ignore[method-assign]
    try:
        yield
    finally:
        del layer.forward


def last_layer(model: PreTrainedModel) -> nn.Linear:
    """The linear layer that gives the answers."""
    return layers_of_width(model, model.config.num_labels)[-1]


def layers_of_width(model: nn.Module, outputs: int) -> list[nn.Linear]:
    """The linear layers with so many outputs, in their order."""
    return [module for module in model.modules() if isinstance(module, nn.Linear) and module.out_features == outputs]
