"""Before hours of training: do teacher, data and student fit together? It warns or stops, in words.

Catches the mistakes that are common and silent: labels in another order, a teacher that is no better than chance, texts
cut short.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import datasets
import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from codir.config import ObjectivesConfig, StageConfig
from codir.data import LoadedData, count_unread
from codir.errors import UserError
from codir.errors.shown import counted
from codir.measure import compute_metrics, stand
from codir.models import Reader, check_label_order, check_max_length, check_tokenizer_fits, label_names
from codir.report import warn_of
from codir.store import fingerprint_tokenizer
from codir.tasks import Task, kind_of, kind_of_config
from codir.tasks.metrics import find_metric
from codir.tasks.order import check_permutation

logger = logging.getLogger(__name__)


def check_labels(teacher: PreTrainedModel, task: Task, *, role: str = "teacher") -> list[str]:
    """Compare a model's classes with the data's.

    Args:
        teacher: the model.
        task: of the data.
        role: what messages call the model.

    Returns:
        Notes for the user.

    Raises:
        UserError: another number of classes, or the same names in another order.
    """
    outputs, given = teacher.config.num_labels, kind_of_config(teacher.config)
    if given.reads_apart and kind_of(task).reads_apart:
        return note_prompts(teacher, role)  # vectors of any width are judged alike
    is_other_task = (given.problem_type, given.auto_class) != (kind_of(task).problem_type, kind_of(task).auto_class)
    if outputs != task.num_labels or is_other_task:
        raise UserError(
            "labels",
            expected=f"{given.outputs_in_words(outputs)}, as the {role} gives",
            got=f"{kind_of(task).outputs_in_words(task.num_labels)} in the data",
            do="take a model that was fine-tuned on this task, or say what the labels are with `--labels` or `--task`",
        )
    names = label_names(teacher)
    if task.label_names is None or not kind_of(task).has_classes or names is None:
        return []
    check_label_order(names, task.label_names, whose=f"the {role}'s")
    if [name.lower() for name in names] == [name.lower() for name in task.label_names]:
        return []
    return [
        f"The {role} calls its classes {', '.join(names)}, the data {', '.join(task.label_names)}; matched by place."
    ]


def note_prompts(model: PreTrainedModel, role: str) -> list[str]:
    """Say so where a sentence encoder has prompts, which are not put before the texts."""
    if not getattr(model, "prompts", None):
        return []
    return [
        f"The {role} has prompts ({', '.join(model.prompts)}), which codir does not put before texts: write them into "
        "your texts where they belong."
    ]


def check_same_labels(model: PreTrainedModel, second: PreTrainedModel) -> list[str]:
    """Compare the classes of two models that are asked the same.

    Returns:
        Notes for the user.

    Raises:
        UserError: another number of classes, or the same names in another order.
    """
    outputs, others = model.config.num_labels, second.config.num_labels
    if all(kind_of_config(one.config).reads_apart for one in (model, second)):
        return []
    if outputs != others:
        raise UserError(
            "against",
            expected=f"{kind_of_config(model.config).outputs_in_words(outputs)}, as the model gives",
            got=f"{kind_of_config(second.config).outputs_in_words(others)} from the second model",
            do="name a second model of the same task",
        )
    names, other_names = ([name.lower() for name in label_names(one) or ()] for one in (model, second))
    if names == other_names or not (names and other_names):
        return []
    shown = [", ".join(map(str, label_names(one) or ())) for one in (model, second)]
    if sorted(names) == sorted(other_names):
        raise UserError(
            "against",
            expected=f"classes in the model's order: {shown[0]}",
            got=f"the second model's: {shown[1]}",
            otherwise="answers that are the same would have been counted as different",
            do="name a second model that numbers its classes alike",
        )
    return [f"The second model calls its classes {shown[1]}, the model {shown[0]}; matched by place."]


def check_teacher_score(logits: np.ndarray, labels: np.ndarray, task: Task) -> list[str]:
    """Judge the teacher by its own answers on the dev set.

    Args:
        logits: the teacher's, `[rows, classes]`.
        labels: of the same rows.
        task: what is measured.

    Returns:
        Notes for the user.

    Raises:
        UserError: the answers fit the labels well once the classes are renamed.
    """
    check_permutation(logits, labels, task, whose="the teacher")
    first = "train it first on more labels, for more epochs or at another learning rate, or take another"
    return note_floor("teacher", logits, labels, task, do=f"Little is learned from such a teacher: {first}.")


def note_floor(role: str, logits: np.ndarray, labels: np.ndarray, task: Task, *, do: str | None = None) -> list[str]:
    """Say so where a model might as well not read: it is at the floor, or gives nearly the same answer to all rows.

    Args:
        role: what the notes call the model.
        logits: its own, `[rows, classes]`.
        labels: of the same rows.
        task: what is measured.
        do: what to say beside that of a model that has learned nothing.
    """
    kind, metric = kind_of(task), task.metrics[0]
    score = compute_metrics(logits, labels, [metric], kind)[metric]
    logger.info("The %s's %s on the dev set: %.4f", role, metric, score)
    floor = kind.floor_name, find_metric(metric, kind)(kind.floor(labels), labels)
    standing = stand(logits, labels, task)
    return [*warn_of(role, standing, score, floor, metric), *([do] if do and standing.learned_nothing else [])]


def check_reader(reader: Reader, max_length: int, *, pairs: bool = False, role: str = "model") -> None:
    """Refuse a model that would misread its texts, or lacks positions for them, before it reads any.

    Raises:
        UserError: its tokenizer is another model's, or `max_length` is too long.
    """
    check_tokenizer_fits(reader.model, reader.tokenizer, pairs=pairs, role=role)
    check_max_length(reader.model, max_length)


def has_pairs(data: LoadedData) -> bool:
    """Whether an example is two texts that are read at once."""
    is_pair = any("text_pair" in rows.column_names for rows in data.dev.values())
    return is_pair and not kind_of(data.task).reads_apart


def note_tokenizers(teacher: PreTrainedTokenizerBase, student: PreTrainedTokenizerBase) -> list[str]:
    """Say when the two read the same text by different rules; the contrast compares whole texts, so it may."""
    if fingerprint_tokenizer(teacher) == fingerprint_tokenizer(student):
        return []
    return ["Teacher and student have different tokenizers; each reads the texts through its own."]


def note_budget(
    objectives: ObjectivesConfig, steps: int, *, unlabelled: int = 0, has_answers: bool = True
) -> list[str]:
    """Say when a contrast is still warming up for most of its steps: a preset without one does as well in so few.

    Args:
        objectives: of the run.
        steps: of the whole run.
        unlabelled: rows without a label, of which fine-tuning learns nothing.
        has_answers: whether the teacher gives answers, of which soft targets are made.
    """
    instead = "; in so few, `--preset fine-tune` does as well or better"
    if unlabelled:
        also = f"learns from the {counted(unlabelled, 'row')} without a label too"
        instead = f"; in so few, `--preset kd` does as well, and {also}" if has_answers else ""
    parts: Sequence[ObjectivesConfig] = objectives.stages or [objectives]
    lengths = [part.epochs if isinstance(part, StageConfig) else 1.0 for part in parts]
    notes = []
    for part, length in zip(parts, lengths, strict=True):
        its_steps = round(length / sum(lengths) * steps)
        if part.contrastive is not None and its_steps < 2 * part.contrastive.warmup_steps:
            few = counted(its_steps, "step is few", "steps are few")
            rise = f"{few} for a contrast whose weight rises over {part.contrastive.warmup_steps:,}"
            notes.append(f"{rise}{instead}.")
    return notes


def note_truncation(encoded: datasets.Dataset, max_length: int) -> list[str]:
    """Say how many rows are longer than the model will read."""
    if "truncated" not in encoded.column_names:
        return []
    share = float(np.mean(encoded["truncated"]))
    notes = [f"{share:.1%} of the training rows are longer than {max_length} tokens and are cut (`--max-length`)."]
    unread = count_unread(encoded)
    have = counted(unread, "word of the training rows has", "words of the training rows have")
    more = [f"{have} no token, so nothing is learnt of their tags."]
    return (notes if share else []) + (more if unread else [])


def note_unread(name: str, logits: np.ndarray, labels: np.ndarray, task: Task, *, whose: str) -> list[str]:
    """Say how many words of an evaluation set a model has not read; each counts as a word without an answer.

    Args:
        name: of the evaluation set.
        logits: the model's, rows first.
        labels: of the same rows.
        task: what is measured.
        whose: what the note calls the model.
    """
    kind = kind_of(task)
    if not kind.reads_words:
        return []
    found, _ = kind.one_by_one(np.asarray(kind.is_answered(logits).all(axis=-1)), labels)
    unread = int(np.count_nonzero(~found))
    said = f"{unread:,} of {len(found):,} words of {name} have no token of {whose}: they count as not answered"
    return [f"{said} (`--max-length` cuts rows)."] if unread else []
