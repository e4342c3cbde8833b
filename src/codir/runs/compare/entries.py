"""Which runs a comparison has, what decides the result of each, and which finished ones are kept."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from codir.config import CompareConfig, Contestant, Recipe, StudentConfig, validate
from codir.measure import Run, read_run
from codir.runs.compare.common import Common
from codir.runs.teachers import fingerprint_teacher
from codir.store import fingerprint_texts, seal, sweep, write_whole
from codir.system import resolve_dtype

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
    labelled_only: bool = False

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


def entries_of(config: CompareConfig, common: Common, starts: Mapping[str, str]) -> Iterator[Entry]:
    """Every run: seed by seed, so that an interrupted comparison has as many whole seeds as it can."""
    shared = fingerprint_of(common)
    for seed in config.seed_list:
        for name, student in config.students.items():
            for contestant in config.presets:
                recipe = recipe_of(config, contestant, student, seed)
                alone = config.is_labelled_only(contestant)
                rows = {"rows_trained": "labelled"} if alone else {}
                fingerprint = fingerprint_run(recipe, {**shared, **rows, "start": starts[name]})
                yield Entry(contestant.label, name, seed, recipe, fingerprint, config.keep_students, alone)


def recipe_of(config: CompareConfig, contestant: Contestant, student: StudentConfig, seed: int) -> Recipe:
    """The recipe that `codir distill` would run.

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
    return {"teacher": fingerprint_teacher(common.teacher), "rows": digest(rows)}


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
    sweep(entry.file.parent)
    run = read_run(entry.file)
    return run if run is not None and run.fingerprint == entry.fingerprint else None


def keep_run(run: Run, file: Path) -> None:
    """Write the file of a finished run: whole or not there, with a hash of itself."""
    write_whole(file, json.dumps(seal(asdict(run)), indent=2, allow_nan=False) + "\n")
