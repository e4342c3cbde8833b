"""What a file of answers is worth, seen before training: how sure it is, of what, and whether the labels agree.

Knows logits and labels; knows no file.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from codir.tasks import Task, kind_of
from codir.tasks.metrics import find_metric, predictions
from codir.tasks.order import check_permutation

MOST_CLASSES = 6
"""How many classes a note names."""


def describe_answers(logits: NDArray[np.float32], task: Task, file: str) -> Iterator[str]:
    """Say what the answers to the training rows are: the share of each class, and how sure they are.

    Args:
        logits: `[rows, classes]`.
        task: that they answer.
        file: what notes call the file.

    Example:
        >>> logits = np.log(np.array([[0.9, 0.1], [0.4, 0.6]], np.float32))
        >>> print(*describe_answers(logits, Task("classification", ("up", "down"), 2, ("accuracy",)), "answers.csv"))
        answers.csv answers up to 50.0%, down to 50.0% of 2 training rows; mean entropy 0.50 of at most 0.69.
    """
    kind, rows = kind_of(task), f"{len(logits):,} training rows"
    if kind.reads_apart:
        yield f"{file} has {kind.outputs_in_words(logits.shape[1])} for each of {rows}."
        return
    shares = kind.probabilities(logits)
    if shares is not None and not kind.one_class:
        yield f"{file} answers {(shares >= 0.5).sum(axis=1).mean():.2f} labels to each of {rows} on average."
        return
    if shares is None:
        extent = f"from {logits.min():.3g} to {logits.max():.3g}, mean {logits.mean():.3g}"
        yield f"{file} answers {rows} with scores {extent}."
        return
    counts = np.bincount(shares.argmax(axis=1), minlength=task.num_labels) / len(shares)
    order = np.argsort(-counts, kind="stable")[:MOST_CLASSES]
    said = ", ".join(f"{task.id2label[int(index)]} to {counts[index]:.1%}" for index in order)
    more = ", ..." if len(counts) > MOST_CLASSES else ""
    entropy = -(shares * np.log(np.maximum(shares, np.finfo(np.float64).tiny))).sum(axis=1).mean()
    sure = f"mean entropy {entropy:.2f} of at most {np.log(len(counts)):.2f}"
    yield f"{file} answers {said}{more} of {rows}; {sure}."
    if entropy < 0.001:
        yield f"{file} is certain of every answer, so its soft targets teach no more than labels do."
    if len(counts) > 1 and counts.max() == 1.0:
        yield f"{file} answers the same class to every training row."


def compare_with_labels(
    logits: NDArray[np.float32], labels: NDArray[np.generic], task: Task, file: str
) -> Iterator[str]:
    """Say how far answers and labels agree on the training rows that have both.

    Args:
        logits: `[rows, classes]`.
        labels: of the same rows, all of which have one.
        task: that they answer.
        file: what notes call the file.

    Raises:
        UserError: the answers fit the labels well once the classes are renamed, and badly as they are.
    """
    kind, rows = kind_of(task), f"{len(labels):,} labelled training rows"
    if not len(labels):
        return
    metric, _ = kind.agreement
    if kind.one_class:
        as_is, majority = check_permutation(logits, labels, task, whose=file, on=rows)
        yield f"{file} answers as the labels of {as_is:.1%} of {rows} say."
        if as_is <= majority:
            yield f"That is no better than always answering the largest class ({majority:.1%})."
        return
    agreed = find_metric(metric, kind)(predictions(logits, kind), kind.targets(labels))
    yield f"{file}: {metric} {agreed:.3f} with the labels of {rows}."
    if agreed <= 0:
        yield f"{file} does not go with the labels at all: do both mean the same by a high score?"
