"""Whether answers number the classes in another way than the labels do. Knows answers and labels alone."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Shaped

from codir.errors import UserError
from codir.tasks import Task, kind_of
from codir.tasks.metrics import check_same_rows, predictions

SWAPPED_LABELS_MARGIN = 0.2
"""Stop when renaming a model's classes beats both its accuracy and the largest class by more than this."""


def check_permutation(
    logits: np.ndarray, labels: np.ndarray, task: Task, *, whose: str, on: str = "the dev set"
) -> tuple[float, float]:
    """Refuse answers that fit the labels well once the classes are renamed, and badly as they are.

    Args:
        logits: `[rows, classes]`.
        labels: of the same rows.
        task: what is measured; scores have no classes to rename.
        whose: what messages call the model.
        on: what they call the rows.

    Returns:
        The accuracy, and the share of the largest class.

    Raises:
        UserError: the data numbers its classes in another way than the model.
    """
    kind = kind_of(task)
    if not (kind.one_class or kind.reads_words):
        return 0.0, 0.0
    logits, labels = kind.one_by_one(logits, labels)
    is_answered = kind.is_answered(logits).all(axis=-1)
    logits, labels = logits[is_answered], labels[is_answered]
    if not len(labels):
        return 0.0, 0.0
    permutation, as_is, renamed = best_label_permutation(logits, labels)
    majority = float(np.bincount(labels.astype(int)).max() / len(labels))
    if renamed - max(as_is, majority) > SWAPPED_LABELS_MARGIN:
        raise UserError(
            "label order",
            expected=f"data that numbers its classes as {whose} does",
            got=f"accuracy {as_is:.3f} on {on}, {renamed:.3f} with its classes renamed to {list(permutation)}",
            otherwise="each answer would have been taken for another class",
            do="number the labels in the data as the model does (`--labels` names them in order)",
        )
    return as_is, majority


def best_label_permutation(
    logits: Float[np.ndarray, "rows classes"], labels: Shaped[np.ndarray, " labels"]
) -> tuple[tuple[int, ...], float, float]:
    """Find the renaming of a model's classes that fits the labels best (Hungarian assignment on the confusion matrix).

    A model whose accuracy jumps under a renaming was most likely trained with its labels in another order.

    Returns:
        The permutation, where `permutation[model_class]` is the data's class; the accuracy as is; the accuracy under
        the permutation. Of equally good permutations, one that renames the fewest classes.

    Example:
        >>> best_label_permutation(np.array([[0.0, 1.0], [1.0, 0.0], [3.0, 2.0]]), np.array([0, 1, 1]))
        ((1, 0), 0.0, 1.0)
    """
    from scipy.optimize import linear_sum_assignment
    from sklearn.metrics import confusion_matrix

    check_same_rows("labels", len(labels), len(logits))
    classes = logits.shape[1]
    confusion = confusion_matrix(predictions(logits), labels, labels=np.arange(classes))
    # The diagonal's bonus adds up to less than one row, so it decides between ties and nothing else.
    _, permutation = linear_sum_assignment(confusion * (classes + 1) + np.eye(classes), maximize=True)
    as_is, renamed = confusion.trace(), confusion[np.arange(classes), permutation].sum()
    return tuple(permutation.tolist()), float(as_is / len(labels)), float(renamed / len(labels))
