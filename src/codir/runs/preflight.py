"""Before hours of training: do teacher, data and student fit together? It warns or stops, in words.

Catches the mistakes that are common and silent: labels in another order, a teacher that is no better than chance, texts
cut short.
"""

from __future__ import annotations

import logging

import datasets
import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from codir.errors import UserError
from codir.measure import best_label_permutation, compute_metrics
from codir.models import count_positions, label_names
from codir.store import fingerprint_tokenizer
from codir.tasks import Task, kind_of, kind_of_config

logger = logging.getLogger(__name__)


SWAPPED_LABELS_MARGIN = 0.2
"""Stop when renaming the teacher's classes beats both its accuracy and the largest class by more than this."""


def check_labels(teacher: PreTrainedModel, task: Task) -> list[str]:
    """Compare the teacher's classes with the data's.

    Returns:
        Notes for the user.

    Raises:
        UserError: another number of classes, or the same names in another order.
    """
    outputs = teacher.config.num_labels
    if outputs != task.num_labels:
        raise UserError(
            "labels",
            expected=f"{kind_of_config(teacher.config).outputs_in_words(outputs)}, as the teacher gives",
            got=f"{kind_of(task).outputs_in_words(task.num_labels)} in the data",
            do="take a model that was fine-tuned on this task, or say what the labels are with `--labels` or `--task`",
        )
    names = label_names(teacher)
    if task.label_names is None or not kind_of(task).has_classes or names is None:
        return []
    teachers, datas = ([name.lower() for name in side] for side in (names, task.label_names))
    if teachers == datas:
        return []
    if sorted(teachers) == sorted(datas):
        raise UserError(
            "label order",
            expected=f"the teacher's: {', '.join(names)}",
            got=f"the data's: {', '.join(task.label_names)}",
            otherwise="the student would have been taught the opposite of its labels",
            do=f"number the data as the teacher does: `--labels {','.join(names)}`",
        )
    return [
        f"The teacher calls its classes {', '.join(names)}, the data {', '.join(task.label_names)}; matched by place."
    ]


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
    metrics = compute_metrics(logits, labels, task.metrics, kind_of(task))
    name, score = task.metrics[0], metrics[task.metrics[0]]
    logger.info("The teacher's %s on the dev set: %.4f", name, score)
    if not kind_of(task).has_classes:
        useless = score <= 0.0
        return [f"The teacher's {name} on the dev set is {score:.3f}: it has nothing to teach."] if useless else []
    permutation, as_is, renamed = best_label_permutation(logits, labels)
    majority = float(np.bincount(labels.astype(int)).max() / len(labels))
    if renamed - max(as_is, majority) > SWAPPED_LABELS_MARGIN:
        raise UserError(
            "label order",
            expected="a teacher whose classes are numbered as the data's",
            got=f"accuracy {as_is:.3f} on the dev set, {renamed:.3f} with its classes renamed to {list(permutation)}",
            otherwise="the student would have been taught the opposite of its labels",
            do="number the labels in the data as the teacher does (`--labels` names them in order)",
        )
    if as_is <= majority:
        return [
            f"The teacher's accuracy on the dev set is {as_is:.3f}, no better than the largest class ({majority:.3f})."
        ]
    return []


def note_tokenizers(teacher: PreTrainedTokenizerBase, student: PreTrainedTokenizerBase) -> list[str]:
    """Say when the two read the same text by different rules; the contrast compares whole texts, so it may."""
    if fingerprint_tokenizer(teacher) == fingerprint_tokenizer(student):
        return []
    return ["Teacher and student have different tokenizers; each reads the texts through its own."]


def note_truncation(encoded: datasets.Dataset, max_length: int) -> list[str]:
    """Say how many rows are longer than the model will read."""
    if "truncated" not in encoded.column_names:
        return []
    share = float(np.mean(encoded["truncated"]))
    if share == 0.0:
        return []
    return [f"{share:.1%} of the training rows are longer than {max_length} tokens and are cut (`--max-length`)."]


def check_max_length(model: PreTrainedModel, max_length: int) -> None:
    """Refuse lengths that the model has no positions for."""
    positions = count_positions(model)
    if positions is not None and positions < max_length:
        raise UserError(
            "max_length",
            expected=f"at most {positions}, the positions that {model.config.model_type} was built with",
            got=str(max_length),
            do=f"set `--max-length {positions}` or lower",
        )


def check_tokens_fit(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse a tokenizer that writes numbers beyond the model's embeddings."""
    rows = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        raise UserError(
            "tokenizer",
            expected=f"one of at most {rows} tokens, as many as the model has embeddings",
            got=f"{len(tokenizer)} tokens",
            do="save the model's own tokenizer into its folder",
        )
