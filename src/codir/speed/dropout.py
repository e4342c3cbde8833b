"""Dropout whose masks are cut from 64-bit random numbers, four to a number, on the CPU.

PyTorch's CPU dropout draws one double per element, in one thread; that is a seventh of a small student's step. The
masks here come out of the same generator, so seeding, checkpointing of its state and recomputation work as ever. They
are other masks of the same distribution.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

_LANES = 1 << 16
"""A random 64-bit number holds four integers of 16 bits; the probability is a multiple of 1 / 65,536."""


def fast_dropout(x: Tensor, p: float) -> Tensor:
    """Zero each element with probability `p` and scale the others by `1 / (1 - p)` (Srivastava et al. 2014).

    Args:
        x: bf16, fp16 or fp32, on the CPU.
        p: rounded to a multiple of 1 / 65,536; the scale fits the rounded value, so the mean is kept.

    Example:
        >>> dropped = fast_dropout(torch.ones(100_000), 0.25)
        >>> [round(value, 4) for value in dropped.unique().tolist()], round(dropped.mean().item(), 1)
        ([0.0, 1.3333], 1.0)
    """
    dropped: Tensor = _FastDropout.apply(x, round(p * _LANES))  # type: ignore[no-untyped-call]
    return dropped


class FastDropout(nn.Dropout):
    """`nn.Dropout` with the masks of `fast_dropout`; anything but a floating tensor on the CPU goes the usual way."""

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        drops_here = self.training and 0.0 < self.p < 1.0 and not self.inplace and can_drop_fast(x)
        return fast_dropout(x, self.p) if drops_here else super().forward(x)


def can_drop_fast(x: Tensor) -> bool:
    """Whether `fast_dropout` takes this tensor."""
    return x.device.type == "cpu" and x.dtype in _INTEGER_OF


_INTEGER_OF = {torch.float32: torch.int32, torch.bfloat16: torch.int16, torch.float16: torch.int16}


class _FastDropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dropped_of_lanes: int) -> Tensor:
        ctx.scale = _LANES / (_LANES - dropped_of_lanes)
        ctx.mask = _draw_mask(x.shape, dropped_of_lanes).to(_INTEGER_OF[x.dtype])
        return _apply(x, ctx.mask, ctx.scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _apply(gradients[0], ctx.mask, ctx.scale), None


def _draw_mask(shape: torch.Size, dropped_of_lanes: int) -> Tensor:
    """All bits set where an element is kept, none where it is dropped."""
    count = shape.numel()
    words = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    lanes = words.view(torch.int16)[:count].view(shape)
    threshold = dropped_of_lanes - _LANES // 2
    return lanes.clamp_(threshold - 1, threshold).neg_().add_(threshold - 1)


def _apply(x: Tensor, mask: Tensor, scale: float) -> Tensor:
    kept = x.contiguous().view(mask.dtype) & mask
    return kept.view(x.dtype).mul_(scale)
