"""From the vectors of all tokens to one vector per example."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from codir.config.words import Pooling
from codir.signals.needs import Representation, TokenPosition, resolve_layers


def token_mask(model_inputs: Mapping[str, Tensor]) -> Bool[Tensor, "batch tokens"]:
    """Which positions hold real tokens; all of them where the tokenizer gives no mask."""
    if "attention_mask" in model_inputs:
        return model_inputs["attention_mask"].bool()
    return torch.ones_like(model_inputs["input_ids"], dtype=torch.bool)


def masked_mean(
    hidden: Float[Tensor, "batch tokens hidden"], mask: Bool[Tensor, "batch tokens"]
) -> Float[Tensor, "batch hidden"]:
    """Average over real tokens: padding changes nothing, and a row without a real token gives zero.

    Summed in fp32, whatever the dtype of `hidden`: a bf16 sum over 128 tokens loses two of its eight bits.

    Example:
        >>> masked_mean(torch.tensor([[[1.0], [3.0], [9.0]]]), torch.tensor([[True, True, False]]))
        tensor([[2.]])
    """
    weights = mask.to(torch.float32)
    shares = weights / weights.sum(dim=1, keepdim=True).clamp(min=1.0)
    return torch.bmm(shares.unsqueeze(1), hidden.float()).squeeze(1)


def token_at(
    hidden: Float[Tensor, "batch tokens hidden"], mask: Bool[Tensor, "batch tokens"], position: TokenPosition
) -> Float[Tensor, "batch hidden"]:
    """Take each row's first or last real token, on whichever side the padding stands.

    `[CLS]` is the first token of BERT and its family, the last of XLNet; a decoder has read the text at its last token.
    """
    places = torch.arange(mask.shape[1], device=mask.device)
    if position == "first":
        chosen = torch.where(mask, places, mask.shape[1] - 1).amin(dim=1)
    else:
        chosen = torch.where(mask, places, 0).amax(dim=1)
    return hidden[torch.arange(len(hidden), device=hidden.device), chosen].float()


def pool_layer(
    hidden: Float[Tensor, "batch tokens hidden"],
    mask: Bool[Tensor, "batch tokens"],
    *,
    pooling: Pooling,
    cls_position: TokenPosition = "first",
) -> Float[Tensor, "batch hidden"]:
    """One vector per example: the mean over its real tokens, or the token that stands for the sequence."""
    return masked_mean(hidden, mask) if pooling == "mean" else token_at(hidden, mask, cls_position)


class LayerPooling:
    """Pools the layers of several representations one at a time, as a model computes them; none has to be kept.

    Args:
        representations: which layers, pooled how; a layer that several of them pool alike is pooled once.
        num_layers: of the model.
        mask: true at real tokens.
        cls_position: where the token of `"cls"` stands.

    Example:
        >>> pooling = LayerPooling([Representation("last")], 2, torch.tensor([[True, True, False]]))
        >>> sorted(pooling.layers)
        [2]
        >>> pooling.take(2, torch.tensor([[[1.0], [3.0], [9.0]]]))
        >>> pooling.vectors()[Representation("last")]
        tensor([[[2.]]])
    """

    def __init__(
        self,
        representations: Iterable[Representation],
        num_layers: int,
        mask: Bool[Tensor, "batch tokens"],
        *,
        cls_position: TokenPosition = "first",
    ) -> None:
        self._wanted = {asked: resolve_layers(asked.layers, num_layers) for asked in representations}
        self._how = {
            layer: {asked.pooling for asked, layers in self._wanted.items() if layer in layers}
            for layer in {layer for layers in self._wanted.values() for layer in layers}
        }
        self._mask, self._cls_position = mask, cls_position
        self._pooled: dict[tuple[int, Pooling], Tensor] = {}

    @property
    def layers(self) -> Collection[int]:
        """Numbers of the layers that are pooled; 1 is the first above the embeddings."""
        return self._how.keys()

    def take(self, layer: int, hidden: Float[Tensor, "batch tokens hidden"]) -> None:
        """Pool the output of one layer, outside autocast."""
        with torch.autocast(hidden.device.type, enabled=False):
            for pooling in self._how[layer]:
                vectors = pool_layer(hidden, self._mask, pooling=pooling, cls_position=self._cls_position)
                self._pooled[layer, pooling] = vectors

    def vectors(self) -> dict[Representation, Float[Tensor, "batch layers hidden"]]:
        """Every representation, once its layers have been taken."""
        return {
            asked: torch.stack([self._pooled[layer, asked.pooling] for layer in layers], dim=1)
            for asked, layers in self._wanted.items()
        }


def pool_representations(
    hidden_states: tuple[Tensor, ...],
    mask: Bool[Tensor, "batch tokens"],
    representations: Iterable[Representation],
    *,
    cls_position: TokenPosition = "first",
) -> dict[Representation, Float[Tensor, "batch layers hidden"]]:
    """Pool the layers of several representations (design §1); one that they share is pooled once.

    Args:
        hidden_states: as `transformers` gives them: embedding output first, then one entry `[batch, tokens, hidden]`
            per layer.
        mask: true at real tokens.
        representations: which layers, pooled how.
        cls_position: where the token of `"cls"` stands.
    """
    pooling = LayerPooling(representations, len(hidden_states) - 1, mask, cls_position=cls_position)
    for layer in pooling.layers:
        pooling.take(layer, hidden_states[layer])
    return pooling.vectors()
