"""The vectors of the last steps, first in first out: negatives where the data has too many rows for a slot each.

Knows indices and vectors; knows nothing of models, labels or losses. (A slot per example is the `MemoryBank`.)
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from codir.memory.base import Memory, take_up
from codir.system import gather

NOBODY = -1
"""The example index of a place that holds no entry yet."""


class NegativeQueue(Memory):
    """The newest `size` vectors, each with its example's index (MoCo, He et al. 2020, arXiv 1911.05722, §3.2).

    As MoCo's, it is as large as one likes whatever the batch and the data, its oldest batch leaves as a new one enters,
    and all of its entries are negatives at once. It departs in two points:

    - Every entry carries its example's index, so that an example is never its own negative, nor one of its class;
      MoCo compares with all entries.
    - It starts empty, and only what has entered is handed out; MoCo starts with noise, which counts as negatives.

    Every process enters the batches of all, in the order of their ranks, so that queues are the same everywhere.

    Args:
        size: entries at most.
        dim: P.
        device: where the vectors live.
        dtype: of storage; `torch.float16` halves the room.

    Example:
        >>> queue = NegativeQueue(size=2, dim=1)
        >>> for row in range(3):
        ...     queue.update(torch.tensor([row]), torch.tensor([[float(row)]]))
        >>> len(queue), sorted(queue.index.tolist())  # row 0 has left
        (2, [1, 2])
    """

    def __init__(
        self, size: int, dim: int, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> None:
        self._vectors = torch.zeros(size, dim, device=device, dtype=dtype)
        self._index = torch.full((size,), NOBODY, device=device)
        self._entered = 0

    def __len__(self) -> int:
        return min(self._entered, len(self._vectors))

    @property
    def bytes_per_example(self) -> int:
        """P numbers of the storage's dtype and an index, for each of the `size` entries."""
        return self._vectors.shape[1] * self._vectors.element_size() + self._index.element_size()

    @property
    def vectors(self) -> Float[Tensor, "queued dim"]:
        """What has entered and not left, in float32, without gradient, in no order that means anything."""
        return self._vectors[: len(self)].to(torch.float32)

    @property
    def index(self) -> Int[Tensor, " queued"]:
        """Whose vectors these are. An example may be there more than once, and two views of it count as two."""
        return self._index[: len(self)]

    @torch.no_grad()
    def update(self, index: Int[Tensor, " batch"], vectors: Float[Tensor, "batch dim"]) -> None:
        """Enter the batches of all processes; as many of the oldest entries leave."""
        index, vectors = gather(index), gather(vectors.detach().float()).to(self._vectors)
        size = len(self._vectors)
        order = torch.arange(self._entered, self._entered + len(index), device=self._vectors.device)[-size:]
        self._vectors[order % size] = vectors[-size:]
        self._index[order % size] = index[-size:]
        self._entered += len(index)

    def clear(self) -> None:
        """Start empty again."""
        self._entered = 0
        self._index.fill_(NOBODY)
        self._vectors.zero_()

    def state_dict(self) -> dict[str, Tensor]:
        """What a checkpoint keeps."""
        return {"vectors": self._vectors, "index": self._index, "entered": torch.tensor(self._entered)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take up the entries of a checkpoint, and the place where the next one goes."""
        take_up(self._index, state["index"])
        take_up(self._vectors, state["vectors"])
        self._entered = int(state["entered"])
