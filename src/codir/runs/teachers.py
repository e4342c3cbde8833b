"""The teacher of a run: a model, or a file of answers. Where the two differ, they differ here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from datasets import Dataset

from codir.config import DataConfig, ObjectivesConfig, StudentConfig, TeacherConfig
from codir.config.words import TASK
from codir.data import LoadedData, answers_to_pairs, texts_apart
from codir.errors import UserError
from codir.measure import Answers, Exam
from codir.models import Reader, kind_of_model, label_names
from codir.runs.objectives import build_objectives, presets_for
from codir.runs.preflight import check_labels, check_reader, check_teacher_score, has_pairs, note_tokenizers
from codir.signals import ModelShape
from codir.store import fingerprint_model
from codir.student import check_options
from codir.tasks import KINDS, Task, kind_named, kind_of, kind_of_outputs
from codir.tasks.thresholds import move, thresholds_of
from codir.teacher import AnswersFile, FileTeacher, is_answers_file
from codir.trainer import beyond, lacking_in

TeacherOfRun = Reader | AnswersFile
"""Who teaches."""
VECTORS = KINDS["embedding"].name
"""The task whose answers are vectors."""


def open_answers(teacher: TeacherConfig, data: DataConfig) -> AnswersFile | None:
    """The file of answers that a recipe names as its teacher; `None` where it names a model.

    Raises:
        UserError: the file holds no answers; or a column of ids is named beside a model.
    """
    if is_answers_file(teacher.model):
        return AnswersFile(
            teacher.model,
            id_column=teacher.id_column,
            text_column=data.text_column,
            text_pair_column=data.text_pair_column,
        )
    if teacher.id_column is not None:
        raise UserError(
            "teacher.id_column",
            expected="a file of answers as the teacher",
            got=f"{teacher.model}, a model, which reads the texts themselves",
            do="leave `--id-column` out",
        )
    return None


def refuse_file(model: str, command: str, why: str) -> None:
    """Refuse a file of answers where only a model can be the teacher.

    Raises:
        UserError: says why.
    """
    if is_answers_file(model):
        raise UserError(
            "teacher.model",
            expected=f"a model, for `codir {command}`: {why}",
            got=f"{model}, a file of answers",
            do="name a model, or distil one student with `codir distill` or several objectives with `codir compare`",
        )


def model_of(teacher: TeacherOfRun) -> Reader:
    """The teacher where it is known to be a model."""
    assert isinstance(teacher, Reader), "`refuse_file` has looked"
    return teacher


def known_of_labels(teacher: TeacherOfRun, data: DataConfig) -> dict[str, Any]:
    """What a teacher knows of the data before it is read: how many classes, their names, and the column of ids."""
    if isinstance(teacher, AnswersFile):
        if data.task != TASK and kind_named(data.task).reads_apart:
            return {"num_labels": teacher.vectors.shape[1]} if teacher.has_vectors else {}
        known = {"model_names": teacher.label_names, "id_column": teacher.id_column}
        return known if teacher.num_labels is None else {**known, "num_labels": teacher.num_labels}
    kind, outputs = kind_of_model(teacher.model), teacher.model.config.num_labels
    is_told_by_outputs = data.task != TASK or kind is kind_of_outputs(outputs)
    task = data.task if is_told_by_outputs else kind.name
    return {"num_labels": outputs, "model_names": label_names(teacher.model), "task": task}


def read_for(teacher: TeacherOfRun | None, data: DataConfig, read: Callable[..., LoadedData]) -> LoadedData:
    """Read data that a teacher is for. What is wrong with it may be a task that nobody named beside a file of vectors.

    Args:
        teacher: of the run.
        data: that is read.
        read: reads it, with other options where they are given. Where the same is wrong with sentences, the name of the
            task is not what is missing.
    """
    try:
        return read()
    except UserError as error:
        if data.task != TASK or not isinstance(teacher, AnswersFile) or not _holds_vectors_alone(teacher):
            raise
        if _refusal(read, task=VECTORS) == str(error):
            raise
        raise UserError(
            error.subject,
            expected=error.expected,
            got=error.got,
            otherwise=error.otherwise,
            do=f"{_name_the_task(teacher)}; otherwise {error.do}",
        ) from error


def _refusal(read: Callable[..., LoadedData], **changes: str) -> str | None:
    """What is said against data that is read so; `None` where it can be."""
    try:
        read(**changes)
    except UserError as error:
        return str(error)
    return None


def _holds_vectors_alone(file: AnswersFile) -> bool:
    return file.has_vectors and file.columns.form is None


def _name_the_task(file: AnswersFile) -> str:
    return f"{file.name} holds vectors: to teach sentence vectors, give `--task {VECTORS}`"


def check_start(student: StudentConfig, teacher: TeacherOfRun) -> None:
    """Refuse a student that is cut from a file, which has no layers and no sizes, and options of another start.

    Raises:
        UserError: the student is no checkpoint, or an option would have no effect.
    """
    check_options(**student.model_dump(include={"layers", "selection", "config", "embeddings"}))
    if isinstance(teacher, AnswersFile) and student.checkpoint is None:
        raise UserError(
            "student",
            expected=f"`checkpoint`, since the teacher is a file, {teacher.name}, without layers or sizes",
            got=f"`layers: {student.layers}`" if student.layers is not None else "`config`",
            do="name a model folder or a hub name with `--student`; layers are cut from a teacher that is a model",
        )


def check_needs(teacher: TeacherOfRun, objectives: ObjectivesConfig, task: Task) -> None:
    """Refuse objectives that need more than a file of answers holds, and tasks that no file can answer.

    Raises:
        UserError: names what is missing, and the presets that work.
    """
    if not isinstance(teacher, AnswersFile):
        return
    why = _lacking(teacher, objectives, task)
    if why is not None:
        works = presets_for_file(teacher, task)
        raise beyond(teacher, kind_of(task), got=why, do=_instead(teacher, works, task))


def _instead(file: AnswersFile, works: list[str], task: Task) -> str:
    """What to do where a file cannot teach by the objectives that were named."""
    if _holds_vectors_alone(file) and not kind_of(task).reads_apart:
        return _name_the_task(file) + (f"; otherwise take one of the presets {', '.join(works)}" if works else "")
    if not works:
        column = "vector" if kind_of(task).reads_apart else "p_<label>"
        return f"name a file with columns `{column}`, or name a model as the teacher"
    vectors = "" if file.has_vectors else "; a contrast works too where the file has a column `vector`"
    return f"take one of the presets {', '.join(works)}{vectors}"


def presets_for_file(file: AnswersFile, task: Task) -> list[str]:
    """The presets of `codir distill` that a file can teach for a task."""
    names = presets_for(kind_of(task))
    return [name for name in names if can_teach(file, name, task)]


def _lacking(file: AnswersFile, config: ObjectivesConfig, task: Task) -> str | None:
    """Why a file cannot teach by these objectives, in words; `None` where it can, or where they ask for no teacher."""
    objectives = build_objectives(config)
    lacking = lacking_in(file, objectives.needs, kind_of(task))
    if lacking is not None:
        return lacking
    try:
        teacher, student = (ModelShape(layers, 8, 2, classes=task.num_labels, kind=kind_of(task)) for layers in (1, 2))
        objectives.build(teacher=teacher, student=student)
    except UserError as error:  # they ask for more layers than the vectors, which are one
        return f"`{error.subject}`, which wants {error.expected}"
    return None


def can_teach(teacher: TeacherOfRun, preset: str, task: Task) -> bool:
    """Whether a teacher has what a preset needs of it; a model has all."""
    if not isinstance(teacher, AnswersFile):
        return True
    return _lacking(teacher, ObjectivesConfig.model_validate(preset), task) is None


def check_teacher(teacher: TeacherOfRun, data: LoadedData) -> list[str]:
    """Refuse a teacher that does not know the data's classes, or its rows; gives notes.

    Args:
        teacher: of the run.
        data: that it teaches.

    Raises:
        UserError: names what does not fit.
    """
    if not isinstance(teacher, AnswersFile):
        return check_labels(teacher.model, data.task)
    assert data.train is not None, "there is something to train on"
    return list(FileTeacher(teacher, data.train, data.task).notes)


def check_reading(teacher: TeacherOfRun, data: LoadedData, max_length: int) -> None:
    """Refuse a model that would misread the texts; a file reads none."""
    if not isinstance(teacher, AnswersFile):
        check_reader(teacher, max_length, pairs=has_pairs(data), role="teacher")


def note_readers(teacher: TeacherOfRun, student: Reader) -> list[str]:
    """Say when teacher and student read the same text by different rules."""
    return [] if isinstance(teacher, AnswersFile) else note_tokenizers(teacher.tokenizer, student.tokenizer)


def answers_of_file(file: AnswersFile, exam: Exam) -> Answers | None:
    """What a file answers to the evaluation sets; `None` where it has not all of their rows.

    Less the thresholds of labels, which are tuned on the rows that a student's are tuned on: a file has none.
    """
    found = {name: _said(file, rows, exam.task) for name, rows in exam.dev.items()}
    answers = {name: logits for name, logits in found.items() if logits is not None}
    if len(answers) < len(found):
        return None
    tuned = kind_of(exam.task).tuned(answers[exam.tuned_on], exam.labels(exam.tuned_on))
    return {name: move(logits, thresholds_of(tuned)) for name, logits in answers.items()}


def _said(file: AnswersFile, rows: Dataset, task: Task) -> np.ndarray | None:
    """The answers to rows, or to pairs by the vectors of their texts; `None` where the file has not all of them."""
    kind = kind_of(task)
    if not kind.reads_apart:
        return file.answer(rows, task)
    texts = texts_apart(rows)
    vectors = file.answer(texts, task)
    return None if vectors is None else answers_to_pairs(vectors, np.asarray(texts["label"], np.float32), kind)[0]


def note_file(teacher: TeacherOfRun, answers: Answers | None, exam: Exam) -> list[str]:
    """Say what is different in the report where the teacher is a file; of a model there is nothing to say."""
    if not isinstance(teacher, AnswersFile):
        return []
    notes = [f"{teacher.name} has no layers: the report neither looks behind its scores nor gives its speed."]
    tuned = kind_of(exam.task).tuned_in_words
    if tuned is not None and answers is not None:
        notes.append(f"{teacher.name}: {tuned} tuned on the evaluation set `{exam.tuned_on}`, as the student's are.")
    return notes


def judge_teacher(answers: Answers | None, exam: Exam, file: str) -> list[str]:
    """Notes on what the teacher scores, or that nobody knows."""
    if answers is None:
        return [
            f"{file} does not answer all rows of {' and '.join(exam.dev)}, so the report has no row of the teacher, no "
            "agreement and no retention."
        ]
    return check_teacher_score(answers[exam.first], exam.labels(exam.first), exam.task)


def fingerprint_teacher(teacher: TeacherOfRun) -> str:
    """Of the weights, or of the file."""
    return teacher.fingerprint if isinstance(teacher, AnswersFile) else fingerprint_model(teacher.model)
