"""Where a new head for scores begins: at their mean, and in steps of their spread.

A head of small random weights answers about 0 to everything. Where scores lie elsewhere, the first hundred steps would
go into moving one bias there, at a learning rate made for the body. So the head answers `mean + spread * z`, where `z`
is what it would have answered: the model learns scores as if they were standardised, and the saved model gives them as
they are.
"""

from __future__ import annotations

import torch
from torch import nn
from transformers import PreTrainedModel


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


def last_layer(model: PreTrainedModel) -> nn.Linear:
    """The linear layer that gives the answers."""
    layers = [
        module
        for module in model.modules()
        if isinstance(module, nn.Linear) and module.out_features == model.config.num_labels
    ]
    return layers[-1]
