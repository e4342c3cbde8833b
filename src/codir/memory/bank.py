"""One vector per training example: the student's last view of it, out of which negatives are looked up.

Knows indices and vectors; knows nothing of models, labels or losses. (A FIFO of fixed size is the `NegativeQueue`.)
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from codir.memory.base import Memory, take_up
from codir.store import RUN, claim_disk, scratch_folder, writing_to
from codir.system import gather, is_distributed

ROWS_PER_MESSAGE = 2**18
"""Processes share a bank in parts of this many slots, so that sharing takes no second bank's room."""


class MemoryBank(Memory):
    """A slot per training example (Wu et al. 2018, arXiv 1805.01978, §3.2), kept the same in every process.

    Args:
        num_examples: N.
        dim: P.
        momentum: share of the old vector that an update keeps.
        device: where the vectors live, and where they are wanted.
        dtype: of storage; `torch.float16` halves the room. Updates are reckoned in float32.
        folder: keep the vectors in a memory-mapped scratch file there instead of in memory, to the same bits. Its name
            is gone at once (after a kill, at the next start), its room when the bank is; checkpoints are what lasts.

    Example:
        >>> bank = MemoryBank(num_examples=2, dim=2, momentum=0.5)
        >>> bank.fill(torch.tensor([0, 1]), torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
        >>> bank.update(torch.tensor([0]), torch.tensor([[0.0, 1.0]]))
        >>> bank.lookup(torch.tensor([0]))
        tensor([[0.7071, 0.7071]])
    """

    def __init__(
        self,
        num_examples: int,
        dim: int,
        *,
        momentum: float = 0.5,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        folder: Path | None = None,
    ) -> None:
        self.momentum, self.device = momentum, torch.device(device)
        if folder is None:
            self.vectors = torch.zeros(num_examples, dim, device=device, dtype=dtype)
        else:
            self.vectors = _mapped_zeros(folder, num_examples * dim, dtype).view(num_examples, dim)

    @property
    def bytes_per_example(self) -> int:
        """P numbers of the storage's dtype, for each of the N examples."""
        return self.vectors.shape[1] * self.vectors.element_size()

    def lookup(self, index: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape dim"]:
        """The vectors of these slots in float32, without gradient."""
        rows = self.vectors.index_select(0, self._places(index.flatten()))
        return rows.view(*index.shape, -1).to(self.device, torch.float32)

    def fill(self, index: Int[Tensor, " batch"], vectors: Float[Tensor, "batch dim"]) -> None:
        """Write slots outright: the first pass over the training set, in this process alone."""
        self.vectors[self._places(index)] = vectors.detach().to(self.vectors)

    def clear(self) -> None:
        """Empty every slot, as before a first pass that processes share."""
        self.vectors.zero_()

    @torch.no_grad()
    def update(self, index: Int[Tensor, " batch"], vectors: Float[Tensor, "batch dim"]) -> None:
        """`m <- normalize(momentum * m + (1 - momentum) * z)` for the examples of all processes' batches.

        An example that stands in the batch twice (as the last batch of an epoch may be padded) counts with the mean of
        its vectors, so that the order of writing does not matter. Processes must pass batches of one size.
        """
        index, vectors = gather(index), gather(vectors.detach().to(self.device, torch.float32))
        same = (index[:, None] == index[None, :]).to(vectors.dtype)
        vectors = same @ vectors / same.sum(dim=1, keepdim=True)
        mixed = self.momentum * self.lookup(index) + (1.0 - self.momentum) * vectors
        self.vectors[self._places(index)] = F.normalize(mixed, dim=1).to(self.vectors)

    @torch.no_grad()
    def synchronise(self) -> None:
        """After each process filled slots of its own: give every process all of them."""
        if is_distributed():
            for start in range(0, len(self.vectors), ROWS_PER_MESSAGE):
                part = self.vectors[start : start + ROWS_PER_MESSAGE]
                part_on_device = part.to(self.device)
                dist.all_reduce(part_on_device)
                part.copy_(part_on_device)

    def state_dict(self) -> dict[str, Tensor]:
        """What a checkpoint keeps."""
        return {"vectors": self.vectors}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take up the vectors of a checkpoint."""
        take_up(self.vectors, state["vectors"])

    def _places(self, index: Tensor) -> Tensor:
        return index.to(self.vectors.device)


def _mapped_zeros(folder: Path, size: int, dtype: torch.dtype) -> Tensor:
    with (
        writing_to(folder, "memory bank", do="free disk space, or choose another `output_dir`"),
        scratch_folder(folder, RUN) as scratch,
    ):
        file = scratch / "vectors"
        with file.open("wb") as content:
            content.truncate(size * dtype.itemsize)
        claim_disk(file)
        return torch.from_file(str(file), shared=True, size=size, dtype=dtype)
