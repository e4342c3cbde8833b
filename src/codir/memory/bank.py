"""One vector per training example: the student's last view of it, out of which negatives are looked up.

Knows indices and vectors; knows nothing of models, labels or losses. (A FIFO of fixed size would be a queue.)
"""

from __future__ import annotations

import torch
import torch.distributed as dist
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


class MemoryBank:
    """A slot per training example (Wu et al. 2018, arXiv 1805.01978, §3.2), kept the same in every process.

    Args:
        num_examples: N.
        dim: P.
        momentum: share of the old vector that an update keeps.
        device: where the vectors live.

    Example:
        >>> bank = MemoryBank(num_examples=2, dim=2, momentum=0.5)
        >>> bank.fill(torch.tensor([0, 1]), torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
        >>> bank.update(torch.tensor([0]), torch.tensor([[0.0, 1.0]]))
        >>> bank.lookup(torch.tensor([0]))
        tensor([[0.7071, 0.7071]])
    """

    def __init__(
        self, num_examples: int, dim: int, *, momentum: float = 0.5, device: torch.device | str = "cpu"
    ) -> None:
        self.momentum = momentum
        self.vectors = torch.zeros(num_examples, dim, device=device)

    def lookup(self, index: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape dim"]:
        """The vectors of these slots, without gradient."""
        return self.vectors[index]

    def fill(self, index: Int[Tensor, " batch"], vectors: Float[Tensor, "batch dim"]) -> None:
        """Write slots outright: the first pass over the training set, in this process alone."""
        self.vectors[index] = vectors.detach().to(self.vectors)

    def clear(self) -> None:
        """Empty every slot, as before a first pass that processes share."""
        self.vectors.zero_()

    @torch.no_grad()
    def update(self, index: Int[Tensor, " batch"], vectors: Float[Tensor, "batch dim"]) -> None:
        """`m <- normalize(momentum * m + (1 - momentum) * z)` for the examples of all processes' batches.

        An example that stands in the batch twice (as the last batch of an epoch may be padded) counts with the mean of
        its vectors, so that the order of writing does not matter. Processes must pass batches of one size.
        """
        index, vectors = _gather(index), _gather(vectors.detach().to(self.vectors))
        same = (index[:, None] == index[None, :]).to(vectors.dtype)
        vectors = same @ vectors / same.sum(dim=1, keepdim=True)
        mixed = self.momentum * self.vectors[index] + (1.0 - self.momentum) * vectors
        self.vectors[index] = F.normalize(mixed, dim=1)

    @torch.no_grad()
    def synchronise(self) -> None:
        """After each process filled slots of its own: give every process all of them."""
        if _is_distributed():
            dist.all_reduce(self.vectors)

    def state_dict(self) -> dict[str, Tensor]:
        """What a checkpoint keeps."""
        return {"vectors": self.vectors}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take up the vectors of a checkpoint."""
        self.vectors.copy_(state["vectors"])


def _is_distributed() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def _gather(tensor: Tensor) -> Tensor:
    if not _is_distributed():
        return tensor
    parts = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, tensor.contiguous())
    return torch.cat(parts)
