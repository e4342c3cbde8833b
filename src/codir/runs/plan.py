"""What a run of any size would take, on paper: bytes of cache, bank and queue, and what processes tell one another.

Arithmetic alone, with the formulas that the rooms themselves go by. Nothing is measured or allocated.
"""

from __future__ import annotations

from dataclasses import dataclass

from codir.config.words import CONTRAST
from codir.memory import bank_bytes, queue_bytes
from codir.memory.rule import INDEX_BYTES
from codir.teacher import cache_bytes


@dataclass(frozen=True)
class Sizes:
    """Bytes, each for what its name says.

    Attributes:
        cache: of the teacher's features, on the disk, once for all processes that share it.
        bank: of a slot for every row, in each process.
        queue: of the queue, in each process, whatever the number of rows.
        lookup: of the negatives of one label that a step looks up: teacher's features and the bank's vectors.
        memory_messages: that each process receives per step so that all memories stay the same.
        gradient_messages: that each process receives per step for the gradients of the student (a ring's share).
    """

    cache: int
    bank: int
    queue: int
    lookup: int
    memory_messages: int
    gradient_messages: int


def sizes_on_paper(
    rows: int,
    *,
    layers: int,
    hidden: int,
    classes: int = 2,
    dim: int = CONTRAST.projection_dim,
    negatives: int = CONTRAST.num_negatives,
    batch_size: int = 32,
    processes: int = 1,
    queue_size: int = CONTRAST.queue_size,
    student_parameters: int = 0,
    cache_itemsize: int = 4,
    memory_itemsize: int = 4,
) -> Sizes:
    """What these sizes come to.

    Args:
        rows: N.
        layers: of the teacher's representations, added up.
        hidden: the teacher's width.
        classes: of the teacher's head; 1 for a score.
        dim: P.
        negatives: K.
        batch_size: rows per step and process.
        processes: that train together.
        queue_size: entries of the queue.
        student_parameters: whose gradients are averaged over the processes, in float32.
        cache_itemsize: bytes per number in the cache: 4, or 2 for `cache_dtype: float16`.
        memory_itemsize: bytes per number in the memory: 4, or 2 for `memory_dtype: float16`.

    Example:
        RoBERTa-base over a billion sequences, on 64 processes: a cache of 37 TB and a bank of half a TB are out of the
        question, so the rules take a live teacher and a queue, which is as large as for a thousand rows.

        >>> sizes = sizes_on_paper(10**9, layers=12, hidden=768, processes=64, student_parameters=82_000_000)
        >>> f"{sizes.cache / 1e12:.1f} TB, {sizes.bank / 1e9:.0f} GB, {sizes.queue / 1e6:.0f} MB"
        '36.9 TB, 512 GB, 34 MB'
        >>> f"{sizes.memory_messages / 1e6:.1f} MB beside {sizes.gradient_messages / 1e6:.0f} MB of gradients"
        '1.0 MB beside 646 MB of gradients'
    """
    others = processes - 1
    return Sizes(
        cache=cache_bytes(rows, classes=classes, layers=layers, hidden=hidden, itemsize=cache_itemsize),
        bank=bank_bytes(rows, dim, memory_itemsize),
        queue=queue_bytes(queue_size, dim, memory_itemsize),
        lookup=negatives * (layers * hidden * cache_itemsize + dim * memory_itemsize),
        memory_messages=others * batch_size * (dim * 4 + INDEX_BYTES),
        gradient_messages=2 * others * student_parameters * 4 // processes,
    )
