"""Pre-train 3-layer students on IMDB's reviews in four ways, from one teacher and in equal steps.

The teacher is MiniLM, given a masked-LM head on the same reviews. Students start from three of its layers: `cut` stays
as it was cut, the others are trained by presets `mlm`, `kd-pre` and `codir-pre`. What they predict, and how near the
teacher they came, is measured on held-out reviews; what they are worth on a task is what `benchmarks/comparison.py`
measures after this, with `pretrained-sst2` and `pretrained-rotten-tomatoes`.

An hour of work; started again, it goes on where it was. Models go to `./runs/pretraining`.

Run: python benchmarks/pretraining.py; it writes benchmarks/results/pretraining/.
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

from pictures import save_picture

from codir.config import PretrainRecipe, validate
from codir.data import DEMO_CORPUS, find_minilm
from codir.export import export_student
from codir.pretraining import load_teacher, pretrain
from codir.report import PretrainingResult, to_markdown
from codir.student import build_student

ROOT = Path(__file__).resolve().parents[1]
MODELS = Path("runs", "pretraining")
RESULTS = Path("benchmarks", "results", "pretraining")
STUDENTS = ("mlm", "kd-pre", "codir-pre")
TEACHER_STEPS, STUDENT_STEPS = 400, 600
"""Steps of 32 sequences of 128 tokens: the students read a third of the corpus once."""


def run(name: str, steps: int, **sections: Any) -> dict[str, Any]:
    """Pre-train a model into its folder, or find it done; gives its report, with the log of its training."""
    folder = MODELS / name
    record = folder / "record.json"
    if not record.exists():
        training = {"max_steps": steps, "learning_rate": 3e-4, "logging_steps": 20}
        common = {"corpus": {"source": DEMO_CORPUS}, "training": training, "output_dir": folder, "resume": True}
        result = pretrain(validate(PretrainRecipe, {**common, **sections}))
        record.write_text(json.dumps({**result.to_json(), "log_history": result.log_history}, indent=2) + "\n", "utf-8")
    return json.loads(record.read_text("utf-8"))


def cut_student(teacher: Path) -> None:
    """Three of the teacher's layers, as they are."""
    if not (MODELS / "cut" / "config.json").exists():
        reader = load_teacher(str(teacher))
        export_student(build_student(reader.model, layers=3), reader.tokenizer, MODELS / "cut")


def write_results(records: dict[str, dict[str, Any]]) -> None:
    """`results.json`, `table.md` and `pretraining.png`: the loss on held-out text while each student learns."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    told = records["codir-pre"]
    result = PretrainingResult(
        title="Pre-trained on IMDB",
        scores={
            "teacher": told["scores"]["teacher"],
            **{name: of["scores"]["student"] for name, of in records.items()},
        },
        parameters={
            "teacher": told["parameters"]["teacher"],
            **{name: of["parameters"]["student"] for name, of in records.items()},
        },
        conditions=told["conditions"],
        notes=tuple(told["notes"]),
        log_history=[],
        output_dir=RESULTS,
    )
    content = {
        "command": "python benchmarks/pretraining.py",
        **result.to_json(),
        "steps": {"teacher": TEACHER_STEPS, **dict.fromkeys(records, STUDENT_STEPS)},
        "log_history": {name: record["log_history"] for name, record in records.items()},
    }
    (RESULTS / "results.json").write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", "utf-8")
    (RESULTS / "table.md").write_text(to_markdown(result.rows()) + "\n", "utf-8")
    save_picture("pretraining", content, RESULTS)


def main() -> None:
    """Teacher, then students, then results."""
    os.chdir(ROOT)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    run("teacher", TEACHER_STEPS, student={"checkpoint": str(find_minilm())}, objectives="mlm")
    teacher = MODELS / "teacher"
    cut_student(teacher)
    students = {
        name: run(name, STUDENT_STEPS, teacher=str(teacher), student={"layers": 3}, objectives=name)
        for name in STUDENTS
    }
    write_results(students)


if __name__ == "__main__":
    main()
