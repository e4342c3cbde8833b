"""What a run would take, in words, and what can be counted without running it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rich.filesize import decimal

from codir.config import AnyRun


@dataclass(frozen=True)
class Rehearsal:
    """What a run would take.

    Attributes:
        command: that was rehearsed.
        rows: of the training set.
        evaluation_rows: that are read at each evaluation.
        epochs: passes over the training set.
        steps: of the optimiser.
        seconds_per_step: the median of a few steps.
        seconds: of the parts of the run, by name, in their order.
        memory: bytes, by place.
        disk: bytes, by what takes them.
        notes: for the user, those of the data among them.
    """

    command: str
    rows: int
    evaluation_rows: int
    epochs: float
    steps: int
    seconds_per_step: float
    seconds: dict[str, float]
    memory: dict[str, int]
    disk: dict[str, int]
    notes: tuple[str, ...]

    def table(self) -> list[tuple[str, str]]:
        """What there is to say, line by line."""
        lines = [
            ("training rows", f"{self.rows:,}"),
            ("evaluation rows", f"{self.evaluation_rows:,}"),
            ("epochs", f"{self.epochs:.4g}"),
            ("steps", f"{self.steps:,}"),
            ("time of a step", f"{self.seconds_per_step:.3g} s"),
        ]
        lines += [(f"time of {name}", in_minutes(seconds)) for name, seconds in self.seconds.items()]
        lines += [("time in all, about", in_minutes(sum(self.seconds.values())))]
        lines += [(f"memory, {place}", decimal(size)) for place, size in self.memory.items()]
        return lines + [(f"disk, {what}", decimal(size)) for what, size in self.disk.items()]


def in_minutes(seconds: float) -> str:
    """A duration in words.

    Example:
        >>> in_minutes(0.43), in_minutes(400)
        ('0.4 s', '6.7 minutes')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} minutes" if seconds < 36_000 else f"{seconds / 3600:.1f} hours"


def count_steps(config: AnyRun, rows: int) -> tuple[int, float]:
    """Optimiser steps and passes over the rows, as `Trainer` counts them.

    Args:
        config: of the run, in one process.
        rows: of the training set.
    """
    training = config.training
    batches = rows / training.per_device_train_batch_size
    whole = math.floor(batches) if training.dataloader_drop_last else math.ceil(batches)
    in_epoch = max(1, math.ceil(whole / (training.gradient_accumulation_steps or 1)))
    if training.max_steps is not None and training.max_steps > 0:
        return training.max_steps, training.max_steps / in_epoch
    return math.ceil(training.num_train_epochs * in_epoch), training.num_train_epochs


def count_evaluations(config: AnyRun, steps: int, epochs: float) -> int:
    """How often the student is evaluated while it trains."""
    training = config.training
    if training.eval_strategy == "no":
        return 0
    if training.eval_strategy == "epoch":
        return math.ceil(epochs)
    every = training.eval_steps or training.logging_steps
    return math.ceil(steps / (math.ceil(steps * every) if every < 1 else every))


def checkpoints_at_once(config: AnyRun) -> int:
    """Those that stay, the best one, and one that is being written."""
    training = config.training
    if training.save_strategy == "no":
        return 0
    return (training.save_total_limit or 1) + 1 + bool(training.load_best_model_at_end)
