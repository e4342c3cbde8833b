"""The processes of one training: whether there are several, and how each sees the rows of all. Knows torch alone."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor


def is_distributed() -> bool:
    """Whether there are other processes to share with."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def gather(tensor: Tensor) -> Tensor:
    """The rows of all processes, in the order of their ranks: the same tensor everywhere, without gradient."""
    if not is_distributed():
        return tensor
    parts = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, tensor.contiguous())
    return torch.cat(parts)


def gather_with_gradient(rows: Float[Tensor, "batch dim"]) -> Float[Tensor, "gathered dim"]:
    """`gather` through which every process' loss reaches the rows of every other.

    The gradient of a row is the sum over all processes. Where each has the mean over its own anchors as its loss, and
    data parallelism takes the mean of their gradients, that is the gradient of the mean over the anchors of all: what
    one process with the whole batch would have had.

    Example:
        >>> rows = torch.ones(2, 3, requires_grad=True)
        >>> gather_with_gradient(rows) is rows  # alone
        True
    """
    return _Gather.apply(rows) if is_distributed() else rows  # type: ignore[no-untyped-call]


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        return gather(rows)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total.chunk(dist.get_world_size())[dist.get_rank()]
