"""Bank or queue: the rule, in one place. Arithmetic on sizes; nothing is allocated or measured here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rich.filesize import decimal

from codir.config.words import PLANNED_PROCESSES, MemoryKind
from codir.errors import UserError

MemoryPlace = Literal["bank", "mapped bank", "queue"]

BANK_MEMORY_SHARE = 0.25
"""A bank is held in memory while it takes at most this share of what is free where it would live."""

INDEX_BYTES = 8


@dataclass(frozen=True)
class MemoryChoice:
    """What remembers, and in one line why."""

    place: MemoryPlace
    line: str


def bank_bytes(num_examples: int, dim: int, itemsize: int = 4) -> int:
    """Bytes of a bank: N * P * itemsize.

    Example:
        >>> bank_bytes(8530, 128), bank_bytes(10_000_000, 128, itemsize=2)
        (4367360, 2560000000)
    """
    return num_examples * dim * itemsize


def queue_bytes(size: int, dim: int, itemsize: int = 4) -> int:
    """Bytes of a queue, whatever N is: size * (P * itemsize + 8 for the index).

    Example:
        >>> queue_bytes(65536, 128)
        34078720
    """
    return size * (dim * itemsize + INDEX_BYTES)


def choose_memory(
    wanted: MemoryKind,
    *,
    num_examples: int,
    dim: int,
    queue_size: int,
    itemsize: int,
    free_memory: int,
    free_disk: int,
    processes: int = PLANNED_PROCESSES,
    name: str = "negatives",
) -> MemoryChoice:
    """Choose what remembers the student's vectors.

    The rule, for `auto`: a bank while it takes at most a quarter of the free memory (`BANK_MEMORY_SHARE`), else a
    queue. A bank in a file is never chosen unasked: where it would be needed, a slot is visited so rarely that its
    vector says little of today's student, and each of its negatives is a random read of the disk.

    Asked for, a `bank` is held in memory where the same rule lets it, else memory-mapped in a file, and refused where
    the disk has no room for it. Asked for, a `queue` is a queue, and so is `momentum`: who fills it is not said here.

    Args:
        wanted: `auto`, or what was asked for.
        num_examples: N.
        dim: P.
        queue_size: entries of the queue.
        itemsize: bytes per number.
        free_memory: bytes free where the bank would live.
        free_disk: bytes free where its file would be.
        processes: how many of them keep a bank of their own in the same memory.
        name: what the line calls the vectors.

    Raises:
        UserError: a bank was asked for that has room neither in memory nor on the disk.

    Example:
        >>> sizes = {"dim": 128, "queue_size": 65536, "itemsize": 4, "free_memory": 18_200_000_000, "free_disk": 10**12}
        >>> choose_memory("auto", num_examples=8530, **sizes).line.split(" (")[0]
        'negatives: memory bank of 8530 x 128 float32, 4.4 MB'
        >>> choose_memory("auto", num_examples=10_000_000, **sizes).place
        'queue'
        >>> choose_memory("bank", num_examples=10_000_000, **sizes).place
        'mapped bank'
    """
    needed = processes * bank_bytes(num_examples, dim, itemsize)
    fits = needed <= BANK_MEMORY_SHARE * free_memory
    number = {2: "float16", 4: "float32"}[itemsize]
    bank = f"{num_examples} x {dim} {number}, {decimal(needed)}"
    if processes > 1:
        bank += f" for {processes} processes"
    queue = f"{queue_size} x {dim} {number}, {decimal(processes * queue_bytes(queue_size, dim, itemsize))}"
    share = f"{decimal(int(BANK_MEMORY_SHARE * free_memory))}, {BANK_MEMORY_SHARE:.0%} of the free memory"
    if wanted in ("queue", "momentum"):
        return MemoryChoice("queue", f"{name}: queue of {queue} (asked for)")
    if fits:
        return MemoryChoice("bank", f"{name}: memory bank of {bank} (at most {share})")
    if wanted == "auto":
        too_much = f"a bank would take {decimal(needed)}, more than {share}"
        return MemoryChoice("queue", f"{name}: queue of {queue} ({too_much})")
    if needed > free_disk:
        raise UserError(
            "memory",
            expected=f"{decimal(needed)} of free disk in the output folder for a memory bank of {bank}",
            got=decimal(free_disk),
            do="set `memory: queue` and `keys: fresh` in `objectives.contrastive`, or `memory_dtype: float16`, or "
            "choose another `--output-dir`",
        )
    return MemoryChoice(
        "mapped bank",
        f"{name}: memory bank of {bank}, in a file (asked for; in memory it would take more than {share})",
    )
