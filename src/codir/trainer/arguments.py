"""`TrainingArguments` with codir's defaults and its own few keys, so that Python trains as the command line does."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast, get_args

import torch
from transformers import TrainingArguments

from codir.config.words import (
    CACHE_WISH,
    MASK_PROBABILITY,
    MAX_LENGTH,
    PRECISION,
    PRETRAINING,
    STORED_DTYPE,
    TEACHER_CACHE_DIR,
    TRAINING,
    CacheWish,
    Precision,
    StoredDtype,
)
from codir.errors import UserError
from codir.system import default_device, resolve_dtype
from codir.tasks import Kind

logger = logging.getLogger(__name__)


@dataclass
class DistillationArguments(TrainingArguments):
    """The usual `TrainingArguments` with codir's defaults, those of `codir distill`.

    Batches of 32 rows of similar length, learning rate 1e-4 with 6% warm-up, evaluation and a checkpoint after each
    epoch, and bf16 where the processor multiplies it natively. Without an `eval_dataset` nothing is evaluated.

    Args:
        precision: `auto`, `bf16` or `fp32`; `bf16=True` and `fp16=True` work as in `TrainingArguments`.
        max_length: tokens per example at most, for texts.
        teacher_cache: keep the teacher's features (`True`), run it at every step (`False`, the same losses), or let
            `codir.teacher.choose_cache` decide (`"auto"`).
        teacher_cache_dir: where features are kept from run to run.
        cache_dtype: number format of pooled layers in the cache.
        head_learning_rate: learning rate of the projection heads; by default 20 times the student's, or for maps of
            sentence vectors the same.
        early_stopping_patience: stop after so many evaluations without a better `metric_for_best_model`, which is the
            loss by default.

    Raises:
        UserError: `precision` and `bf16` or `fp16` contradict each other, or a key of codir's own has a value that it
            cannot have.

    Example:
        >>> args = DistillationArguments("runs", num_train_epochs=2)
        >>> args.per_device_train_batch_size, args.learning_rate, args.max_length
        (32, 0.0001, 128)
    """

    num_train_epochs: float = TRAINING["num_train_epochs"]
    per_device_train_batch_size: int = TRAINING["per_device_train_batch_size"]
    per_device_eval_batch_size: int = TRAINING["per_device_eval_batch_size"]
    learning_rate: float = TRAINING["learning_rate"]
    weight_decay: float = TRAINING["weight_decay"]
    warmup_steps: float = TRAINING["warmup_steps"]
    train_sampling_strategy: str = TRAINING["train_sampling_strategy"]
    eval_strategy: str = TRAINING["eval_strategy"]
    save_strategy: str = TRAINING["save_strategy"]
    save_total_limit: int | None = TRAINING["save_total_limit"]
    logging_steps: float = TRAINING["logging_steps"]
    report_to: None | str | list[str] = TRAINING["report_to"]  # noqa: RUF036 - the order that HfArgumentParser reads
    seed: int = TRAINING["seed"]
    precision: Precision = field(default=PRECISION, metadata={"help": "Number format of the matrix products."})
    max_length: int = field(default=MAX_LENGTH, metadata={"help": "Tokens per example at most."})
    teacher_cache: CacheWish = field(default=CACHE_WISH, metadata={"help": "Whether the teacher runs once."})
    teacher_cache_dir: str = field(default=TEACHER_CACHE_DIR, metadata={"help": "Where its features are kept."})
    cache_dtype: StoredDtype = field(default=STORED_DTYPE, metadata={"help": "Number format of the features."})
    head_learning_rate: float | None = field(default=None, metadata={"help": "Learning rate of projection heads."})
    early_stopping_patience: int | None = field(default=None, metadata={"help": "Evaluations without a better one."})

    def __post_init__(self) -> None:
        device, given = default_device(), cast(Any, self)  # transformers' own annotations are not read
        is_named = given.bf16 or given.fp16
        check_choice("precision", self.precision, get_args(Precision))
        check_choice("cache_dtype", self.cache_dtype, get_args(StoredDtype))
        check_choice("teacher_cache", self.teacher_cache, get_args(CacheWish))
        check_range("max_length", self.max_length, above=0)
        if self.head_learning_rate is not None:
            check_range("head_learning_rate", self.head_learning_rate, above=0)
        if self.early_stopping_patience is not None:
            check_range("early_stopping_patience", self.early_stopping_patience, above=0)
            self.metric_for_best_model = given.metric_for_best_model or "loss"
        formats = {"bf16": given.bf16, "fp16": given.fp16}
        if is_named and self.precision != "auto" and not formats.get(self.precision):
            raise UserError(
                "precision",
                expected="one number format",
                got=f"`{self.precision}` beside {' and '.join(f'`{name}=True`' for name in formats if formats[name])}",
                do="leave one of the two out",
            )
        given.use_cpu = given.use_cpu or device.type == "cpu"
        given.bf16 = given.bf16 if is_named else resolve_dtype(self.precision, device) == torch.bfloat16
        super().__post_init__()


@dataclass
class PretrainingArguments(DistillationArguments):
    """The same for pre-training, with the defaults of `codir pretrain`: counted in steps, sequences in random order.

    Args:
        mask_probability: share of the tokens that is predicted, where tokens are masked.
        whole_words: mask all tokens of a word together.
        num_train_epochs: passes over the corpus, in place of `max_steps`.
        max_steps: optimiser steps; 10,000 where neither is given.

    Example:
        >>> PretrainingArguments("runs").max_steps, PretrainingArguments("runs", num_train_epochs=2).max_steps
        (10000, -1)
    """

    num_train_epochs: float | None = None  # type: ignore[assignment]  # a float once made
    max_steps: int | None = None
    train_sampling_strategy: str = PRETRAINING["train_sampling_strategy"]
    eval_strategy: str = PRETRAINING["eval_strategy"]
    eval_steps: float | None = PRETRAINING["eval_steps"]
    save_strategy: str = PRETRAINING["save_strategy"]
    save_steps: float = PRETRAINING["save_steps"]
    mask_probability: float = field(default=MASK_PROBABILITY, metadata={"help": "Share of the tokens to predict."})
    whole_words: bool = field(default=False, metadata={"help": "Mask all tokens of a word together."})

    def __post_init__(self) -> None:
        if self.max_steps is None:
            self.max_steps = PRETRAINING["max_steps"] if self.num_train_epochs is None else -1
        self.num_train_epochs = TRAINING["num_train_epochs"] if self.num_train_epochs is None else self.num_train_epochs
        check_range("mask_probability", self.mask_probability, above=0, below=1)
        super().__post_init__()


def check_choice(name: str, value: object, choices: Sequence[object]) -> None:
    """Refuse a value that is none of the choices."""
    if not any(value is one or (isinstance(value, str) and value == one) for one in choices):
        expected = "one of " + ", ".join(map(repr, choices))
        raise UserError(name, expected=expected, got=repr(value), do=f"change `{name}`")


def check_range(name: str, value: float, *, above: float, below: float = math.inf) -> None:
    """Refuse a number outside an open range, NaN and infinity too."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not above < value < below:
        expected = f"a number above {above}" + ("" if below == math.inf else f" and below {below}")
        raise UserError(name, expected=expected, got=repr(value), do=f"change `{name}`")


def own_key(args: TrainingArguments, name: str) -> Any:
    """One of codir's keys; its default where the arguments are transformers' own.

    Example:
        >>> own_key(TrainingArguments("runs", use_cpu=True), "max_length")
        128
    """
    return getattr(args, name, getattr(PretrainingArguments, name))


def own_copy(args: TrainingArguments, *, has_evaluation: bool, kind: Kind | None = None) -> TrainingArguments:
    """The trainer's own arguments, so that the caller's stay as they are.

    codir's default of evaluating each epoch asks for nothing that is not there; that of a plain `TrainingArguments` is
    the user's own, and `Trainer` says what it lacks.

    Args:
        args: the caller's.
        has_evaluation: whether there are evaluation rows.
        kind: of the task; `None` for a language model.

    Raises:
        UserError: checkpoints are to be compared by what no evaluation gives.
    """
    args = copy.copy(args)
    if args.n_gpu > 1:
        logger.warning("One process sees %d GPUs and uses one; `torchrun` or `accelerate launch` use all.", args.n_gpu)
        args._n_gpu = 1
    if isinstance(args, DistillationArguments) and not has_evaluation:
        args.eval_strategy = "no"
    if own_key(args, "early_stopping_patience") is not None and args.eval_strategy == "no":
        raise UserError(
            "early_stopping_patience",
            expected="an `eval_dataset`, and an `eval_strategy` of `epoch` or `steps`",
            got="no evaluation while training",
            otherwise="nothing would have stopped the run",
            do="pass an `eval_dataset`, or leave it out",
        )
    best = (args.metric_for_best_model or "").removeprefix("eval_")
    if kind is not None and kind.reads_apart and args.eval_strategy != "no" and best == "loss":
        raise UserError(
            "metric_for_best_model",
            expected=f"one of {', '.join(kind.metrics)}, since vectors have no loss of evaluation",
            got=f"`{args.metric_for_best_model}`",
            otherwise="training would have ended at the first evaluation",
            do=f"pass `metric_for_best_model='{kind.metrics[0]}'` and `greater_is_better=True`",
        )
    args.logging_nan_inf_filter = False  # it hides what the trainer looks for
    args.dataloader_persistent_workers = False  # they read on from one epoch to the next, which no resume can repeat
    return args


def compute_dtype(args: TrainingArguments) -> torch.dtype:
    """The number format of the matrix products."""
    return torch.bfloat16 if args.bf16 else torch.float16 if args.fp16 else torch.float32
