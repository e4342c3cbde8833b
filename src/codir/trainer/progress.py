"""What a resumed run has to take up beside weights and state, so that it goes on as if it had never stopped.

`Trainer` starts anew what it has summed since the last log line, the state of callbacks, and keeps the learning rate
of the checkpoint even where `args` ask for another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR
from transformers import EarlyStoppingCallback, TrainerCallback, TrainingArguments
from transformers.trainer_callback import ExportableState

PROGRESS_NAME = "codir_progress"


def progress_file(folder: Path, args: TrainingArguments) -> Path:
    """Where a process keeps its sums; each has its own."""
    return folder / f"{PROGRESS_NAME}{f'_{args.process_index}' if args.world_size > 1 else ''}.pth"


def save_progress(file: Path, progress: Mapping[str, Any]) -> None:
    """Write what a process has summed."""
    file.parent.mkdir(parents=True, exist_ok=True)  # it may come here before the main process does
    torch.save(dict(progress), file)


def load_progress(file: Path, device: torch.device) -> dict[str, Any] | None:
    """Read it; `None` from a checkpoint of an earlier version, or of another number of processes."""
    if not file.exists():
        return None
    progress: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    progress["loss"] = progress["loss"].to(device)  # not by `map_location`, which does not know `cpu:0`
    progress["terms"]["sums"] = {name: total.to(device) for name, total in progress["terms"]["sums"].items()}
    return progress


class AtTrainBegin(TrainerCallback):
    """Calls a function when the loop has set its sums to nothing and before it takes a step."""

    def __init__(self, function: Callable[[], None]) -> None:
        self.function = function

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        """Call it."""
        self.function()


def restore_callbacks(callbacks: Iterable[TrainerCallback], stored: Mapping[str, Any]) -> None:
    """Give each callback the state that it had, and leave it the settings that it has now.

    Args:
        callbacks: of the resumed run.
        stored: by the name of their class, as `TrainerState.stateful_callbacks` has it.
    """
    states = {name: iter(state if isinstance(state, list) else [state]) for name, state in stored.items()}
    for callback in callbacks:
        if isinstance(callback, ExportableState):
            state: dict[str, Any] = next(states.get(type(callback).__name__, iter(())), {})
            for name, value in state.get("attributes", {}).items():
                setattr(callback, name, value)


def has_stopped_early(callbacks: Iterable[TrainerCallback]) -> bool:
    """Whether one of the callbacks ended the run before its last step."""
    stoppers = [callback for callback in callbacks if isinstance(callback, EarlyStoppingCallback)]
    return any(stopper.early_stopping_patience_counter >= stopper.early_stopping_patience for stopper in stoppers)


def base_rates(optimizer: torch.optim.Optimizer) -> list[float]:
    """The learning rate of each group of weights before a schedule changes it."""
    return [group.get("initial_lr", group["lr"]) for group in optimizer.param_groups]


def take_rates(optimizer: torch.optim.Optimizer, scheduler: Any, rates: Sequence[float]) -> None:
    """Let an optimiser and a schedule that were loaded go on with these rates in place of the checkpoint's.

    A schedule by steps is read anew at the step where it is, so that another warm-up counts too; any other keeps its
    factor to the rate.

    Args:
        optimizer: with the state of the checkpoint.
        scheduler: the same.
        rates: `base_rates` of the optimiser before it was loaded, as `args` ask for them.
    """
    saved = [
        (group["lr"], group.get("initial_lr", rate)) for group, rate in zip(optimizer.param_groups, rates, strict=True)
    ]
    if isinstance(scheduler, LambdaLR):
        now = [rate * shape(scheduler.last_epoch) for rate, shape in zip(rates, scheduler.lr_lambdas, strict=True)]
    else:
        now = [at if rate == base else at * rate / base for rate, (at, base) in zip(rates, saved, strict=True)]
    for group, rate, current in zip(optimizer.param_groups, rates, now, strict=True):
        group["initial_lr"], group["lr"] = rate, current
    if hasattr(scheduler, "base_lrs"):
        scheduler.base_lrs = list(rates)
    scheduler._last_lr = list(now)
