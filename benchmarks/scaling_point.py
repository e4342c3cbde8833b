"""One point of `scaling.py`, in a process of its own so that its peak memory is its own; prints JSON.

The models are MiniLM's, the rows random tokens of one length, and the teacher's cache a table of noise: what a step
costs depends on sizes alone.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import tempfile
from pathlib import Path
from typing import Any

import contrast
import datasets
import numpy as np
import torch
from common import time_in_turns
from training import StepClock

import codir
from codir.data import find_minilm
from codir.models import load_model, load_tokenizer
from codir.signals import Representation
from codir.teacher import CachedTeacher

WARMUP = 4


def train_a_little(point: dict[str, int], table: Path, rows: int, steps: int) -> list[float]:
    """Seconds of steps of `codir distill`'s trainer with the default objectives, the first few left out."""
    torch.manual_seed(0)
    tokenizer = load_tokenizer(find_minilm())
    teacher = load_model(
        find_minilm(), tokenizer, head={"num_labels": 2, "problem_type": "single_label_classification"}
    )
    args = codir.DistillationArguments(
        tempfile.mkdtemp(prefix="codir-run-"),
        max_steps=WARMUP + steps,
        ddp_backend="gloo" if "WORLD_SIZE" in os.environ else None,
        per_device_train_batch_size=point["batch"],
        logging_steps=1_000,
        save_strategy="no",
        disable_tqdm=True,
        learning_rate=5e-5,
        train_sampling_strategy="random",
        teacher_cache=False,
    )
    trainer = codir.DistillationTrainer(
        teacher,
        codir.build_student(teacher, layers=point["layers"]),
        args,
        codir.preset("codir-fresh", contrastive={"num_negatives": point["K"]}),
        random_rows(rows, point["length"], len(tokenizer)),
        processing_class=tokenizer,
    )
    trainer.teacher = CachedTeacher(table, {Representation(): "pooled"})
    clock = StepClock()
    trainer.add_callback(clock)
    forget_peak()
    trainer.train()
    return clock.seconds[WARMUP - 1 :]


def random_rows(rows: int, length: int, vocabulary: int) -> datasets.Dataset:
    """Rows of random tokens, all of one length; two classes in turns."""
    ids = np.random.default_rng(0).integers(1_000, vocabulary, (rows, length))
    columns: dict[str, Any] = {
        "input_ids": list(ids),
        "attention_mask": list(np.ones_like(ids)),
        "label": np.arange(rows) % 2,
    }
    return datasets.Dataset.from_dict(columns)


def contrast_alone(size: int, count: int, steps: int) -> list[float]:
    """Seconds of the contrastive term with a bank of so many rows (`contrast.py` says what counts)."""
    sampler = contrast.make_sampler(contrast.make_labels(size), count)
    term = contrast.CodirTerm(sampler, size, count, bank=contrast.filled_bank(size))
    forget_peak()
    return time_in_turns({"term": term}, rounds=steps)["term"]


def forget_peak() -> None:
    """Let the peak count from here on: what making the rows took is not the steps' (Linux only)."""
    reset = Path("/proc/self/clear_refs")
    if reset.exists():
        reset.write_text("5")


def peak_bytes() -> int | None:
    """The most memory that the steps held, without files that are only mapped; `None` where Linux does not tell."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return (int(lines["VmHWM"].split()[0]) - int(lines["RssFile"].split()[0])) * 1024


def main() -> None:
    """Measure one point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("point", type=json.loads, help="layers, batch, length and K; or N and K")
    parser.add_argument("--table", type=Path, help="folder of the teacher's cache")
    parser.add_argument("--rows", type=int, default=0)
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    datasets.disable_progress_bars()
    if "N" in options.point:
        seconds = contrast_alone(options.point["N"], options.point["K"], options.steps)
    else:
        seconds = train_a_little(options.point, options.table, options.rows, options.steps)
    if os.environ.get("RANK", "0") == "0":
        print(json.dumps({"seconds": seconds, "peak_bytes": peak_bytes(), "threads": torch.get_num_threads()}))


if __name__ == "__main__":
    main()
