"""sentence-transformers as a worker: its own trainer and losses, as its examples of distillation set them up.

Reads a plan, trains one student after another, and leaves each as a folder with `training.json` beside its weights;
those that are there already stay. Knows nothing of codir. Departs from the examples in rates, steps and batches, which
the plan gives, in the precision, which is fp32, and in that no checkpoint is chosen by a dev set.
"""

from __future__ import annotations

import csv
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.sentence_transformer.losses import EmbedDistillLoss
from transformers import set_seed

WARMUP = 0.1
"""Share of the steps, as in the examples."""


def load_rows(plan: dict[str, Any]) -> Dataset:
    """Sentences, and the teacher's vectors of them."""
    with open(plan["sentences"], encoding="utf-8", newline="") as opened:
        sentences = [row["text"] for row in csv.DictReader(opened)]
    vectors = np.load(plan["vectors"])
    assert len(vectors) == len(sentences), "vectors of other sentences"
    return Dataset.from_dict({"sentence": sentences, "label": list(vectors)})


def train(plan: dict[str, Any], one: dict[str, Any], rows: Dataset) -> None:
    """One student."""
    student = SentenceTransformer(one["start"], device="cpu")
    student.max_seq_length = plan["max_length"]
    width, of_teacher = student.get_embedding_dimension(), len(rows[0]["label"])
    args = SentenceTransformerTrainingArguments(
        output_dir=tempfile.mkdtemp(prefix="codir-peer-"),
        max_steps=plan["steps"],
        per_device_train_batch_size=plan["batch_size"],
        learning_rate=one["learning_rate"],
        warmup_steps=WARMUP,
        seed=one["seed"],
        use_cpu=True,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        logging_steps=plan["steps"],
    )
    set_seed(one["seed"])  # for the map between widths
    loss = EmbedDistillLoss(student, one["loss"], None if width == of_teacher else of_teacher)
    trainer = SentenceTransformerTrainer(model=student, args=args, train_dataset=rows, loss=loss)
    start = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - start
    student.save(one["folder"])
    Path(one["folder"], "training.json").write_text(json.dumps({"seconds": seconds}))


def main() -> None:
    """All students of the plan that are not there yet."""
    plan = json.loads(Path(sys.argv[1]).read_text())
    missing = [one for one in plan["students"] if not Path(one["folder"], "training.json").exists()]
    if missing:
        rows = load_rows(plan)
        for one in missing:
            train(plan, one, rows)


if __name__ == "__main__":
    main()
