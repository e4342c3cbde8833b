"""START HERE: a run of codir from data to report, as it happens.

Reads configuration and hands plain values to the rooms, in the order of the corridor:
data -> teacher -> student -> objectives -> trainer -> export and report.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

from transformers import TrainerState

from codir.config import (
    ObjectivesConfig,
    Recipe,
    TrainingConfig,
)
from codir.config.words import SPEED_ROWS
from codir.data import LoadedData
from codir.errors import UserError
from codir.errors.shown import counted
from codir.export import export_student
from codir.measure import Analysis, Answers, Exam, TorchRunner, analyse, gather_conditions
from codir.models import Reader
from codir.report import RunResult, findings_of_run, write_card, write_report
from codir.runs.build import ask_teacher, build_trainer, load, make_student, open_teacher, runner_of
from codir.runs.card import origin_of_student
from codir.runs.facts import data_facts, note_end, training_facts
from codir.runs.finishing import settle
from codir.runs.objectives import check_preset
from codir.runs.output import RunFolder, record_of, run_folder
from codir.runs.preflight import check_reader, has_pairs, note_budget, note_truncation, note_unread
from codir.runs.processes import begin, quiet_rooms, said
from codir.runs.rehearsal import count_steps
from codir.runs.teachers import (
    TeacherOfRun,
    can_teach,
    check_needs,
    check_reading,
    check_start,
    check_teacher,
    judge_teacher,
    note_file,
    note_readers,
)
from codir.student import student_origin
from codir.system import count_processes, on_main, resolve_dtype
from codir.tasks import Kind, kind_of


def distill(recipe: Recipe, *, inside: Sequence[str] = (), speed_rows: int = SPEED_ROWS) -> RunResult:
    """Distil a teacher into a student on a data set, and say what was kept.

    Leaves in `recipe.output_dir`: the student as a plain transformers folder with its model card (`README.md`); the
    report as `report.html`, `report.md`, `report.json` and `training_curves.png`; and `recipe.yaml` with every default
    filled in. Checkpoints go when the run is complete.

    Under `torchrun` or `accelerate launch`, all processes train; the main one examines, writes and gives the others its
    result.

    Args:
        recipe: read from YAML, or made in Python: `codir.Recipe(teacher={"model": ...}, data={"source": ...}, ...)`.
        inside: models and data, named as in the recipe, that may lie in its `output_dir`.
        speed_rows: how many rows the models read for their speed.

    Raises:
        UserError: input that cannot work, before any training.
        NonFiniteLossError: a loss became NaN or infinite.
    """
    begin(recipe)
    with run_folder(recipe, inside=inside) as folder:
        ready = prepare(recipe)
        teacher, data, student, notes = ready.teacher, ready.data, ready.student, [*ready.notes]
        exam = replace(ready.exam, speed_rows=speed_rows)
        answers = {} if ready.of_teacher is None else {"teacher": ready.of_teacher}
        dtype = resolve_dtype(recipe.training.precision)

        folder.claim()
        with quiet_rooms("trainer.answers"):  # what it says stands in the notes already
            place = recipe.output_dir / "checkpoints"
            trainer = build_trainer(recipe, recipe.objectives, data, student, teacher, place)
        notes += said(note_truncation(trainer.train_dataset, recipe.data.max_length))
        checkpoint, start = folder.checkpoint_of(trainer), time.perf_counter()
        trainer.train(resume_from_checkpoint=checkpoint)
        training = training_facts(trainer, time.perf_counter() - start, resumed=checkpoint is not None)
        notes += said(note_end(trainer))
        notes += said(on_main(settle, student, exam, dtype))
        on_main(export_student, trainer.student, student.tokenizer, recipe.output_dir)

        readers = {"teacher": teacher} if isinstance(teacher, Reader) else {}
        readers["student"] = replace(student, folder=recipe.output_dir)
        if recipe.baseline:
            paced = recipe.model_copy(update={"training": pace_baseline(recipe.training, trainer.state, data)})
            readers["baseline"] = train_baseline(paced, data.labelled_only(), teacher, folder, exam)

        def report() -> RunResult:
            runners = {name: runner_of(reader, dtype) for name, reader in readers.items()}
            given = {**answers, **{name: exam.answers(runners[name]) for name in runners if name not in answers}}
            has_model = "teacher" in runners
            result = RunResult(
                title=f"Distilled from {Path(recipe.teacher.model).name}",
                task_name=recipe.data.source,
                primary_metric=data.task.metrics[0],
                **exam.compare(runners, given),
                conditions=gather_conditions(dtype=str(dtype).removeprefix("torch."), seed=recipe.training.seed),
                notes=tuple(notes),
                log_history=trainer.state.log_history,
                output_dir=recipe.output_dir,
                data=data_facts(data),
                training=training,
                recipe=record_of(recipe),
                analysis=look_behind(runners, given, exam, data, texts=recipe.report_texts) if has_model else None,
            )
            write_report(result, recipe.output_dir)
            rows, facts = trainer.train_dataset, {"train": result.data["train"], "training": training}
            origin = origin_of_student(recipe, data, teacher, replace(student, model=trainer.student), rows, facts)
            write_card(origin, findings_of_run(result), recipe.output_dir)
            return result

        return on_main(report)


def look_behind(
    runners: Mapping[str, TorchRunner], answers: Mapping[str, Answers], exam: Exam, data: LoadedData, *, texts: bool
) -> Analysis:
    """What lies behind the scores of teacher and student, with or without texts of the evaluation set."""
    assert data.train is not None, "there is something to train on"
    both, first = ("teacher", "student"), exam.first
    return analyse(
        {name: runners[name] for name in both},
        {name: answers[name][first] for name in both},
        data.dev[first],
        data.train,
        data.task,
        max_length=exam.max_length,
        shows_texts=texts,
    )


@dataclass(frozen=True)
class Prepared:
    """What a run has before it claims its folder: all that can be refused without training is refused.

    Attributes:
        teacher: on its device, or a file of answers.
        data: as it was read.
        student: as it starts.
        exam: that all models sit.
        of_teacher: what the teacher answered; `None` of a file that has not all evaluation rows.
        notes: for the user, and for the report.
        warnings: for the user; the report has its own words for what they are about.
    """

    teacher: TeacherOfRun
    data: LoadedData
    student: Reader
    exam: Exam
    of_teacher: Answers | None
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def prepare(recipe: Recipe) -> Prepared:
    """Load teacher and data, make the student, check that they fit, and examine the teacher."""
    teacher = open_teacher(recipe.teacher, recipe.data)
    check_start(recipe.student, teacher)
    data = load(recipe.data, teacher)
    check_preset(recipe.objectives, kind_of(data.task))
    check_needs(teacher, recipe.objectives, data.task)
    check_unlabelled(recipe.objectives, data.num_unlabelled)
    if recipe.baseline:
        check_baseline(kind_of(data.task))
    notes = said([*data.notes, *check_teacher(teacher, data)])
    student = make_student(recipe.student, teacher, data, seed=recipe.training.seed, max_length=recipe.data.max_length)
    origin = student_origin(student.model)
    notes += origin.notes if origin else ()  # said when the student was made
    notes += said(note_readers(teacher, student))
    steps, _ = count_steps(recipe, ceil(len(data.train or ()) / count_processes()))
    has_answers = can_teach(teacher, "kd", data.task)
    notes += said(note_budget(recipe.objectives, steps, unlabelled=data.num_unlabelled, has_answers=has_answers))
    check_reading(teacher, data, recipe.data.max_length)
    check_reader(student, recipe.data.max_length, pairs=has_pairs(data), role="student")

    exam, dtype = Exam(data.dev, data.task, recipe.data.max_length), resolve_dtype(recipe.training.precision)
    answers = on_main(ask_teacher, teacher, exam, dtype)
    warnings = said(on_main(judge_teacher, answers, exam, Path(recipe.teacher.model).name))
    unread = [
        note_unread(name, given, exam.labels(name), data.task, whose="the teacher")
        for name, given in (answers or {}).items()
    ]
    notes += said([*(note for of_set in unread for note in of_set), *note_file(teacher, answers, exam)])
    notes += warnings if answers is None else []
    return Prepared(teacher, data, student, exam, answers, tuple(notes), tuple(warnings))


def check_unlabelled(objectives: ObjectivesConfig, unlabelled: int) -> None:
    """Refuse rows without a label where labels are all that is learned from.

    Raises:
        UserError: says how many rows there are.
    """
    if unlabelled and objectives.learns_labels_alone:
        raise UserError(
            "data.unlabelled",
            expected="objectives that learn from a teacher, where rows have no label",
            got=f"labels alone (`hard_label`) and {counted(unlabelled, 'row')} without one",
            otherwise="these rows would have taken steps and taught nothing",
            do="leave the rows out, or take a preset with soft targets, such as `--preset kd`",
        )


def pace_baseline(training: TrainingConfig, student: TrainerState, data: LoadedData) -> TrainingConfig:
    """How the baseline trains, which learns from rows with a label alone: for as many steps as the student had.

    Args:
        training: of the run.
        student: of the student's training, once it is over.
        data: that the student was trained on.
    """
    if not data.num_unlabelled:
        return training
    paced: dict[str, Any] = {"max_steps": student.max_steps}
    per_epoch = ceil(student.max_steps / max(1, student.num_train_epochs))
    for what in ("eval", "save"):  # an epoch of the labelled rows alone may be a few steps
        if getattr(training, f"{what}_strategy") == "epoch":
            paced |= {f"{what}_strategy": "steps", f"{what}_steps": per_epoch}
    return training.model_copy(update=paced)


def check_baseline(kind: Kind) -> None:
    """Refuse a baseline where there are no labels to train it on.

    Raises:
        UserError: says that there are none.
    """
    if "labels" not in kind.offers:
        raise UserError(
            "baseline",
            expected="a kind of task with labels, which the baseline learns alone",
            got=f"`{kind.name}`",
            do="leave `--baseline` out, and compare presets with `codir compare`",
        )


def train_baseline(recipe: Recipe, data: LoadedData, teacher: TeacherOfRun, folder: RunFolder, exam: Exam) -> Reader:
    """The same student from the same start, on the labels alone; `pace_baseline` has set for how many steps."""
    place = recipe.output_dir / "baseline"
    with quiet_rooms("student"):  # it was said how the student starts
        student = make_student(
            recipe.student, teacher, data, seed=recipe.training.seed, max_length=recipe.data.max_length
        )
    objectives = ObjectivesConfig.model_validate("fine-tune")
    trainer = build_trainer(recipe, objectives, data, student, None, place / "checkpoints")
    trainer.train(resume_from_checkpoint=folder.checkpoint_of(trainer))
    on_main(settle, student, exam, resolve_dtype(recipe.training.precision))
    on_main(export_student, trainer.student, student.tokenizer, place)
    return replace(student, folder=place)
