"""What the rules of `codir.memory` and `codir.teacher` are asked for a run, and the one answer that all processes take.

The rules themselves know sizes alone; here is where the sizes come from.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from accelerate.utils import broadcast_object_list
from transformers import TrainingArguments

from codir.config.words import CacheWish, MemoryKind, StoredDtype
from codir.memory import Memory, MemoryBank, MemoryPlace, NegativeQueue, choose_memory
from codir.signals import Needs, NegativeNeeds
from codir.system import free_disk, free_memory
from codir.teacher import CacheKey, LiveTeacher, choose_cache, count_readings, estimate_bytes, find_cache

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")


def build_memory(
    wanted: MemoryKind, needs: NegativeNeeds, args: TrainingArguments, *, num_examples: int, dim: int, side: str
) -> Memory:
    """The bank or queue that the rule takes for this run, still empty."""
    dtype = getattr(torch, needs.memory_dtype)

    def choose() -> MemoryPlace:
        local = int(os.environ.get("LOCAL_WORLD_SIZE", args.world_size))
        sharing = 1 if args.device.type == "cuda" else local  # each process has its own accelerator
        choice = choose_memory(
            wanted,
            num_examples=num_examples,
            dim=dim,
            queue_size=needs.queue_size,
            itemsize=dtype.itemsize,
            free_memory=free_memory(args.device),
            free_disk=free_disk(Path(args.output_dir)) * sharing // local,
            processes=sharing,
            name=f"vectors of the {side}",
        )
        logger.info(choice.line)
        return choice.place

    place = of_main_process(args, choose)
    if place == "queue":
        return NegativeQueue(needs.queue_size, dim, device=args.device, dtype=dtype)
    folder = Path(args.output_dir) if place == "mapped bank" else None
    return MemoryBank(num_examples, dim, momentum=needs.bank_momentum, device=args.device, dtype=dtype, folder=folder)


def keeps_cache(
    wanted: CacheWish, live: LiveTeacher, needs: Needs, args: TrainingArguments, cache_dir: Path, dtype: StoredDtype
) -> bool:
    """Whether this run reads the teacher from a cache."""

    def choose() -> bool:
        choice = choose_cache(
            wanted,
            size=estimate_bytes(live, dtype),
            readings=_readings(args, needs, len(live.dataset)),
            free_disk=free_disk(cache_dir),
            tokens=needs.tokens,
            is_there=lambda: find_cache(CacheKey.of(live, dtype), cache_dir) is not None,
        )
        logger.info(choice.line)
        return choice.is_cached

    return of_main_process(args, choose)


def of_main_process(args: TrainingArguments, ask: Callable[[], Answer]) -> Answer:
    """Ask in the main process alone and share its answer: what is free differs between machines and moments."""
    answer = [ask() if args.process_index == 0 else None]
    broadcast_object_list(answer)
    return answer[0]  # type: ignore[return-value]  # `None` is only what the others come with


def _readings(args: TrainingArguments, needs: Needs, rows: int) -> float:
    step_rows = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
    passes = args.max_steps * step_rows / rows if args.max_steps > 0 else float(args.num_train_epochs)
    negatives = needs.negatives.count if needs.negatives is not None and needs.negatives.looked_up else 0
    return count_readings(passes, negatives=negatives, batch_size=args.train_batch_size)
