"""One run of a comparison, from its start to its file."""

from __future__ import annotations

import logging
import time

import torch
from transformers import PrinterCallback

from codir.export import export_student
from codir.measure import Run, agreement
from codir.models import Reader
from codir.runs.build import build_trainer, make_student, runner_of
from codir.runs.compare.common import Common, exam_of
from codir.runs.compare.entries import Entry, keep_run
from codir.runs.finishing import settle
from codir.runs.processes import quiet_rooms
from codir.store import RUN, Ledger, scratch_folder
from codir.system import resolve_dtype
from codir.tasks import kind_of

logger = logging.getLogger(__name__)


def train_and_keep(entry: Entry, common: Common) -> Run:
    """One run, from start to file."""
    with Ledger(entry.recipe.output_dir).listing():
        run = train(entry, common)
        keep_run(run, entry.file)
    return run


def train(entry: Entry, common: Common) -> Run:
    """Train one contestant and examine it."""
    recipe = entry.recipe
    data = common.data.labelled_only() if entry.labelled_only else common.data
    student = make_student(recipe.student, common.teacher, data, seed=entry.seed, max_length=recipe.data.max_length)
    with scratch_folder(recipe.output_dir, RUN) as scratch:
        with quiet_rooms("trainer.answers"):  # it was said for all runs
            trainer = build_trainer(recipe, recipe.objectives, data, student, common.teacher, scratch)
        trainer.remove_callback(PrinterCallback)
        start = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - start
    student = Reader(trainer.student, student.tokenizer)
    exam, dtype = exam_of(recipe, common.data), resolve_dtype(recipe.training.precision)
    settle(student, exam, dtype)
    if entry.is_saved:
        export_student(student.model, student.tokenizer, recipe.output_dir / "students" / entry.place)
    answers = exam.answers(runner_of(student, dtype))
    agreements = {
        name: agreement(answers[name], given, kind_of(common.data.task)) for name, given in common.of_teacher.items()
    }
    return Run(
        preset=entry.preset,
        seed=entry.seed,
        task=recipe.data.source,
        student=entry.student,
        student_layers=int(student.model.config.num_hidden_layers),
        metrics=exam.score(answers),
        agreement=agreements.get(exam.first),
        agreements=agreements,
        seconds=seconds,
        seconds_per_step=seconds / max(trainer.state.global_step, 1),
        steps=trainer.state.global_step,
        threads=torch.get_num_threads(),
        fingerprint=entry.fingerprint,
    )
