"""A fair comparison of objectives: one teacher and cache, and for each seed the same student, batches and steps.

Everything of one run is `codir.recipe`'s; here is which runs there are, that finished ones are kept, and what is told
at the end.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from codir.config import CompareConfig, Contestant, Recipe, StudentConfig, validate
from codir.data import LoadedData
from codir.device import resolve_dtype
from codir.errors import UserError
from codir.preflight import check_labels, check_max_length, check_teacher_score
from codir.recipe import RECORD_NAME, build_trainer, load, load_reader, make_student
from codir.report import Comparison, Exam, Reader, Run, agreement, gather_conditions, write_comparison
from codir.teacher import fingerprint_model, fingerprint_texts

logger = logging.getLogger(__name__)

EVERY_RUN = {"eval_strategy": "no", "save_strategy": "no"}
"""A run is trained to its end, asked once, and not kept."""


@dataclass(frozen=True)
class Entry:
    """One run to come: a contestant, a kind of student, a seed, and the recipe that they make."""

    contestant: Contestant
    student: str
    seed: int
    recipe: Recipe

    @property
    def file(self) -> Path:
        """Where its result is kept, under the folder of the comparison."""
        return Path("runs", self.student, self.contestant.label, f"{self.seed}.json")

    def __str__(self) -> str:
        return f"{self.student}, {self.contestant.label}, seed {self.seed}"


def compare(config: CompareConfig) -> Comparison:
    """Train every contestant with every seed, and say how they differ.

    Leaves in `config.output_dir`: `results.json`, `table.md`, `comparison.png`, `recipe.yaml`, and a file for each
    finished run under `runs/`. Started again, it keeps the finished runs whose settings, teacher and data are the same.
    A run that breaks is named at the end, and the rest goes on.

    Raises:
        UserError: input that cannot work, before any training; or no run came to its end.
    """
    folder = claim_folder(config)
    teacher = load_reader(config.teacher.model)
    data = load(config.data, teacher)
    for note in [*data.notes, *check_labels(teacher.model, data.task)]:
        logger.warning(note)
    check_max_length(teacher.model, config.data.max_length)
    exam = exam_of(config, data)
    of_teacher = exam.answers(teacher)
    for note in check_teacher_score(of_teacher[exam.first], exam.labels(exam.first), data.task):
        logger.warning(note)

    common = fingerprint_of(teacher, data)
    runs, failed = [], []
    entries = list(entries_of(config))
    for number, entry in enumerate(entries, start=1):
        fingerprint = fingerprint_run(entry, common)
        run = kept_run(folder / entry.file, fingerprint)
        if run is None:
            logger.warning("run %d of %d: %s", number, len(entries), entry)
            try:
                run = train(entry, teacher, data, of_teacher[exam.first], fingerprint)
                keep_run(run, folder / entry.file)
            except Exception as error:  # whatever one contestant does, the others are not to blame
                failed.append(f"{entry}: {' '.join(str(error).split()) or type(error).__name__}")
                logger.warning("failed: %s", failed[-1])
                continue
        runs.append(run)
    if not runs:
        raise UserError("comparison", expected="a run that comes to its end", got=failed[0], do="mend what it says")

    comparison = Comparison(
        runs,
        reference=config.reference_label,
        metric=data.task.metrics[0],
        teacher=exam.score(of_teacher),
        conditions=gather_conditions(dtype=str(exam.dtype).removeprefix("torch."), seed=config.seed_list[0]),
        failed=failed,
    )
    write_comparison(comparison, folder)
    return comparison


# ---- The steps ----


def claim_folder(config: CompareConfig) -> Path:
    """The folder of the comparison, with its recipe in it; emptied of an earlier comparison where that was asked."""
    folder = config.output_dir
    if config.overwrite:
        shutil.rmtree(folder / "runs", ignore_errors=True)
    is_other = folder.exists() and any(folder.iterdir()) and not (folder / "runs").is_dir()
    if is_other and not config.overwrite:
        raise UserError(
            "output_dir",
            expected="a folder that is empty, not there yet, or of a comparison",
            got=f"{folder}, which holds something else",
            do="choose another folder, or pass `--overwrite`",
        )
    (folder / "runs").mkdir(parents=True, exist_ok=True)
    content = config.model_dump(mode="json", exclude={"overwrite"})
    (folder / RECORD_NAME).write_text(yaml.safe_dump(content, sort_keys=False))
    return folder


def entries_of(config: CompareConfig) -> Iterator[Entry]:
    """Every run: seed by seed, so that an interrupted comparison has as many whole seeds as it can."""
    for seed in config.seed_list:
        for name, student in config.students.items():
            for contestant in config.presets:
                yield Entry(contestant, name, seed, recipe_of(config, contestant, student, seed))


def recipe_of(config: CompareConfig, contestant: Contestant, student: StudentConfig, seed: int) -> Recipe:
    """What `codir distill` would be told for this run."""
    training = {**config.training.model_dump(), **contestant.training, **EVERY_RUN, "seed": seed}
    sections = {
        "teacher": config.teacher.model_dump(),
        "data": config.data.model_dump(),
        "student": student.model_dump(),
        "objectives": {**contestant.objectives, "preset": contestant.preset},
        "training": training,
        "output_dir": config.output_dir,
    }
    return validate(Recipe, sections)


def train(entry: Entry, teacher: Reader, data: LoadedData, of_teacher: np.ndarray, fingerprint: str) -> Run:
    """Train one contestant and examine it."""
    recipe = entry.recipe
    student = make_student(recipe.student, teacher, seed=entry.seed)
    scratch = recipe.output_dir / "scratch"
    trainer = build_trainer(recipe, recipe.objectives, data, student, teacher, scratch)
    start = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - start
    exam = exam_of(recipe, data)
    answers = exam.answers(Reader(trainer.student, student.tokenizer))
    shutil.rmtree(scratch, ignore_errors=True)
    return Run(
        preset=entry.contestant.label,
        seed=entry.seed,
        task=recipe.data.source,
        student=entry.student,
        student_layers=int(trainer.student.config.num_hidden_layers),
        metrics=exam.score(answers),
        agreement=agreement(answers[exam.first], of_teacher),
        seconds=seconds,
        seconds_per_step=seconds / max(trainer.state.global_step, 1),
        fingerprint=fingerprint,
    )


def exam_of(config: CompareConfig | Recipe, data: LoadedData) -> Exam:
    """A fresh exam, since an exam remembers whom it asked."""
    return Exam(data.dev, data.task, config.data.max_length, resolve_dtype(config.training.precision))


def fingerprint_of(teacher: Reader, data: LoadedData) -> dict[str, Any]:
    """Of what all runs share: the teacher's weights, and every row with its label."""
    parts = {"train": data.train, **data.dev}
    labels = {name: [str(label) for label in part["label"]] for name, part in parts.items() if "label" in part.features}
    texts = {name: fingerprint_texts(part) for name, part in parts.items()}
    return {"teacher": fingerprint_model(teacher.model), "texts": texts, "labels": labels}


def fingerprint_run(entry: Entry, common: dict[str, Any]) -> str:
    """Of everything that decides a run's result; where files lie does not."""
    own = entry.recipe.model_dump(mode="json", include={"student", "objectives", "training"})
    content = {**common, **own, "max_length": entry.recipe.data.max_length}
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16).hexdigest()


def kept_run(file: Path, fingerprint: str) -> Run | None:
    """A finished run of the same settings, teacher and data."""
    if not file.exists():
        return None
    run = Run(**json.loads(file.read_text("utf-8")))
    return run if run.fingerprint == fingerprint else None


def keep_run(run: Run, file: Path) -> None:
    """Write a finished run under another name first: a file of the right name is whole."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".part")
    draft.write_text(json.dumps(asdict(run), indent=2, allow_nan=False) + "\n", "utf-8")
    os.replace(draft, file)
