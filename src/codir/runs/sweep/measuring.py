"""The models of a sweep side by side: the same questions to all, timed in turns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from codir.config import SweepConfig
from codir.config.words import BENCHMARK_ROWS, EXPORTED_TEACHER, TEACHER
from codir.errors import UserError
from codir.measure import (
    RECORD_NAME,
    SPEED_BATCH,
    Contender,
    Runner,
    TorchRunner,
    gather_conditions,
    measure_losses,
    open_exported,
)
from codir.report import PYTORCH, SweepResult
from codir.runs.benchmark import read_at_once, time_in_turns
from codir.runs.build import open_reader
from codir.runs.compare.common import Common, exam_of
from codir.runs.preflight import note_floor
from codir.runs.sweep.entries import Entry
from codir.runs.teachers import model_of


def measure(
    config: SweepConfig,
    common: Common,
    made: Sequence[Entry],
    failed: Sequence[str],
    notes: Sequence[str],
    of_teacher: Path | None,
) -> SweepResult:
    """Ask all models the same questions, and time them in turns.

    Args:
        config: of the sweep.
        common: teacher and data.
        made: students that came to their end.
        failed: those that did not, and why.
        notes: what a reader has to know.
        of_teacher: folder of the teacher's export, if there is one.

    Raises:
        UserError: there is no student.
    """
    if not made:
        raise UserError("sweep", expected="a student that comes to its end", got=failed[0], do="fix what it names")
    exam, task = exam_of(config, common.data), common.data.task
    rows, labels = exam.dev[exam.first], exam.labels(exam.first)
    timed = read_at_once(rows, BENCHMARK_ROWS, task)
    places = {EXPORTED_TEACHER: of_teacher} if of_teacher is not None else {}
    places |= {entry.name: entry.exporting.output_dir for entry in made}
    tokenizers = {name: open_reader(str(place)).tokenizer for name, place in places.items()}
    teacher = replace(model_of(common.teacher), model=model_of(common.teacher).model.to("cpu"))

    def runners(threads: int) -> dict[str, Runner]:
        exported = {name: open_exported(places[name], tokenizers[name], threads=threads) for name in places}
        return {TEACHER: TorchRunner.of(teacher, torch.float32), **exported}

    all_threads = torch.get_num_threads()
    at_once = runners(all_threads)
    answers = {name: exam.ask(runner, rows) for name, runner in at_once.items()}
    losses = measure_losses(answers, labels, task, against=TEACHER)
    runs = {TEACHER: PYTORCH, **{name: how_it_runs(place) for name, place in places.items()}}
    contenders = {
        name: Contender(name, runs[name], *losses[name], runner.parameters, runner.bytes)
        for name, runner in at_once.items()
    }
    roles = {name: name if name in (TEACHER, EXPORTED_TEACHER) else f"student {name}" for name in answers}
    warnings = [note for name, role in roles.items() for note in note_floor(role, answers[name], labels, task)]
    return SweepResult(
        title=f"Students of {Path(config.teacher.model).name} on {config.data.source}",
        metric=task.metrics[0],
        tolerate=config.tolerate,
        teacher=contenders.pop(TEACHER),
        exported_teacher=contenders.pop(EXPORTED_TEACHER, None),
        students=list(contenders.values()),
        timings=[
            timing
            for threads in config.threads or sorted({1, all_threads})
            for timing in time_in_turns(
                runners(threads), timed, threads, max_length=exam.max_length, batch_sizes=(SPEED_BATCH,)
            )
        ],
        rows=len(timed),
        failed=tuple(failed),
        warnings=tuple(warnings),
        notes=tuple(notes),
        conditions=gather_conditions(dtype="float32", seed=config.training.seed),
        output_dir=config.output_dir,
    )


def how_it_runs(folder: Path) -> str:
    """Engine and precision of an export, by its record."""
    record = json.loads((folder / RECORD_NAME).read_text("utf-8"))
    return f"{record['engine']} {record['precision']}"
