"""Two processes with a memory each, under torchrun: what each of them ends with."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F

from codir.memory import MemoryBank, NegativeQueue

ROWS_PER_MESSAGE = 3  # fewer than slots, so that sharing takes several messages


def unit(*shape: int, seed: int) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def share_a_bank(rank: int, dtype: torch.dtype, folder: Path | None) -> list:
    """Each process fills every other slot, and then both update."""
    bank = MemoryBank(10, 4, dtype=dtype, folder=folder)
    own = torch.arange(rank, 10, 2)
    bank.fill(own, unit(10, 4, seed=0)[own])
    bank.synchronise()
    for step in range(3):
        bank.update(torch.tensor([2 * step + rank, 9]), unit(2, 4, seed=10 * step + rank))
    return bank.lookup(torch.arange(10)).tolist()


def share_a_queue(rank: int) -> list:
    """Three steps of two rows from each process into seven places."""
    queue = NegativeQueue(7, 2)
    for step in range(3):
        index = torch.tensor([2 * step, 2 * step + 1]) + 100 * rank
        queue.update(index, torch.stack([index, index], dim=1).float())
    assert torch.equal(queue.vectors[:, 0], queue.index.float())
    return queue.index.tolist()


if __name__ == "__main__":
    import codir.memory.bank

    codir.memory.bank.ROWS_PER_MESSAGE = ROWS_PER_MESSAGE
    dist.init_process_group("gloo")
    output, rank = Path(sys.argv[1]), dist.get_rank()
    report = {"queue": share_a_queue(rank)}
    for dtype in (torch.float32, torch.float16):
        name = str(dtype).removeprefix("torch.")
        report[f"bank {name}"] = share_a_bank(rank, dtype, None)
        report[f"mapped {name}"] = share_a_bank(rank, dtype, output)
    (output / f"{rank}.json").write_text(json.dumps(report))
    dist.destroy_process_group()
