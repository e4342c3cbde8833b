"""Trains a recurrent student in each precision, by a recipe and by the trainer, and prints what came of it.

A process of its own, since oneDNN reads `ONEDNN_MAX_CPU_ISA` once.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import torch
from test_recurrent_student import SETTINGS, make_trainer
from transformers import BertTokenizer

import codir
from codir.system import resolve_dtype
from conftest import SPECIAL, WORDS, make_texts
from families import tiny_classifier

TRAINING = {"max_steps": 2, "logging_steps": 1, "use_cpu": True, "disable_tqdm": True}
FOLDER = Path(sys.argv[1])
TOKENIZER = BertTokenizer(vocab={word: i for i, word in enumerate(SPECIAL + WORDS)})


def by_recipe(precision: str) -> list[dict[str, Any]]:
    """As `codir distill` trains; its report evaluates the student too."""
    recipe = codir.Recipe(
        teacher={"model": str(FOLDER / "teacher"), "cache_dir": FOLDER / "cache"},
        data={"source": str(FOLDER / "rows.csv"), "max_length": 16},
        student={"config": SETTINGS},
        objectives={"preset": "kd"},
        training={"precision": precision, **TRAINING},
        output_dir=FOLDER / precision,
    )
    return codir.distill(recipe).log_history


def by_trainer() -> list[dict[str, Any]]:
    """As Python trains, where `bf16` is an option of `TrainingArguments`."""
    trainer = make_trainer(FOLDER, TOKENIZER, max_steps=2, bf16=True)
    trainer.train()
    return trainer.state.log_history


def losses_of(log_history: list[dict[str, Any]]) -> list[float]:
    """Of every step."""
    return [entry["loss"] for entry in log_history if "loss" in entry]


logging.basicConfig(level=logging.WARNING)
tiny_classifier("bert", num_labels=2, seed=1).save_pretrained(FOLDER / "teacher")
TOKENIZER.save_pretrained(FOLDER / "teacher")
make_texts(40).to_csv(FOLDER / "rows.csv", index=False)
report = {
    "auto_is_bf16": resolve_dtype("auto", torch.device("cpu")) == torch.bfloat16,
    "auto": losses_of(by_recipe("auto")),
    "bf16": losses_of(by_recipe("bf16")),
    "trainer": losses_of(by_trainer()),
}
print(json.dumps(report))
