"""A teacher that is a file, as the trainer takes it: what it can teach is seen before anything is made."""

from __future__ import annotations

import logging

import datasets
from transformers import PreTrainedModel

from codir.errors import UserError
from codir.models import kind_of_model, names_of
from codir.objectives import Objectives
from codir.signals import Needs
from codir.tasks import Kind, Task
from codir.teacher import AnswersFile, FileTeacher

logger = logging.getLogger(__name__)


def read_answers(
    file: AnswersFile, student: PreTrainedModel, objectives: Objectives, dataset: datasets.Dataset
) -> FileTeacher:
    """The answers to a training set, once they are seen to be what the objectives need; its notes are logged.

    Raises:
        UserError: no file can answer the kind of task, the objectives need more than a file holds, or the file does not
            answer these rows and classes.
    """
    kind = kind_of_model(student)
    check_offer(file, objectives.needs, kind)
    teacher = FileTeacher(file, dataset, task_of(student, dataset), objectives.needs.teacher_pooled)
    for note in teacher.notes:
        logger.info(note)
    return teacher


def check_offer(file: AnswersFile, needs: Needs, kind: Kind) -> None:
    """Refuse objectives that need more of a teacher than a file of answers holds for a kind of task.

    Raises:
        UserError: names what is missing.
    """
    lacking = lacking_in(file, needs, kind)
    if lacking is not None:
        do = (
            "take a preset that needs no more, such as `kd` for answers, or add what is missing: columns `p_<label>` "
            "for answers, a column `vector` for a pooled layer or for sentence vectors"
        )
        raise beyond(file, kind, got=lacking, do=do)


def beyond(file: AnswersFile, kind: Kind, *, got: str, do: str) -> UserError:
    """What to raise where objectives need more of a teacher than a file holds for a kind of task."""
    held = ["vectors"] if kind.reads_apart and file.has_vectors else file.holds(kind)
    return UserError(
        "objectives",
        expected="objectives that need no more of the teacher than "
        f"{' and '.join(held) or 'nothing'}, which {file.name} holds",
        got=got,
        do=do,
    )


def lacking_in(file: AnswersFile, needs: Needs, kind: Kind) -> str | None:
    """What objectives need of a teacher and a file does not hold, in words; `None` where it holds all."""
    held = file.holds(kind)
    missing = {
        "its hidden states": needs.hidden_states,
        "its attention": needs.attention,
        "its answers for each token": needs.teacher_token_logits,
        "its pooled layers": bool(needs.teacher_pooled) and "vectors" not in held,
        "its answers": needs.teacher_logits and "answers" not in held,
    }
    lacking = " and ".join(what for what, is_missing in missing.items() if is_missing)
    return f"objectives that need {lacking}" if lacking else None


def task_of(student: PreTrainedModel, dataset: datasets.Dataset) -> Task:
    """What the student and the rows say of the task: the kind, and the classes in their order."""
    features = getattr(dataset, "features", None) or {}
    feature = features.get("label", features.get("labels"))
    names = feature.names if isinstance(feature, datasets.ClassLabel) else names_of(student)
    kind = kind_of_model(student)
    return Task(kind.name, None if names is None else tuple(names), int(student.config.num_labels), kind.metrics)
