"""CoDIR's table on GLUE, one command per task: RoBERTa-base fine-tuned, then students of 6 of its 12 layers compared.

Downloads model and data from the hub where `--model` and `--data-dir` name no folders. Started again, it goes on where
it was.

Run: python benchmarks/gpu/glue.py RTE; it writes benchmarks/results/glue/rte/. `--plan` only says what all tasks take.
"""

from __future__ import annotations

import argparse
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.filesize import decimal

import codir
from codir.config import CompareConfig, FinetuneConfig, validate
from codir.report import to_markdown
from codir.teacher import cache_bytes

ROOT = Path(__file__).resolve().parents[2]
MODEL, LAYERS, HIDDEN, STUDENT_LAYERS = "roberta-base", 12, 768, 6
PRESETS, SEEDS = ("fine-tune", "kd", "codir"), 5
BATCH, MAX_LENGTH = 32, 128
TEACHER_RATE, STUDENT_RATE = 2e-5, 5e-5


@dataclass(frozen=True)
class GlueTask:
    """Rows of its training set, and epochs: 3 of the large ones, 10 of the others."""

    rows: int
    epochs: int
    classes: int = 2

    @property
    def steps(self) -> int:
        """Of one run."""
        return math.ceil(self.rows / BATCH) * self.epochs


TASKS = {
    "CoLA": GlueTask(8551, 10),
    "SST-2": GlueTask(67349, 3),
    "MRPC": GlueTask(3668, 10),
    "STS-B": GlueTask(5749, 10, classes=1),
    "QQP": GlueTask(363846, 3),
    "MNLI": GlueTask(392702, 3, classes=3),
    "QNLI": GlueTask(104743, 3),
    "RTE": GlueTask(2490, 10),
}
"""Rows as the hub's `glue` has them."""


def plan() -> list[dict[str, str]]:
    """What each task takes, from its rows alone.

    Example:
        >>> plan()[-1]["steps of a run"], plan()[-1]["runs"]
        ('780', '16')
    """
    return [
        {
            "task": name,
            "rows": f"{task.rows:,}",
            "epochs": str(task.epochs),
            "steps of a run": f"{task.steps:,}",
            "runs": str(1 + SEEDS * len(PRESETS)),
            "cache": decimal(cache_bytes(task.rows, classes=task.classes, layers=LAYERS, hidden=HIDDEN, itemsize=2)),
        }
        for name, task in TASKS.items()
    ]


def sections(
    name: str,
    runs: Path,
    output_dir: Path,
    *,
    model: str = MODEL,
    data_dir: str | None = None,
    layers: int = STUDENT_LAYERS,
    seeds: int = SEEDS,
    training: Mapping[str, Any] | None = None,
) -> tuple[FinetuneConfig, CompareConfig]:
    """What `codir finetune` and `codir compare` are given for a task.

    Args:
        name: of `TASKS`.
        runs: where the teacher and its cache are kept.
        output_dir: for the table.
        model: pre-trained, a folder or a name on the hub.
        data_dir: folder that holds the GLUE folders; `None` for the hub's.
        layers: of the student.
        seeds: how many.
        training: laid over that of teacher and students.
    """
    teacher = runs / f"glue-{name.lower()}-teacher"
    data = {"source": f"glue:{name}", "data_dir": data_dir, "max_length": MAX_LENGTH}
    both = {"num_train_epochs": TASKS[name].epochs, "per_device_train_batch_size": BATCH, **(training or {})}
    finetune = {
        "model": model,
        "data": data,
        "training": {"learning_rate": TEACHER_RATE, **both},
        "output_dir": str(teacher),
    }
    compare = {
        "teacher": {"model": str(teacher), "cache_dir": str(runs / "cache"), "cache_dtype": "float16"},
        "data": data,
        "students": {f"{layers}-layers": {"layers": layers}},
        "presets": list(PRESETS),
        "seeds": seeds,
        "training": {"learning_rate": STUDENT_RATE, **both},
        "output_dir": str(output_dir),
    }
    return validate(FinetuneConfig, finetune), validate(CompareConfig, compare)


def run(finetune: FinetuneConfig, compare: CompareConfig) -> None:
    """Teacher, where there is none yet, then students."""
    if not (finetune.output_dir / "config.json").exists():
        codir.finetune(finetune)
    for problem in codir.compare_presets(compare).failed:
        print(problem)


def main() -> None:
    """One task, or what all of them take."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", nargs="?", choices=TASKS)
    parser.add_argument("--plan", action="store_true", help="say what each task takes")
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--data-dir", help="folder that holds the GLUE folders; from the hub by default")
    options = parser.parse_args()
    if options.plan or options.task is None:
        print(to_markdown(plan()))
        return
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    folder = ROOT / "benchmarks" / "results" / "glue" / options.task.lower()
    run(*sections(options.task, ROOT / "runs", folder, model=options.model, data_dir=options.data_dir))


if __name__ == "__main__":
    main()
