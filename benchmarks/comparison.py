"""Run a comparison of `benchmarks/comparisons/`: make its models where there are none, then `codir compare`.

Hours of work; started again, it goes on where it was. GLUE's folders are looked for in `./glue` (a link will do), and
what is not kept in `benchmarks/results/` goes to `./runs`.

Run: python benchmarks/comparison.py sst2 [--jobs 2]; it writes benchmarks/results/sst2/.
"""

from __future__ import annotations

import argparse
import logging
import math
import os
from pathlib import Path

from base_model import find_base
from transformers import AutoModel, AutoTokenizer
from tweets import TWEETS, find_tweets

import codir
from codir.config import CompareConfig, FinetuneConfig, parse_yaml, validate
from codir.data import find_minilm
from codir.export import export_student
from codir.student import build_student

HERE = Path(__file__).parent
TEACHER_EPOCHS = 3
TEACHERS: dict[str, dict[str, float]] = {
    "teacher-sst2-200": {"num_train_epochs": 15},
    "teacher-sst2-base": {"learning_rate": 3e-5},
    "teacher-mrpc-base": {"learning_rate": 3e-5, "num_train_epochs": 2},
    "teacher-sts-b-base": {"learning_rate": 3e-5, "num_train_epochs": 2},
    "teacher-rte-base": {"learning_rate": 3e-5},
    "teacher-tweets": {"num_train_epochs": 10, "learning_rate": 1e-4},
}
"""How a teacher is fine-tuned, where that differs from `TEACHER_EPOCHS` at the usual rate."""
STARTS = {"minilm": 6, "minilm-3": 3}
"""Checkpoints that students start from: layers of MiniLM as it was pre-trained, by the names of their folders."""


def comparisons() -> list[str]:
    """Names of all."""
    return sorted(path.stem for path in (HERE / "comparisons").glob("*.yaml"))


def load_comparison(name: str, *, jobs: int = 1) -> CompareConfig:
    """The recipe of a comparison, so many runs at a time, whose results go where results are kept."""
    recipe = parse_yaml((HERE / "comparisons" / f"{name}.yaml").read_text("utf-8"))
    return validate(CompareConfig, {**recipe, "jobs": jobs, "output_dir": Path("benchmarks", "results", name)})


def pretrained_of(teacher: Path) -> Path:
    """What a teacher is fine-tuned from: MiniLM, or where its name ends so, the model of base size."""
    return find_base(teacher.parent) if teacher.name.endswith("-base") else find_minilm()


def make_teacher(config: CompareConfig) -> None:
    """A pre-trained model fine-tuned on the rows of its students, as many as any comparison with this teacher has."""
    folder = Path(config.teacher.model)
    if (folder / "config.json").exists():
        return
    training = {"num_train_epochs": TEACHER_EPOCHS, **TEACHERS.get(folder.name, {})}
    same = [other.data for other in map(load_comparison, comparisons()) if other.teacher.model == config.teacher.model]
    rows = max(data.max_train_rows or math.inf for data in same)
    data = {**config.data.model_dump(), "unlabelled_rows": None}
    data["max_train_rows"] = None if rows == math.inf else rows
    content = {"model": str(pretrained_of(folder)), "data": data, "training": training, "output_dir": folder}
    codir.finetune(validate(FinetuneConfig, content))


def make_starts(config: CompareConfig) -> None:
    """The checkpoints of `STARTS` that students start from, where they are not there yet."""
    checkpoints = [Path(student.checkpoint) for student in config.students.values() if student.checkpoint is not None]
    for folder in checkpoints:
        if folder.name in STARTS and not (folder / "config.json").exists():
            model = build_student(AutoModel.from_pretrained(find_minilm()), layers=STARTS[folder.name])
            export_student(model, AutoTokenizer.from_pretrained(find_minilm()), folder)


def main() -> None:
    """Teacher, then students."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=comparisons())
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time (default: 1)")
    wanted = parser.parse_args()
    os.chdir(HERE.parent)  # paths in a recipe are the project's
    config = load_comparison(wanted.name, jobs=wanted.jobs)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if Path(config.data.source).name == TWEETS:
        find_tweets(Path(config.data.source))
    make_teacher(config)
    make_starts(config)
    for problem in codir.compare_presets(config).failed:
        print(problem)


if __name__ == "__main__":
    main()
