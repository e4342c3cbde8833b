"""Batches for a model that predicts the next token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from codir.data.collate import DistillationCollator
from codir.signals import IGNORED_CLASS, token_mask


def next_tokens(
    input_ids: Int[Tensor, "batch tokens"], mask: Bool[Tensor, "batch tokens"]
) -> Int[Tensor, "batch tokens"]:
    """What each position predicts: the token that follows it, or nothing where padding follows, or at padding.

    Labels are shifted here, and are not to be shifted again.

    Example:
        >>> next_tokens(torch.tensor([[5, 6, 7, 0]]), torch.tensor([[True, True, True, False]]))
        tensor([[   6,    7, -100, -100]])
    """
    labels = torch.full_like(input_ids, IGNORED_CLASS)
    labels[:, :-1] = torch.where(mask[:, :-1] & mask[:, 1:], input_ids[:, 1:], IGNORED_CLASS)
    return labels


class CausalCollator(DistillationCollator):
    """Pads the sequences of a corpus and adds `token_labels [batch, tokens]`: what each position is to predict.

    Arguments and everything else in the batch are those of `DistillationCollator`.
    """

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Collate the rows of one batch."""
        batch = super().__call__(rows)
        batch["token_labels"] = next_tokens(batch["input_ids"], token_mask(batch))
        return batch
