"""How training runs: codir's own keys, and any key of `transformers.TrainingArguments`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from codir.errors import UserError


class TrainingConfig(BaseModel):
    """How training runs: codir's own keys, and any key of `transformers.TrainingArguments`."""

    model_config = ConfigDict(extra="allow", frozen=True)

    precision: Literal["auto", "bf16", "fp32"] = Field("auto", description="auto: bf16 where the processor has it")
    head_learning_rate: PositiveFloat | None = Field(None, description="of projection heads; 20x the student's")
    seed: NonNegativeInt = Field(0, description="seed for every random choice")
    num_train_epochs: PositiveFloat = Field(3.0, description="passes over the training set")
    per_device_train_batch_size: PositiveInt = Field(32, description="rows per step and device")
    per_device_eval_batch_size: PositiveInt = 64
    learning_rate: PositiveFloat = Field(1e-4, description="learning rate of the model that trains")
    weight_decay: float = 0.01
    warmup_steps: float = Field(0.06, description="below 1: a share of all steps")
    train_sampling_strategy: Literal["random", "sequential", "group_by_length", "batch_rebalance"] = "group_by_length"
    eval_strategy: Literal["no", "steps", "epoch"] = "epoch"
    save_strategy: Literal["no", "steps", "epoch", "best"] = "epoch"
    save_total_limit: PositiveInt | None = 1
    logging_steps: PositiveInt = 25
    report_to: str | list[str] = "none"

    @model_validator(mode="before")
    @classmethod
    def _one_word_for_precision(cls, given: Any) -> Any:
        for key in ("bf16", "fp16"):
            if isinstance(given, Mapping) and key in given:
                raise UserError(
                    f"training.{key}",
                    expected="`training.precision`, which also says how models are measured",
                    got=f"`{key}`",
                    do="set `precision: bf16`, `fp32` or `auto`",
                )
        return given

    def trainer_arguments(self) -> dict[str, Any]:
        """What goes to `TrainingArguments`: everything but codir's own keys."""
        return self.model_dump(exclude={"precision", "head_learning_rate"})


class PretrainingConfig(TrainingConfig):
    """How pre-training runs: as `training`, by steps."""

    max_steps: int = Field(10_000, description="optimiser steps; -1 where `num_train_epochs` is given instead")
    train_sampling_strategy: Literal["random", "sequential", "group_by_length", "batch_rebalance"] = "random"
    eval_strategy: Literal["no", "steps", "epoch"] = "steps"
    eval_steps: PositiveFloat = Field(0.1, description="below 1: a share of all steps")
    save_strategy: Literal["no", "steps", "epoch", "best"] = "steps"
    save_steps: PositiveFloat = Field(0.1, description="below 1: a share of all steps")

    @model_validator(mode="before")
    @classmethod
    def _epochs_where_they_are_asked(cls, given: Any) -> Any:
        is_by_epochs = isinstance(given, Mapping) and "num_train_epochs" in given and "max_steps" not in given
        return {**given, "max_steps": -1} if is_by_epochs else given
