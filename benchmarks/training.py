"""The models and rows of the claims on training, and steps timed inside the trainer's own loop.

MiniLM with a classification head that is seeded, not trained: what a step costs does not depend on the weights.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback

import codir
from codir.config.words import StoredDtype
from codir.data import find_minilm, load_movie_reviews
from codir.models import load_model, load_tokenizer

BATCH_SIZE, MAX_LENGTH, STUDENT_LAYERS = 32, 64, 3
SETTING = {
    "teacher": "MiniLM, 6 layers x 384",
    "student": f"{STUDENT_LAYERS} layers x 384, copied",
    "rows": "Rotten Tomatoes, 7,530 training rows, length-grouped batches",
    "batch_size": BATCH_SIZE,
    "max_length": MAX_LENGTH,
}


@dataclass
class Setting:
    """A teacher, and data for its student; the cache is kept from run to run."""

    tokenizer: PreTrainedTokenizerBase = field(default_factory=lambda: load_tokenizer(find_minilm()))
    rows: datasets.Dataset = field(default_factory=lambda: load_movie_reviews().train)
    cache_dir: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="codir-cache-")))

    def __post_init__(self) -> None:
        torch.manual_seed(0)
        head = {"num_labels": 2, "problem_type": "single_label_classification"}
        self.teacher: PreTrainedModel = load_model(find_minilm(), self.tokenizer, head=head)

    def trainer(
        self, preset: str, *, steps: int, dtype: str = "bf16", live: bool = False, cache_dtype: StoredDtype = "float32"
    ) -> Any:
        """A trainer for a fresh student of the same start, over the same batches in the same order."""
        args = codir.DistillationArguments(
            tempfile.mkdtemp(prefix="codir-run-"),
            max_steps=steps,
            precision="bf16" if dtype == "bf16" else "fp32",
            per_device_train_batch_size=BATCH_SIZE,
            weight_decay=0.0,
            warmup_steps=0,
            seed=42,
            max_length=MAX_LENGTH,
            teacher_cache=not live,
            teacher_cache_dir=str(self.cache_dir),
            cache_dtype=cache_dtype,
            save_strategy="no",
            disable_tqdm=True,
        )
        objectives = codir.preset(preset)
        return codir.DistillationTrainer(
            self.teacher if objectives.needs.teacher else None,
            codir.build_student(self.teacher, layers=STUDENT_LAYERS),
            args,
            objectives,
            self.rows,
            processing_class=self.tokenizer,
        )


class StepClock(TrainerCallback):
    """Seconds from the end of one step to the end of the next: batch, loss, gradients, optimiser and logging."""

    def __init__(self) -> None:
        self._ends: list[float] = []

    @property
    def seconds(self) -> list[float]:
        """Of every step but the first."""
        return [after - before for before, after in zip(self._ends, self._ends[1:], strict=False)]

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Note the time."""
        if torch.accelerator.is_available():
            torch.accelerator.synchronize()
        self._ends.append(time.perf_counter())


def time_steps(trainer: Any) -> list[float]:
    """Train, and give the seconds of every step but the first."""
    clock = StepClock()
    trainer.add_callback(clock)
    trainer.train()
    return clock.seconds
