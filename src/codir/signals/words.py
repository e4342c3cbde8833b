"""From what a model says of tokens to what it says of words."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from codir.tasks import NO_LOGIT


def take_words(
    logits: Float[Tensor, "batch tokens classes"], positions: Int[Tensor, "batch words"]
) -> Float[Tensor, "batch words classes"]:
    """The logits at the first token of each word; minus infinity for a word without one.

    Args:
        logits: of all tokens.
        positions: of words; -1 where there is none.

    Example:
        >>> take_words(torch.tensor([[[1.0], [2.0], [3.0]]]), torch.tensor([[2, -1]]))
        tensor([[[3.],
                 [-inf]]])
    """
    places = positions.clamp(min=0).unsqueeze(-1).expand(-1, -1, logits.shape[-1])
    return torch.where((positions >= 0).unsqueeze(-1), logits.gather(1, places), NO_LOGIT)
