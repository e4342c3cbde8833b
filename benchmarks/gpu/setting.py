"""Models, rows and trainers that are measured on a card: BERT's shape with seeded weights, random tokens.

What a step costs, and whether two devices agree, does not depend on what a model has learned.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import cache
from typing import Any

import datasets
import torch
from scaling_point import random_rows
from transformers import BertConfig, BertForSequenceClassification, PreTrainedModel, PreTrainedTokenizerBase

import codir
from codir.config.words import Precision
from codir.data import find_minilm
from codir.models import load_tokenizer


@dataclass(frozen=True)
class Sizes:
    """Of models and rows."""

    layers: int
    student_layers: int
    hidden: int
    heads: int
    rows: int
    equal_rows: int
    length: int
    steps: int
    batches: tuple[int, ...]


FULL = Sizes(12, 6, 768, 12, rows=8192, equal_rows=512, length=64, steps=16, batches=(32, 64, 128, 256, 512))
"""A teacher of base size, half of its layers, and rows as long as the longest of SST-2; fewer rows where the CPU reads
them too."""
SMALL = Sizes(4, 2, 32, 2, rows=160, equal_rows=160, length=12, steps=3, batches=(4, 8))
EQUAL_BATCH = 32
"""Rows of a batch where devices are compared."""


@cache
def tokenizer() -> PreTrainedTokenizerBase:
    """MiniLM's, which is BERT's; only its vocabulary and its padding are used."""
    return load_tokenizer(find_minilm())


@cache
def rows_of(count: int, length: int) -> datasets.Dataset:
    """Training rows of random tokens."""
    return random_rows(count, length, len(tokenizer()))


def make_teacher(sizes: Sizes, *, dropout: float) -> PreTrainedModel:
    """The same weights at every call."""
    torch.manual_seed(0)
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=len(tokenizer()),
            hidden_size=sizes.hidden,
            num_hidden_layers=sizes.layers,
            num_attention_heads=sizes.heads,
            intermediate_size=4 * sizes.hidden,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
            num_labels=2,
            pad_token_id=tokenizer().pad_token_id,
        )
    )


def make_trainer(
    sizes: Sizes,
    preset: str,
    device: torch.device,
    *,
    steps: int,
    batch: int = EQUAL_BATCH,
    rows: int | None = None,
    precision: Precision = "fp32",
    cache_dir: str | None = None,
    dropout: float = 0.0,
    seed: int = 0,
) -> Any:
    """A trainer whose start, batches and order are the same on every device.

    Args:
        sizes: of models and rows.
        preset: of objectives.
        device: where it trains; the CPU, or torch's accelerator.
        steps: how many.
        batch: rows of a batch.
        rows: of the training set; those for comparing devices by default.
        precision: `fp32` or `bf16`.
        cache_dir: where the teacher's features are kept; a live teacher where there is none.
        dropout: of the models. Devices draw other numbers, so it is 0 where they are compared.
        seed: of batches and heads.
    """
    args = codir.DistillationArguments(
        tempfile.mkdtemp(prefix="codir-run-"),
        max_steps=steps,
        per_device_train_batch_size=batch,
        precision=precision,
        use_cpu=device.type == "cpu",
        warmup_steps=0,
        logging_steps=10_000,
        save_strategy="no",
        train_sampling_strategy="random",
        disable_tqdm=True,
        teacher_cache=cache_dir is not None,
        teacher_cache_dir=cache_dir or tempfile.gettempdir(),
        seed=seed,
    )
    objectives = codir.preset(preset)
    teacher = make_teacher(sizes, dropout=dropout)
    return codir.DistillationTrainer(
        teacher if objectives.needs.teacher else None,
        codir.build_student(teacher, layers=sizes.student_layers),
        args,
        objectives,
        rows_of(rows or sizes.equal_rows, sizes.length),
        processing_class=tokenizer(),
    )
