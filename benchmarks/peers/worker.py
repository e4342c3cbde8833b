"""What the workers share: the plan they run, the data they read, and the baton that lets one of them compute at a time.

Knows torch and transformers; knows nothing of codir, which the peers' environments do not have, nor of any peer.

A worker is one system in a process of its own. It trains with its library's own loop, over a loader that waits for the
driver before it hands a batch out, and tells how long each step took. While it waits it computes nothing.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import AutoModelForSequenceClassification, AutoTokenizer, DataCollatorWithPadding

TEMPERATURE = 2.0
CE_WEIGHT = KD_WEIGHT = 0.5
LEARNING_RATE = 1e-4
MAX_GRAD_NORM = 1.0
"""Of setting `equal`; weight decay is 0 and the learning rate constant there."""


@dataclass(frozen=True)
class Plan:
    """What one worker is to do.

    Attributes:
        setting: `equal` or `defaults`.
        folder: holds `teacher/`, `student/`, `train.jsonl` and `dev.jsonl`.
        scratch: an empty folder of this worker's own.
        batches: rows of each step. The last batch is asked for and never run: asking ends the step before it.
        layer_map: the teacher layer that each student layer was copied from, both counted from 1.
        batch_size: rows per batch.
        max_length: tokens per row at the most.
        check: compute without dropout and report the losses.
    """

    setting: str
    folder: str
    scratch: str
    batches: list[list[int]]
    layer_map: list[int]
    batch_size: int
    max_length: int
    check: bool = False

    @property
    def is_equal(self) -> bool:
        """Whether all systems run the same loss, precision, batches and optimiser."""
        return self.setting == "equal"


class Baton:
    """This worker's end of the conversation with the driver, which has standard input and output to itself.

    The worker says `ready` when its loop asks for the first batch; the driver answers with a number of steps; the
    worker runs them and says how long each took; and so on until the driver hangs up.
    """

    def __init__(self, *packages: str) -> None:
        self.plan = Plan(**json.loads(Path(sys.argv[1]).read_text()))
        self._packages = ("torch", "transformers", *packages)
        self._losses: list[float] = []
        self._voice = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)  # whatever libraries print goes to the log

    def note_loss(self, loss: Tensor) -> None:
        """Remember the loss of this step, where the driver wants to compare it."""
        if self.plan.check:
            self._losses.append(loss.item())

    def say_ready(self) -> int:
        """Tell the driver that the first step could begin; returns how many it asks for."""
        return self._say(versions={name: metadata.version(name) for name in self._packages})

    def say_done(self, seconds: list[float]) -> int:
        """Tell the driver how long the steps took; returns how many more it asks for."""
        losses, self._losses = self._losses, []
        return self._say(seconds=seconds, losses=losses)

    def _say(self, **message: Any) -> int:
        print(json.dumps(message), file=self._voice, flush=True)
        answer = sys.stdin.readline()
        if not answer:
            os._exit(0)  # nothing is saved, no atexit hook runs: the measurement is over
        return int(answer)


class WaitingLoader:
    """A loader that waits for its turn; a step lasts from taking a batch to asking for the next.

    Args:
        batches: a list of batches, or a loader that collates them as it goes.
        baton: of this worker.
    """

    def __init__(self, batches: Any, baton: Baton) -> None:
        self.batches, self.baton = batches, baton

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Any]:
        steps_left, seconds = self.baton.say_ready(), list[float]()
        batches = iter(self.batches)
        while True:
            start = time.perf_counter()
            batch = next(batches, None)
            if batch is None:
                return
            yield batch
            seconds.append(time.perf_counter() - start)
            if len(seconds) == steps_left:
                steps_left, seconds = self.baton.say_done(seconds), []


# ---- Data and models, as someone without codir would load them ----


class Collator:
    """Pads rows to the longest of them, into a plain dictionary of tensors."""

    def __init__(self, tokenizer: Any) -> None:
        self._pad = DataCollatorWithPadding(tokenizer)

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """Pad the rows of one batch."""
        return dict(self._pad(list(rows)))


def load_rows(plan: Plan) -> tuple[list[dict[str, Any]], Collator]:
    """Tokenise the whole training set; returns its rows and what makes batches of them."""
    tokenizer = AutoTokenizer.from_pretrained(Path(plan.folder) / "teacher")
    examples = [json.loads(line) for line in (Path(plan.folder) / "train.jsonl").read_text().splitlines()]
    encoded = tokenizer([example["text"] for example in examples], truncation=True, max_length=plan.max_length)
    columns = {**encoded, "labels": [example["label"] for example in examples]}
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return rows, Collator(tokenizer)


def load_models(plan: Plan) -> tuple[Any, Any]:
    """Teacher and student, in fp32, the teacher frozen."""
    folder = Path(plan.folder)
    teacher, student = (
        AutoModelForSequenceClassification.from_pretrained(folder / name, dtype="float32")
        for name in ("teacher", "student")
    )
    return teacher.eval().requires_grad_(False), student


def autocast_forward(model: Any) -> Any:
    """Let a model compute in bf16 and answer in fp32, as `accelerate` does for those that `Trainer` trains.

    A single autocast around the whole loop would keep its casts of the weights across optimiser steps.
    """
    forward = model.forward

    def forward_in_bf16(*args: Any, **kwargs: Any) -> Any:
        with torch.autocast("cpu", torch.bfloat16):
            output = forward(*args, **kwargs)
        output.logits = output.logits.float()
        return output

    model.forward = forward_in_bf16
    return model


def without_dropout(model: nn.Module) -> None:
    """Switch dropout off for good, while the model stays in train mode."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0


def batches_of(plan: Plan, rows: Any, collate: Callable[[list[Any]], Any]) -> Any:
    """The plan's batches: made beforehand in setting `equal`, as the loop goes by torch's own loader otherwise."""
    if plan.is_equal:
        return [collate([rows[row] for row in batch]) for batch in plan.batches]
    order = [row for batch in plan.batches for row in batch]
    return DataLoader(rows, batch_size=plan.batch_size, sampler=order, collate_fn=collate)


def equal_optimizer(student: nn.Module) -> torch.optim.Optimizer:
    """What `transformers.Trainer` makes of setting `equal`."""
    return torch.optim.AdamW(student.parameters(), lr=LEARNING_RATE, weight_decay=0.0, fused=True)


def trainer_arguments(plan: Plan) -> dict[str, Any]:
    """For the two systems that run `transformers.Trainer`: their default of three epochs, nothing evaluated or saved.

    They see the plan as the first epoch and are ended in it; but codir has to know that there are more, since it
    decides by their number whether a cache pays.
    """
    shared = {"num_train_epochs": 3.0, "eval_strategy": "no", "save_strategy": "no", "report_to": "none"}
    equal = {"lr_scheduler_type": "constant", "warmup_steps": 0, "weight_decay": 0.0, "max_grad_norm": MAX_GRAD_NORM}
    return {**shared, **equal} if plan.is_equal else shared


def feed_trainer(trainer: Any, baton: Baton) -> None:
    """Make a `transformers.Trainer` train on the plan's batches, when its turn comes.

    In setting `defaults` the trainer's own loader goes on making the batches; only the order of rows is given to it.
    """
    plan, own_loader = baton.plan, trainer.get_train_dataloader
    if plan.is_equal:
        batches = batches_of(plan, trainer.train_dataset, trainer.data_collator)
        trainer.get_train_dataloader = lambda: WaitingLoader(batches, baton)
        return
    trainer._get_train_sampler = lambda *_: [row for batch in plan.batches for row in batch]
    trainer.get_train_dataloader = lambda: WaitingLoader(own_loader(), baton)
