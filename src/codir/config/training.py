"""How training runs: codir's own keys, and the options of `transformers.TrainingArguments`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, PositiveInt, SerializerFunctionWrapHandler, model_serializer, model_validator

from codir.config.trainer_options import AboveZero, AtLeastZero, Interval, Reporter, Seed, TrainerOptions
from codir.config.words import PRECISION, PRETRAINING, TRAINING, EvalStrategy, Precision, SamplingStrategy, SaveStrategy
from codir.errors import UserError, together

OWNED = {
    **dict.fromkeys(
        ("bf16", "fp16"),
        (
            "`training.precision`, which also says how models are measured",
            "set `precision: bf16`, `fp32` or `auto`",
        ),
    ),
    "output_dir": (
        "`output_dir` of the recipe, under which checkpoints are kept",
        "set `output_dir`, or `--output-dir`",
    ),
    "hub_token": ("the environment variable `HF_TOKEN`, since a recipe is written to a file", "set `HF_TOKEN`"),
    **dict.fromkeys(
        ("push_to_hub", "hub_model_id", "hub_strategy", "hub_always_push", "hub_private_repo", "hub_revision"),
        (
            "`push_to_hub` of the recipe, which pushes a finished model once, to the main branch",
            "set `push_to_hub: me/student`, or `--push-to-hub`",
        ),
    ),
    "label_smoothing_factor": ("the objectives, which say what the loss is", "leave it out"),
    "resume_from_checkpoint": ("`resume`, which finds the newest whole checkpoint", "pass `--resume`"),
}
"""Options of `TrainingArguments` that codir decides: what says it instead, and what to do."""


class TrainingConfig(TrainerOptions):
    """How training runs: codir's own keys, and the options of `transformers.TrainingArguments`."""

    precision: Precision = Field(PRECISION, description="`auto`: bf16 where the processor multiplies it natively")
    head_learning_rate: AboveZero | None = Field(
        None, description="learning rate of the projection heads; 20 times the student's by default"
    )
    early_stopping_patience: PositiveInt | None = Field(
        None, description="stop after so many evaluations without a better one"
    )
    load_best_model_at_end: bool | None = Field(
        None, description="end with the model that evaluation found best, not with the last"
    )
    seed: Seed = Field(TRAINING["seed"], description="seed of data order, dropout, heads and negatives")
    num_train_epochs: AboveZero = Field(TRAINING["num_train_epochs"], description="passes over the training set")
    per_device_train_batch_size: PositiveInt = Field(
        TRAINING["per_device_train_batch_size"], description="rows per step and device"
    )
    per_device_eval_batch_size: PositiveInt = Field(
        TRAINING["per_device_eval_batch_size"], description="rows per batch and device in evaluation"
    )
    learning_rate: AboveZero = Field(TRAINING["learning_rate"], description="peak learning rate of the model")
    weight_decay: AtLeastZero = Field(TRAINING["weight_decay"], description="weight decay of the model")
    warmup_steps: AtLeastZero = Field(TRAINING["warmup_steps"], description="steps of warm-up; below 1, a share of all")
    train_sampling_strategy: SamplingStrategy = Field(
        TRAINING["train_sampling_strategy"], description="the order of the rows"
    )
    eval_strategy: EvalStrategy = Field(TRAINING["eval_strategy"], description="when the student is evaluated")
    save_strategy: SaveStrategy = Field(TRAINING["save_strategy"], description="when a checkpoint is saved")
    save_total_limit: PositiveInt | None = Field(TRAINING["save_total_limit"], description="checkpoints that are kept")
    logging_steps: Interval = Field(
        TRAINING["logging_steps"], description="steps between two log lines; below 1, a share of all"
    )
    report_to: Reporter | list[Reporter] = Field(TRAINING["report_to"], description="trackers that get the log")

    @model_validator(mode="before")
    @classmethod
    def _what_codir_decides(cls, given: Any) -> Any:
        owned = [key for key in OWNED if isinstance(given, Mapping) and key in given]
        if not owned:
            return given
        mistakes = [
            UserError(f"training.{key}", expected=OWNED[key][0], got=f"`{key}`", do=OWNED[key][1]) for key in owned
        ]
        try:
            cls.model_validate({key: value for key, value in given.items() if key not in owned})
        except UserError as error:
            mistakes += [one.of("training") for one in getattr(error, "errors", [error])]
        raise together(mistakes)

    @model_validator(mode="after")
    def _evaluated_where_it_is_judged(self) -> TrainingConfig:
        for key in NEED_EVALUATION:
            if getattr(self, key) and self.eval_strategy == "no":
                raise UserError(
                    key,
                    expected="evaluation while training, by which models are compared",
                    got="`eval_strategy: no`",
                    do="set `training.eval_strategy: epoch` or `steps`, or leave it out",
                )
        return self

    @model_serializer(mode="wrap")
    def _only_what_is_said(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """An option of `transformers` that was not set is left out: its default is not codir's to record."""
        content: dict[str, Any] = serialize(self)
        left_open = TrainerOptions.model_fields.keys() - self.model_fields_set - type(self).own_defaults()
        return {key: value for key, value in content.items() if key not in left_open}

    @classmethod
    def own_defaults(cls) -> set[str]:
        """Keys that have a default of codir's own."""
        return {name for name, field in cls.model_fields.items() if field.default is not None or name in _MAY_BE_NULL}

    def trainer_arguments(self) -> dict[str, Any]:
        """What goes to `TrainingArguments`: everything but codir's own keys."""
        return self.model_dump(exclude={"precision", "head_learning_rate", "early_stopping_patience"})


_MAY_BE_NULL = {"head_learning_rate", "save_total_limit"}
NEED_EVALUATION = ("early_stopping_patience", "load_best_model_at_end")
"""Keys that judge the model while it trains."""


class PretrainingConfig(TrainingConfig):
    """How pre-training runs: as `training`, counted in steps."""

    max_steps: Annotated[int, Field(ge=-1)] = Field(
        PRETRAINING["max_steps"], description="optimiser steps; -1 where `num_train_epochs` is given instead"
    )
    train_sampling_strategy: SamplingStrategy = Field(
        PRETRAINING["train_sampling_strategy"], description="the order of the sequences"
    )
    eval_strategy: EvalStrategy = Field(PRETRAINING["eval_strategy"], description="when the student is evaluated")
    eval_steps: Interval = Field(
        PRETRAINING["eval_steps"], description="steps between two evaluations; below 1, a share of all"
    )
    save_strategy: SaveStrategy = Field(PRETRAINING["save_strategy"], description="when a checkpoint is saved")
    save_steps: Interval = Field(
        PRETRAINING["save_steps"], description="steps between two checkpoints; below 1, a share of all"
    )

    @model_validator(mode="before")
    @classmethod
    def _epochs_where_they_are_asked(cls, given: Any) -> Any:
        is_by_epochs = isinstance(given, Mapping) and "num_train_epochs" in given and "max_steps" not in given
        return {**given, "max_steps": -1} if is_by_epochs else given
