"""Training as a phase that somebody watches, in place of `Trainer`'s own bar and lines."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, TypeVar

from transformers import (
    PrinterCallback,
    ProgressCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from codir.system.progress import Phase, begin, is_watched

logger = logging.getLogger(__name__)

AnyTrainer = TypeVar("AnyTrainer", bound=Trainer)

LOSSES, METRICS = "training", "evaluation"
"""Groups of numbers that training says."""
OF_NO_INTEREST = ("runtime", "per_second", "model_preparation_time", "_flos", "jit_compilation_time")


def watched(trainer: AnyTrainer, name: str = "training") -> AnyTrainer:
    """Make training a phase if phases are watched; else `Trainer` keeps its habits.

    Args:
        trainer: with or without its bar.
        name: of the phase.
    """
    if is_watched():
        for own in (PrinterCallback, ProgressCallback):
            trainer.remove_callback(own)
        trainer.add_callback(Watching(name))
    return trainer


class Watching(TrainerCallback):
    """Opens a phase for training, and one within it for each evaluation; says what `Trainer` logs."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._training: Phase | None = None
        self._evaluation: Phase | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """The first step comes."""
        logger.info(
            "Losses are noted every %s.", "step" if state.logging_steps == 1 else f"{state.logging_steps} steps"
        )
        self._training = begin(self.name, state.max_steps, unit="steps", done=state.global_step)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """The optimiser has stepped."""
        if self._training is not None:
            self._training.advance(state.global_step - self._training.done)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Losses, or the metrics of an evaluation."""
        if self._training is None or not logs:
            return
        if "loss" in logs:
            self._training.say(LOSSES, losses_in(logs))
        elif metrics := metrics_in(logs):
            self._training.say(METRICS, {**self._training.said.get(METRICS, {}), **metrics})

    def on_prediction_step(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        eval_dataloader: Any = None,
        **kwargs: Any,
    ) -> None:
        """A batch of an evaluation is done."""
        if self._evaluation is None:
            total = len(eval_dataloader) if hasattr(eval_dataloader, "__len__") else None
            self._evaluation = begin("evaluation", total, unit="batches")
        self._evaluation.advance()

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """An evaluation is over."""
        if self._evaluation is not None:
            self._evaluation.end()
            self._evaluation = None

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """The last step is taken."""
        if self._training is not None:
            self._training.end()
            self._training = None


def losses_in(logs: Mapping[str, float]) -> dict[str, float]:
    """The loss, its terms by their own names, the learning rate and the stage.

    Example:
        >>> losses_in({"loss": 1.5, "grad_norm": 9.0, "loss/contrastive": 2.0, "learning_rate": 1e-4, "epoch": 0.1})
        {'loss': 1.5, 'contrastive': 2.0, 'learning rate': 0.0001}
    """
    names = {"loss": "loss", "stage": "stage"}
    names |= {name: name.removeprefix("loss/") for name in logs if name.startswith("loss/")}
    names |= {"learning_rate": "learning rate"}
    return {shown: float(logs[name]) for name, shown in names.items() if name in logs}


def metrics_in(logs: Mapping[str, float]) -> dict[str, float]:
    """What an evaluation found, without what it took.

    Example:
        >>> metrics_in({"eval_loss": 0.5, "eval_accuracy": 0.9, "eval_runtime": 3.0, "epoch": 1.0})
        {'loss': 0.5, 'accuracy': 0.9}
    """
    return {
        name.removeprefix("eval_"): float(value)
        for name, value in logs.items()
        if name.startswith("eval_") and not name.endswith(OF_NO_INTEREST)
    }
