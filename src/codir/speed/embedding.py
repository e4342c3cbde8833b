"""An embedding whose gradient costs what the rows of the batch cost, not what the vocabulary costs.

PyTorch's gradient of a 30,522-row table is a fresh table of zeros with a few hundred rows in it: 47 MB are allocated
and zeroed at every step for less than 1 MB of content. Here the table is kept, and only the rows used last are zeroed.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class RowGradientEmbedding(nn.Embedding):
    """`nn.Embedding` with the same values and the same dense gradient, written into a table that is kept between steps.

    For one process: nothing tells `DistributedDataParallel` that the gradient has arrived. `weight.grad` must be
    written by this module alone, so a table that is also a model's output matrix stays as it is.
    """

    # Kept past `nn.Module`'s own books: neither is part of the model, so nothing saves or moves them.
    _table: Tensor
    _written: list[Tensor]

    def forward(self, ids: Tensor) -> Tensor:  # noqa: D102
        if not (self.training and torch.is_grad_enabled()):
            return super().forward(ids)
        rows: Tensor = _RowGradient.apply(self.weight, ids, self)  # type: ignore[no-untyped-call]
        return rows

    def add_row_gradients(self, ids: Tensor, gradients: Tensor) -> None:
        """Add `gradients [*, hidden]` to the rows `ids [*]` of `weight.grad`."""
        if self.weight.grad is None:
            self.weight.grad = self._cleared_table()
        ids, gradients = ids.flatten(), gradients.reshape(-1, gradients.shape[-1]).to(self.weight.dtype)
        if self.padding_idx is not None:
            gradients = gradients.masked_fill((ids == self.padding_idx).unsqueeze(1), 0.0)
        self.weight.grad.index_add_(0, ids, gradients)
        self._written.append(ids)

    def forget_table(self) -> None:
        """Give the memory back."""
        self.__dict__.pop("_table", None)
        self.__dict__.pop("_written", None)
        self.weight.grad = None

    def _cleared_table(self) -> Tensor:
        if "_table" not in self.__dict__:
            self.__dict__["_table"], self.__dict__["_written"] = torch.zeros_like(self.weight), []
        for rows in self._written:
            self._table[rows] = 0.0
        self._written.clear()
        return self._table


class _RowGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, ids: Tensor, embedding: RowGradientEmbedding) -> Tensor:
        ctx.ids, ctx.embedding = ids, embedding
        return F.embedding(ids, weight)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None, None]:
        ctx.embedding.add_row_gradients(ctx.ids, gradients[0])
        return None, None, None
