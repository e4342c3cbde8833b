"""A fair comparison of objectives: one teacher and cache, and for each seed the same student, batches and steps.

One run is built as in `codir.runs.distill`; here is which runs there are, which are kept, and what they say together.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import yaml
from transformers import PrinterCallback

from codir.config import CompareConfig, Contestant, ObjectivesConfig, Recipe, StudentConfig, validate
from codir.data import LoadedData
from codir.errors import UserError
from codir.export import export_student
from codir.measure import Comparison, Exam, Run, agreement, gather_conditions, read_run
from codir.models import Reader
from codir.report import write_comparison
from codir.runs.build import build_trainer, build_training_arguments, load, load_reader, make_student
from codir.runs.objectives import build_objectives
from codir.runs.output import RECORD_NAME, check_writable
from codir.runs.preflight import check_labels, check_max_length, check_teacher_score, note_tokenizers
from codir.store import fingerprint_model, fingerprint_texts, fingerprint_tokenizer
from codir.system import Broken, resolve_dtype, work_in_turn, work_side_by_side
from codir.teacher import LiveTeacher, TeacherView, open_or_build_cache

logger = logging.getLogger(__name__)

EVERY_RUN = {"eval_strategy": "no", "save_strategy": "no", "disable_tqdm": True}
"""A run is trained to its end, asked once, and not kept."""


@dataclass(frozen=True, eq=False)
class Entry:
    """One run to come: a contestant, a kind of student, a seed, and the recipe that they make."""

    preset: str
    student: str
    seed: int
    recipe: Recipe
    fingerprint: str
    is_saved: bool = False

    @property
    def place(self) -> Path:
        """Where its result is kept, and its student where that was asked; under the folder of the comparison."""
        return Path(self.student, self.preset, str(self.seed))

    @property
    def file(self) -> Path:
        """The result of this run, once it is finished."""
        return self.recipe.output_dir / "runs" / self.place.with_name(f"{self.seed}.json")

    def __str__(self) -> str:
        return f"{self.student}, {self.preset}, seed {self.seed}"


@dataclass(frozen=True)
class Common:
    """What all runs share: the teacher, the data, and what the teacher answers on each evaluation set."""

    teacher: Reader
    data: LoadedData
    of_teacher: Mapping[str, np.ndarray]


def compare_presets(config: CompareConfig) -> Comparison:
    """Train every contestant with every kind of student and every seed, and say how they differ.

    Leaves in `config.output_dir`: `results.json`, `table.md`, `comparison.png`, `recipe.yaml`, and a file for each
    finished run under `runs/`. Started again, it keeps the finished runs whose settings, teacher and data are the same.
    A run that breaks is named at the end, and the rest goes on.

    Raises:
        UserError: input that cannot work, before any training; or no run came to its end.
    """
    check_folder(config)
    common = load_common(config)
    starts = check_all(config, common)
    entries = list(entries_of(config, common, starts))
    claim_folder(config)

    finished = {entry: run for entry in entries if (run := kept_run(entry)) is not None}
    to_do = [entry for entry in entries if entry not in finished]
    logger.info("%d runs: %d are kept, %d to do, %d at a time", len(entries), len(finished), len(to_do), config.jobs)
    build_shared_cache({entry.preset: entry.recipe for entry in to_do}, common)
    failed, begun = {}, time.monotonic()
    for number, (entry, outcome) in enumerate(carry_out(to_do, config, common), start=1):
        if isinstance(outcome, Run):
            finished[entry] = outcome
        else:
            failed[entry] = f"{entry}: {outcome.why}"
        logger.info(progress_line(entry, outcome, number, len(to_do), time.monotonic() - begun))

    in_order = [finished[entry] for entry in entries if entry in finished]
    comparison = gather(config, common, in_order, [failed[entry] for entry in entries if entry in failed])
    write_comparison(comparison, config.output_dir)
    return comparison


# ---- Before any training ----


def check_folder(config: CompareConfig) -> None:
    """Refuse a folder that holds something else than a comparison, unless told to overwrite it."""
    folder = config.output_dir
    check_writable(folder)
    is_other = folder.exists() and any(folder.iterdir()) and not (folder / "runs").is_dir()
    if is_other and not config.overwrite:
        raise UserError(
            "output_dir",
            expected="a folder that is empty, not there yet, or of a comparison",
            got=f"{folder}, which holds something else",
            do="choose another folder, or pass `--overwrite`",
        )


def load_common(config: CompareConfig, of_teacher: Mapping[str, np.ndarray] | None = None) -> Common:
    """Load what the runs of one process share; the teacher is examined where it was not yet."""
    teacher = load_reader(config.teacher.model)
    check_max_length(teacher.model, config.data.max_length)
    data = load(config.data, teacher)
    return Common(teacher, data, of_teacher or exam_of(config, data).answers(teacher))


def check_all(config: CompareConfig, common: Common) -> dict[str, str]:
    """Check what can be checked before hours of training; gives a fingerprint of how each kind of student starts."""
    teacher, data, exam = common.teacher, common.data, exam_of(config, common.data)
    notes = [*data.notes, *check_labels(teacher.model, data.task)]
    notes += check_teacher_score(common.of_teacher[exam.first], exam.labels(exam.first), data.task)
    for contestant in config.presets:
        check_objectives(contestant, config.objectives_of(contestant))
    starts = {}
    for name, section in config.students.items():
        student = make_student(section, teacher, seed=config.seed_list[0])
        check_max_length(student.model, config.data.max_length)
        notes += [f"{name}: {note}" for note in note_tokenizers(teacher.tokenizer, student.tokenizer)]
        starts[name] = fingerprint_model(student.model) + fingerprint_tokenizer(student.tokenizer)
        for contestant in config.presets:
            recipe = recipe_of(config, contestant, section, seed=config.seed_list[0])
            build_training_arguments(recipe.training, recipe.output_dir)
    for note in notes:
        logger.warning(note)
    return starts


def check_objectives(contestant: Contestant, objectives: ObjectivesConfig) -> None:
    """Refuse options of a contestant that cannot be together with any student."""
    try:
        build_objectives(objectives)
    except UserError as error:
        raise error.of(contestant.label) from error


def claim_folder(config: CompareConfig) -> None:
    """Note the recipe in the folder, once nothing is left to refuse; finished runs go where that was asked."""
    folder = config.output_dir
    if config.overwrite:
        for name in ("runs", "students"):
            shutil.rmtree(folder / name, ignore_errors=True)
    for left_by_a_killed_run in folder.glob(".run-*"):
        shutil.rmtree(left_by_a_killed_run)
    (folder / "runs").mkdir(parents=True, exist_ok=True)
    content = config.model_dump(mode="json", exclude={"overwrite"})
    (folder / RECORD_NAME).write_text(yaml.safe_dump(content, sort_keys=False))


# ---- Which runs there are, and which are kept ----


def entries_of(config: CompareConfig, common: Common, starts: Mapping[str, str]) -> Iterator[Entry]:
    """Every run: seed by seed, so that an interrupted comparison has as many whole seeds as it can."""
    shared = fingerprint_of(common)
    for seed in config.seed_list:
        for name, student in config.students.items():
            for contestant in config.presets:
                recipe = recipe_of(config, contestant, student, seed)
                fingerprint = fingerprint_run(recipe, {**shared, "start": starts[name]})
                yield Entry(contestant.label, name, seed, recipe, fingerprint, config.keep_students)


def recipe_of(config: CompareConfig, contestant: Contestant, student: StudentConfig, seed: int) -> Recipe:
    """What `codir distill` would be told for this run.

    All runs read the teacher from its cache, unless it is to run live: what is free on the disk must not decide that,
    since the two agree to rounding only. Objectives that compare tokens run it live in any case.
    """
    sections = {
        "teacher": {**config.teacher.model_dump(), "cache": config.teacher.cache is not False},
        "data": config.data.model_dump(),
        "student": student.model_dump(),
        "objectives": config.objectives_of(contestant).model_dump(),
        "training": {**config.training.model_dump(), **contestant.training, **EVERY_RUN, "seed": seed},
        "output_dir": config.output_dir,
    }
    return validate(Recipe, sections)


def fingerprint_of(common: Common) -> dict[str, str]:
    """Of what all runs share: the teacher, and every row with its label."""
    parts = {"train": common.data.train, **common.data.dev}
    rows = {name: [fingerprint_texts(part), list(part["label"])] for name, part in parts.items() if part is not None}
    return {"teacher": fingerprint_model(common.teacher.model), "rows": digest(rows)}


def fingerprint_run(recipe: Recipe, shared: Mapping[str, str]) -> str:
    """Of everything that decides a run's result.

    Where files lie does not, nor a preset's name, which its terms stand for, nor what is left out, known or not.
    """
    own = recipe.model_dump(
        mode="json",
        include={"student", "objectives", "training"},
        exclude={"student": {"checkpoint"}, "objectives": {"preset": True, "stages": {"__all__": {"preset"}}}},
        exclude_none=True,
    )
    teacher = recipe.teacher.model_dump(mode="json", include={"cache", "cache_dtype"})
    dtype = str(resolve_dtype(recipe.training.precision))
    return digest({**shared, **own, "teacher_read": teacher, "max_length": recipe.data.max_length, "dtype": dtype})


def digest(content: object) -> str:
    """A short name for any content that JSON can hold."""
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16).hexdigest()


def kept_run(entry: Entry) -> Run | None:
    """The result of an earlier run of the same settings, teacher and data."""
    run = read_run(entry.file)
    return run if run is not None and run.fingerprint == entry.fingerprint else None


def keep_run(run: Run, file: Path) -> None:
    """Write a finished run under another name first: a file of the right name is whole."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".part")
    draft.write_text(json.dumps(asdict(run), indent=2, allow_nan=False) + "\n", "utf-8")
    os.replace(draft, file)


# ---- The runs ----


def build_shared_cache(recipes: Mapping[str, Recipe], common: Common) -> None:
    """Let the teacher read the training rows once, for all that any contestant will ask of it.

    Each run would build its own otherwise, where it asks for more than the caches of those before it hold. A cache that
    cannot be built is no reason to stop: the runs that need one say so, each for itself, and the others go on.
    """
    reading = [(recipe, build_objectives(recipe.objectives).needs) for recipe in recipes.values()]
    reading = [
        (recipe, needs) for recipe, needs in reading if recipe.teacher.cache and needs.teacher and not needs.tokens
    ]
    if not reading or common.data.train is None:
        return
    recipe = reading[0][0]
    live = LiveTeacher(
        common.teacher.model,
        common.data.train,
        common.teacher.tokenizer,
        TeacherView(
            pooled=frozenset().union(*(needs.teacher_pooled for _, needs in reading)),
            dtype=resolve_dtype(recipe.training.precision),
        ),
        max_length=recipe.data.max_length,
    )
    try:
        open_or_build_cache(live, recipe.teacher.cache_dir, cache_dtype=recipe.teacher.cache_dtype)
    except UserError as error:
        logger.warning("no teacher cache for all runs together: %s", error)


def carry_out(entries: Sequence[Entry], config: CompareConfig, common: Common) -> Iterator[tuple[Entry, Run | Broken]]:
    """Do all runs, and yield each with its result, or with what broke it: the others are not to blame."""
    if config.jobs == 1 or not entries:
        return work_in_turn(train_and_keep, entries, common)
    make_common = partial(load_common_quietly, config, common.of_teacher)
    return work_side_by_side(train_and_keep, entries, make_common, jobs=config.jobs)


def load_common_quietly(config: CompareConfig, of_teacher: Mapping[str, np.ndarray]) -> Common:
    """What a process of its own begins with; its parent has said what there was to say."""
    import datasets
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    return load_common(config, of_teacher)


def train_and_keep(entry: Entry, common: Common) -> Run:
    """One run, from start to file."""
    run = train(entry, common)
    keep_run(run, entry.file)
    return run


def train(entry: Entry, common: Common) -> Run:
    """Train one contestant and examine it."""
    recipe = entry.recipe
    student = make_student(recipe.student, common.teacher, seed=entry.seed)
    with tempfile.TemporaryDirectory(prefix=".run-", dir=recipe.output_dir) as scratch:
        trainer = build_trainer(recipe, recipe.objectives, common.data, student, common.teacher, Path(scratch))
        trainer.remove_callback(PrinterCallback)
        start = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - start
    student = Reader(trainer.student, student.tokenizer)
    if entry.is_saved:
        export_student(student.model, student.tokenizer, recipe.output_dir / "students" / entry.place)
    exam = exam_of(recipe, common.data)
    answers = exam.answers(student)
    agreements = {name: agreement(answers[name], common.of_teacher[name]) for name in answers}
    return Run(
        preset=entry.preset,
        seed=entry.seed,
        task=recipe.data.source,
        student=entry.student,
        student_layers=int(student.model.config.num_hidden_layers),
        metrics=exam.score(answers),
        agreement=agreements[exam.first],
        agreements=agreements,
        seconds=seconds,
        seconds_per_step=seconds / max(trainer.state.global_step, 1),
        steps=trainer.state.global_step,
        threads=torch.get_num_threads(),
        fingerprint=entry.fingerprint,
    )


def exam_of(config: CompareConfig | Recipe, data: LoadedData) -> Exam:
    """A fresh exam, since an exam remembers whom it asked."""
    return Exam(data.dev, data.task, config.data.max_length, resolve_dtype(config.training.precision))


# ---- What is told ----


def progress_line(entry: Entry, outcome: Run | Broken, number: int, of: int, seconds: float) -> str:
    """Which run of how many, what came of it, and how long the rest will take if it goes on like this."""
    if isinstance(outcome, Run):
        metric, value = next(iter(outcome.metrics.items()))
        told = f"{metric} {value:.4f}, {outcome.seconds:.0f} s"
    else:
        told = f"failed: {outcome.why}"
    rest = seconds / number * (of - number)
    left = f"; about {rest / 60:.0f} min to go" if rest >= 60 else f"; about {rest:.0f} s to go" if rest else ""
    return f"[{number}/{of}] {entry}: {told}{left}"


def gather(config: CompareConfig, common: Common, runs: Sequence[Run], failed: Sequence[str]) -> Comparison:
    """All that is known in the end.

    Raises:
        UserError: that is nothing.
    """
    if not runs:
        raise UserError("comparison", expected="a run that comes to its end", got=failed[0], do="mend what it says")
    exam, data = exam_of(config, common.data), common.data
    dtype = str(exam.dtype).removeprefix("torch.")
    conditions = gather_conditions(dtype=dtype, seed=config.seed_list[0])
    del conditions["seed"]
    conditions |= {
        "seeds": config.seed_list,
        "jobs": config.jobs,
        "train_rows": len(data.train or ()) - data.num_unlabelled,
        "unlabelled_rows": data.num_unlabelled,
        "evaluation_rows": {name: len(rows) for name, rows in data.dev.items()},
    }
    metric = data.task.metrics[0]
    return Comparison(
        runs,
        reference=config.reference_label,
        metric=metric,
        metric_on={name: exam.key(metric, name) for name in data.dev},
        teacher=exam.score(common.of_teacher),
        conditions=conditions,
        failed=failed,
    )
