"""Pre-train students on IMDB's reviews in several ways, from one teacher and in equal steps.

The teacher is MiniLM, given a masked-LM head on the same reviews. Students start from three of its layers, or as a
narrow model from nothing, and are trained by presets `mlm`, `kd-pre` and `codir-pre`, the last with the student's
anchor too; `cut` stays as it was cut. What they predict, and how near the teacher they came, is measured on held-out
reviews; what copied layers are worth on a task is what `benchmarks/comparison.py` measures after this, with the
comparisons whose names begin with `pretrained`.

With `--tune` it trains, for fewer steps and from the same teacher, the candidates that `benchmarks/comparison.py
pretrained-tune` judges by rows that nothing is reported on; `tuning.json` has what they predict. With `--anchors` it
trains `codir-pre` of either anchor with further seeds, for `pretrained-anchor-tune`, and writes `anchors.json`.

Long work; started again, it goes on where it was. Models go to `./runs/pretraining`.

Run: python benchmarks/pretraining.py; it writes benchmarks/results/pretraining/.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import write_json
from pictures import save_picture

from codir.config import PretrainRecipe, validate
from codir.data import DEMO_CORPUS, find_minilm
from codir.export import export_student
from codir.measure import count_parameters, examine_language_models
from codir.report import language_rows, to_markdown
from codir.runs import pretrain
from codir.runs.pretrain import exam_batches, load, load_teacher, split
from codir.student import build_student
from codir.system import resolve_dtype

ROOT = Path(__file__).resolve().parents[1]
MODELS = Path("runs", "pretraining")
RESULTS = Path("benchmarks", "results", "pretraining")
PRESETS = ("mlm", "kd-pre", "codir-pre")
COPIED = {"layers": 3}
NARROW = {"config": {"num_hidden_layers": 4, "hidden_size": 192, "num_attention_heads": 4, "intermediate_size": 768}}
STUDENTS: dict[str, tuple[Any, dict[str, Any]]] = {
    **{preset: (preset, COPIED) for preset in PRESETS},
    "codir-pre-student": ({"preset": "codir-pre", "contrastive": {"anchor": "student"}}, COPIED),
    **{f"narrow-{preset}": (preset, NARROW) for preset in PRESETS},
}
"""What is compared: objectives and how the student begins, by name."""
ANCHORED = {
    name if seed == 0 else f"anchors/{name}-{seed}": (name, seed)
    for seed in range(3)
    for name in ("codir-pre", "codir-pre-student")
}
"""The two anchors, each with several seeds: folder, then name among `STUDENTS` and seed."""
MAX_LENGTH = 64
TEACHER_STEPS, STUDENT_STEPS, TUNING_STEPS = 400, 600, 100
"""Steps of 32 sequences of 64 tokens: the students read a seventh of the corpus once."""
LEARNING_RATE, LOWER_RATE = 3e-4, 1e-4
HELDOUT, HELDOUT_OF_TUNING = 0.01, 0.002
"""Shares of the reviews that are examined on: what a candidate predicts does not choose it, so it is asked little."""


def contrast(weight: float = 0.1, **changed: Any) -> dict[str, Any]:
    """Preset `codir-pre` with the weight that tuning began with, and something changed in its contrast."""
    return {"preset": "codir-pre", "contrastive": {"weight": weight, **changed}}


FIRST_GUESSES = {"mlm": "mlm", "kd-pre": "kd-pre", "codir-pre": contrast()}
CANDIDATES: dict[str, tuple[Any, float]] = {
    **{name: (objectives, LEARNING_RATE) for name, objectives in FIRST_GUESSES.items()},
    **{f"{name}-slow": (objectives, LOWER_RATE) for name, objectives in FIRST_GUESSES.items()},
    "weight-1": (contrast(weight=1.0), LEARNING_RATE),
    "temperature-0.2": (contrast(contrastive_temperature=0.2), LEARNING_RATE),
    "queue-1024": (contrast(queue_size=1024), LEARNING_RATE),
    "both": (contrast(anchor="both", weight=0.3), LEARNING_RATE),
}
"""What is tuned: objectives and learning rate, by name."""


def recipe_of(
    name: str,
    steps: int,
    *,
    learning_rate: float = LEARNING_RATE,
    heldout: float = HELDOUT,
    seed: int = 0,
    **sections: Any,
) -> PretrainRecipe:
    """How a model is pre-trained into its folder."""
    training = {
        "max_steps": steps,
        "learning_rate": learning_rate,
        "seed": seed,
        "logging_steps": 20,
        "eval_steps": 0.2,
    }
    corpus = {"source": DEMO_CORPUS, "max_length": MAX_LENGTH, "heldout_fraction": heldout}
    common = {"corpus": corpus, "training": training, "output_dir": MODELS / name, "resume": True}
    return validate(PretrainRecipe, {**common, **sections})


def recorded(name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What is told of the model in a folder: read from its record, or made and recorded."""
    record = MODELS / name / "record.json"
    if not record.exists():
        write_json(record, make())
    return json.loads(record.read_text("utf-8"))


def run(name: str, steps: int, **settings: Any) -> dict[str, Any]:
    """Pre-train a model into its folder as `recipe_of` says, or find it done; gives its report, with its log."""

    def make() -> dict[str, Any]:
        result = pretrain(recipe_of(name, steps, **settings))
        return {**result.to_json(), "log_history": result.log_history}

    return recorded(name, make)


def cut(teacher: str, student: dict[str, Any]) -> dict[str, Any]:
    """Some of the teacher's layers, as they are, into their folder; gives what is known of the others."""

    def make() -> dict[str, Any]:
        reader = load_teacher(teacher)
        model = build_student(reader.model, **student)
        export_student(model, reader.tokenizer, MODELS / "cut")
        recipe = recipe_of("cut", 0, teacher=teacher, student=student)
        _, heldout = split(load(recipe.corpus, reader.tokenizer), recipe)
        models = {"teacher": reader.model, "student": model.to(reader.model.device)}
        dtype = resolve_dtype(recipe.training.precision)
        return {
            "scores": examine_language_models(models, exam_batches(recipe, reader, heldout), dtype=dtype),
            "parameters": {name: count_parameters(model) for name, model in models.items()},
            "log_history": [],
        }

    return recorded("cut", make)


def write_results(records: dict[str, dict[str, Any]]) -> None:
    """`results.json`, `table.md` and `pretraining.png`: the loss on held-out text while each student learns."""
    told = records["codir-pre"]

    def of_each(part: str) -> dict[str, Any]:
        return {"teacher": told[part]["teacher"], **{name: of[part]["student"] for name, of in records.items()}}

    content = {
        "command": "python benchmarks/pretraining.py",
        "title": "Pre-trained on IMDB",
        "scores": of_each("scores"),
        "parameters": of_each("parameters"),
        "notes": told["notes"],
        "conditions": {name: of["conditions"] for name, of in records.items() if "conditions" in of},
        "tokens": MAX_LENGTH,
        "steps": {"teacher": TEACHER_STEPS, "cut": 0, **dict.fromkeys(STUDENTS, STUDENT_STEPS)},
        "log_history": {name: record["log_history"] for name, record in records.items()},
    }
    write_json(RESULTS / "results.json", content)
    (RESULTS / "table.md").write_text(render_table(content) + "\n", "utf-8")
    save_picture("pretraining", content, RESULTS)


def write_scores(file: str, option: str, steps: int, records: dict[str, dict[str, Any]]) -> None:
    """A file of what each of an option's students predicts of held-out text."""
    content = {
        "command": f"python benchmarks/pretraining.py {option}",
        "tokens": MAX_LENGTH,
        "steps": steps,
        "scores": {student: record["scores"]["student"] for student, record in records.items()},
        "conditions": {student: record["conditions"] for student, record in records.items()},
    }
    write_json(RESULTS / file, content)


def render_table(content: dict[str, Any]) -> str:
    """What held-out reviews say of each model, from `results.json`."""
    return to_markdown(language_rows(content["scores"], content["parameters"]))


def train_students(teacher: str) -> None:
    """What is reported: every student, and the layers as they were cut."""
    untrained = cut(teacher, COPIED)
    trained = {
        name: run(name, STUDENT_STEPS, teacher=teacher, student=student, objectives=objectives)
        for name, (objectives, student) in STUDENTS.items()
    }
    write_results({"cut": untrained, **trained})


def train_candidates(teacher: str) -> None:
    """What is chosen from, for fewer steps."""
    cut(teacher, COPIED)
    common: dict[str, Any] = {"teacher": teacher, "student": COPIED, "heldout": HELDOUT_OF_TUNING}
    records = {
        name: run(f"tuning/{name}", TUNING_STEPS, learning_rate=rate, objectives=objectives, **common)
        for name, (objectives, rate) in CANDIDATES.items()
    }
    write_scores("tuning.json", "--tune", TUNING_STEPS, records)


def train_anchors(teacher: str) -> None:
    """Both anchors, trained several times: a seed has its own order, masks, heads and held-out reviews."""
    records = {}
    for folder, (name, seed) in ANCHORED.items():
        objectives, student = STUDENTS[name]
        sections = {"teacher": teacher, "student": student, "objectives": objectives}
        records[Path(folder).name] = run(folder, STUDENT_STEPS, seed=seed, **sections)
    write_scores("anchors.json", "--anchors", STUDENT_STEPS, records)


def main() -> None:
    """Teacher, then students, then results; or what is to be chosen from."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.set_defaults(train=train_students)
    instead = parser.add_mutually_exclusive_group()
    choice: dict[str, Any] = {"dest": "train", "action": "store_const"}
    instead.add_argument("--tune", **choice, const=train_candidates, help="train those of `pretrained-tune`")
    instead.add_argument("--anchors", **choice, const=train_anchors, help="train those of `pretrained-anchor-tune`")
    arguments = parser.parse_args()
    os.chdir(ROOT)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    run("teacher", TEACHER_STEPS, student={"checkpoint": str(find_minilm())}, objectives="mlm")
    arguments.train(str(MODELS / "teacher"))


if __name__ == "__main__":
    main()
