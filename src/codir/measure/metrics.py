"""How far two models agree, and whether the classes of one are in another order; metrics are in `codir.tasks.metrics`.

Knows nothing of models or data sets.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Shaped

from codir.tasks import Kind, kind_of_logits
from codir.tasks.metrics import check_same_rows, find_metric, predictions


def agreement(
    logits: Float[np.ndarray, "rows ..."],
    teacher_logits: Float[np.ndarray, "teacher_rows ..."],
    kind: Kind | None = None,
) -> float:
    """How far a student answers as its teacher does, whatever the labels say.

    For classes, the share of rows with the same prediction; for scores, the Pearson correlation of the two.

    Example:
        >>> agreement(np.array([[0.0, 1.0], [2.0, 1.0]]), np.array([[0.3, 0.4], [0.1, 0.9]]))
        0.5
    """
    check_same_rows("teacher logits", len(teacher_logits), len(logits))
    kind = kind or kind_of_logits(logits)
    metric = find_metric(kind.agreement[0], kind)
    return metric(predictions(logits, kind), predictions(teacher_logits, kind))


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
