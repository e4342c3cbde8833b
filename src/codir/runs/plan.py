"""What a run of any size would take, on paper: bytes of cache, bank and queue, and what processes tell one another.

Arithmetic alone, with the formulas that the rooms themselves go by. Nothing is measured or allocated.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from codir import system
from codir.config.words import (
    CONTRAST,
    PLANNED_CLASSES,
    PLANNED_KEYS,
    PLANNED_PROCESSES,
    PLANNED_STUDENT,
    TRAINING,
    KeyKind,
)
from codir.memory import bank_bytes, choose_memory, queue_bytes
from codir.memory.rule import INDEX_BYTES
from codir.teacher import cache_bytes, choose_cache, count_readings


@dataclass(frozen=True)
class Sizes:
    """Bytes, each for what its name says.

    Attributes:
        cache: of the teacher's features, on the disk, once for all processes that share it.
        bank: of the banks, with a slot for every row, in each process.
        queue: of the queues, in each process, whatever the number of rows.
        lookup: of the negatives of one label that a step looks up.
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
    classes: int = PLANNED_CLASSES,
    dim: int = CONTRAST.projection_dim,
    negatives: int = CONTRAST.num_negatives,
    batch_size: int = TRAINING["per_device_train_batch_size"],
    processes: int = PLANNED_PROCESSES,
    queue_size: int = CONTRAST.queue_size,
    keys: KeyKind = PLANNED_KEYS,
    student_parameters: int = PLANNED_STUDENT,
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
        keys: `banked`, as in preset `codir`, reads keys of both sides from banks; `fresh` reads the student's from a
            bank and projects the teacher's features anew.
        student_parameters: whose gradients are averaged over the processes, in float32.
        cache_itemsize: bytes per number in the cache: 4, or 2 for `cache_dtype: float16`.
        memory_itemsize: bytes per number in the memory: 4, or 2 for `memory_dtype: float16`.

    Example:
        RoBERTa-base over a billion sequences, on 64 processes: a cache of 37 TB and banks of a TB are out of the
        question, so the rules take a live teacher and queues, which are as large as for a thousand rows.

        >>> sizes = sizes_on_paper(10**9, layers=12, hidden=768, processes=64, student_parameters=82_000_000)
        >>> f"{sizes.cache / 1e12:.1f} TB, {sizes.bank / 1e9:.0f} GB, {sizes.queue / 1e6:.0f} MB"
        '36.9 TB, 1024 GB, 68 MB'
        >>> f"{sizes.memory_messages / 1e6:.1f} MB beside {sizes.gradient_messages / 1e6:.0f} MB of gradients"
        '2.1 MB beside 646 MB of gradients'
    """
    others, memories = processes - 1, memories_for(keys)
    features = layers * hidden * cache_itemsize if keys == "fresh" else 0
    return Sizes(
        cache=cache_bytes(rows, classes=classes, layers=layers, hidden=hidden, itemsize=cache_itemsize),
        bank=memories * bank_bytes(rows, dim, memory_itemsize),
        queue=memories * queue_bytes(queue_size, dim, memory_itemsize),
        lookup=negatives * (features + memories * dim * memory_itemsize),
        memory_messages=memories * others * batch_size * (dim * 4 + INDEX_BYTES),
        gradient_messages=2 * others * student_parameters * 4 // processes,
    )


def memories_for(keys: KeyKind) -> int:
    """How many memories a contrast keeps: one for each side whose keys are remembered.

    Example:
        >>> memories_for("banked"), memories_for("queued"), memories_for("fresh")
        (2, 2, 1)
    """
    return 1 if keys == "fresh" else 2


@dataclass(frozen=True)
class Plan:
    """What `codir plan` shows.

    Attributes:
        rows: N.
        sizes: in bytes.
        choices: what the rules of `codir.teacher` and `codir.memory` choose, with the reason; a line each.
    """

    rows: int
    sizes: Sizes
    choices: tuple[str, ...]

    def table(self) -> list[tuple[str, str, int]]:
        """What is counted, where it takes its room, and its bytes."""
        return [
            ("teacher cache", "disk, shared by all processes", self.sizes.cache),
            ("memory banks", "memory of each process", self.sizes.bank),
            ("queues, in place of banks", "memory of each process", self.sizes.queue),
            ("negatives of one label", "memory, at each step", self.sizes.lookup),
            ("messages of the memory", "received by each process per step", self.sizes.memory_messages),
            ("messages of the gradients", "received by each process per step", self.sizes.gradient_messages),
        ]


def plan_on_paper(
    *,
    rows: int,
    layers: int,
    hidden: int,
    classes: int,
    epochs: float,
    batch_size: int,
    negatives: int,
    dim: int,
    queue_size: int,
    keys: KeyKind,
    processes: int,
    student_parameters: int,
    cache_dtype: str,
    memory_dtype: str,
    free_memory: int | None,
    free_disk: int | None,
) -> Plan:
    """Sizes of a run, and what the rules choose for it where so much memory and disk are free.

    Args:
        rows: N; `layers` to `student_parameters` are those of `sizes_on_paper`.
        epochs: passes over the training set.
        cache_dtype: `float32` or `float16`.
        memory_dtype: `float32` or `float16`.
        free_memory: bytes that all processes share; by default those that are free here.
        free_disk: bytes; by default those that are free here.
    """
    itemsize = {"float32": 4, "float16": 2}
    sizes = sizes_on_paper(
        rows,
        layers=layers,
        hidden=hidden,
        classes=classes,
        dim=dim,
        negatives=negatives,
        batch_size=batch_size,
        processes=processes,
        queue_size=queue_size,
        keys=keys,
        student_parameters=student_parameters,
        cache_itemsize=itemsize[cache_dtype],
        memory_itemsize=itemsize[memory_dtype],
    )
    disk = system.free_disk(Path.home()) if free_disk is None else free_disk
    readings = count_readings(epochs, negatives=negatives if keys == "fresh" else 0, batch_size=batch_size)
    cache = choose_cache("auto", size=sizes.cache, readings=readings, free_disk=disk)
    sides = ("student", "teacher")[: memories_for(keys)]
    memories = [
        choose_memory(
            "auto",
            num_examples=rows,
            dim=dim,
            queue_size=queue_size,
            itemsize=itemsize[memory_dtype],
            free_memory=system.free_memory() if free_memory is None else free_memory,
            free_disk=disk,
            processes=processes,
            name=f"vectors of the {side}",
        )
        for side in sides
    ]
    return Plan(rows, sizes, (cache.line, *(memory.line for memory in memories)))
