"""How a model does on each class: precision, recall, and what is taken for what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
    return ByClass(_scores(names, *(found[:, [*names]].sum(axis=0) for found in (answered & true, answered, true))), ())


def score_classes(answers: NDArray[np.generic], labels: NDArray[np.generic], names: dict[int, str]) -> ByClass:
    """Count right and wrong answers by class.

    Args:
        answers: class indices, `[rows]`; there may be no row.
        labels: of the same rows.
        names: of all classes, by index.

    Example:
        >>> found = score_classes(np.array([0, 1, 1]), np.array([0, 0, 1]), {0: "no", 1: "yes"})
        >>> found.confusion, found.classes[0].recall, found.classes[1].precision
        (((1, 1), (0, 1)), 0.5, 0.5)
    """
    from sklearn.metrics import confusion_matrix

    shape = len(names), len(names)  # scikit-learn refuses no rows, such as no entities on either side
    confusion = confusion_matrix(labels, answers, labels=[*names]) if len(labels) else np.zeros(shape, np.int64)
    answered, rows = ([int((found == index).sum()) for index in names] for found in (answers, labels))
    return ByClass(_scores(names, np.diag(confusion), answered, rows), tuple(tuple(map(int, row)) for row in confusion))


def _scores(
    names: Mapping[int, str], right: Iterable[int], answered: Iterable[int], rows: Iterable[int]
) -> tuple[ClassScore, ...]:
    """The scores of each class, from how many rows are answered so and rightly, are answered so, and are so."""
    return tuple(
        ClassScore(name, int(of), int(said), _share(hits, said), _share(hits, of), _share(2 * hits, said + of))
        for name, hits, said, of in zip(names.values(), right, answered, rows, strict=True)
    )


def _share(part: int, whole: int) -> float:
    """Zero of nothing."""
    return float(part / whole) if whole else 0.0
