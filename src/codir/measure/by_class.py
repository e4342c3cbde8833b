"""How a model does on each class: precision, recall, and what is taken for what. scikit-learn counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ClassScore:
    """How a model does on one class.

    Attributes:
        name: of the class.
        rows: that are of it.
        answered: rows that the model says are of it.
        precision: share of `answered` that is right; 0 where there is none.
        recall: share of `rows` that is found; 0 where there is none.
        f1: harmonic mean of the two.
    """

    name: str
    rows: int
    answered: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class ByClass:
    """How a model does on every class.

    Attributes:
        classes: in the order of their indices.
        confusion: rows by class (down) and answer (across); empty where a row may have several.
    """

    classes: tuple[ClassScore, ...]
    confusion: tuple[tuple[int, ...], ...]


def score_labels(answered: NDArray[np.bool_], true: NDArray[np.bool_], names: dict[int, str]) -> ByClass:
    """Count right and wrong answers by label, where a row may have several.

    Args:
        answered: whether each label is answered, `[rows, labels]`.
        true: whether the row has it.
        names: of all labels, by index.

    Example:
        >>> answered, true = np.array([[1, 0], [1, 1]], bool), np.array([[1, 0], [0, 1]], bool)
        >>> [(one.name, one.rows, one.precision) for one in score_labels(answered, true, {0: "a", 1: "b"}).classes]
        [('a', 1, 0.5), ('b', 1, 1.0)]
    """
    from sklearn.metrics import precision_recall_fscore_support

    precision, recall, f1, rows = precision_recall_fscore_support(true, answered, average=None, zero_division=0.0)
    return ByClass(
        tuple(
            ClassScore(names[index], int(rows[place]), int(answered[:, index].sum()), *map(float, scores))
            for place, (index, scores) in enumerate(zip(names, zip(precision, recall, f1, strict=True), strict=True))
        ),
        (),
    )


def score_classes(answers: NDArray[np.generic], labels: NDArray[np.generic], names: dict[int, str]) -> ByClass:
    """Count right and wrong answers by class.

    Args:
        answers: class indices.
        labels: of the same rows.
        names: of all classes, by index.

    Example:
        >>> found = score_classes(np.array([0, 1, 1]), np.array([0, 0, 1]), {0: "no", 1: "yes"})
        >>> found.confusion, found.classes[0].recall, found.classes[1].precision
        (((1, 1), (0, 1)), 0.5, 0.5)
    """
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    indices = list(names)
    confusion = confusion_matrix(labels, answers, labels=indices)
    precision, recall, f1, rows = precision_recall_fscore_support(labels, answers, labels=indices, zero_division=0.0)
    classes = tuple(
        ClassScore(names[index], int(count), int(answered), float(right), float(found), float(both))
        for index, count, answered, right, found, both in zip(
            indices, rows, confusion.sum(axis=0), precision, recall, f1, strict=True
        )
    )
    return ByClass(classes, tuple(tuple(map(int, row)) for row in confusion))
