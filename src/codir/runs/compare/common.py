"""What the runs of a comparison or a sweep share: teacher, data, what the teacher answers, and its cache."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from codir.config import CompareConfig, Recipe, SweepConfig
from codir.data import LoadedData
from codir.errors import UserError
from codir.measure import Exam
from codir.runs.build import ask_teacher, load, open_teacher
from codir.runs.objectives import build_objectives
from codir.runs.processes import say
from codir.runs.teachers import TeacherOfRun, check_reading
from codir.system import resolve_dtype
from codir.teacher import AnswersFile, LiveTeacher, TeacherView, open_or_build_cache

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Common:
    """What all runs share: the teacher, the data, and what the teacher answers on each evaluation set.

    A file that does not answer them all gives no answers.
    """

    teacher: TeacherOfRun
    data: LoadedData
    of_teacher: Mapping[str, np.ndarray]


def load_common(config: CompareConfig | SweepConfig, of_teacher: Mapping[str, np.ndarray] | None = None) -> Common:
    """Load what the runs of one process share; the first process to do so says the notes and examines the teacher."""
    teacher = open_teacher(config.teacher, config.data)
    data = load(config.data, teacher)
    if of_teacher is None:
        say(data.notes)
    check_reading(teacher, data, config.data.max_length)
    if of_teacher is None:
        of_teacher = ask_teacher(teacher, exam_of(config, data), resolve_dtype(config.training.precision))
    return Common(teacher, data, of_teacher or {})


def exam_of(config: CompareConfig | Recipe | SweepConfig, data: LoadedData) -> Exam:
    """The exam that every student sits."""
    return Exam(data.dev, data.task, config.data.max_length)


def build_shared_cache(recipes: Mapping[str, Recipe], common: Common) -> None:
    """Let the teacher read the training rows once, for all that any contestant will ask of it.

    Each run would build its own otherwise, where it asks for more than the caches of those before it hold. A cache that
    cannot be built is no reason to stop: the runs that need one say so, each for itself, and the others go on.
    """
    reading = [(recipe, build_objectives(recipe.objectives).needs) for recipe in recipes.values()]
    reading = [
        (recipe, needs) for recipe, needs in reading if recipe.teacher.cache and needs.teacher and not needs.tokens
    ]
    if not reading or common.data.train is None or isinstance(common.teacher, AnswersFile):
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
