"""The temperature of a contrast: a number, or one that is learned."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

Tau = float | Float[Tensor, ""]

LARGEST_INVERSE = 100.0
"""CLIP's limit: similarities are never scaled by more."""


class Temperature(nn.Module):
    """tau; where it is learned, `tau = exp(-s)` with a trained `s`, kept at or below `ln 100` (tau at or above 0.01).

    Radford et al. 2021 (CLIP, arXiv 2103.00020), §2.4 and 2.5. As there, the parameter itself is held at the limit:
    beyond one that is only applied in use, it would get no gradient to come back by.

    Args:
        initial: tau, or where it starts.
        is_learned: whether `s` is a parameter; it trains at the heads' rate.

    Example:
        >>> Temperature(0.07)(), round(Temperature(0.07, is_learned=True)().item(), 4)
        (0.07, 0.07)
    """

    def __init__(self, initial: float, *, is_learned: bool = False) -> None:
        super().__init__()
        self.initial = initial
        self.log_inverse = nn.Parameter(torch.tensor(-math.log(initial))) if is_learned else None

    def forward(self) -> Tau:
        """A float, or a tensor with gradient."""
        if self.log_inverse is None:
            return self.initial
        with torch.no_grad():
            self.log_inverse.clamp_(max=math.log(LARGEST_INVERSE))
        return torch.exp(-self.log_inverse)
