"""The rows about which a student and its teacher disagree most."""

from __future__ import annotations

from dataclasses import dataclass

import datasets
import numpy as np
from numpy.typing import NDArray

from codir.data import join_words
from codir.errors.shown import plain
from codir.measure.disagreement import find_farthest
from codir.tasks import Task, kind_of
from codir.tasks.metrics import predictions

LONGEST_TEXT = 300
"""Characters of a text that are shown."""


@dataclass(frozen=True)
class Disagreement:
    """A row to which two models answer differently.

    Attributes:
        row: its number in the evaluation set.
        text: its beginning and its end; both texts of a pair; `None` where texts are left out.
        label: the right answer, in words.
        teacher: the teacher's answer, in words.
        student: the student's.
        distance: half of the sum over classes of how far their probabilities are apart, from 0 to 1; for scores, how
            far the scores are apart.
    """

    row: int
    text: str | None
    label: str
    teacher: str
    student: str
    distance: float


def find_disagreements(
    teacher: NDArray[np.float32], student: NDArray[np.float32], rows: datasets.Dataset, task: Task, *, most: int = 10
) -> tuple[Disagreement, ...]:
    """The rows where two models are farthest apart, the farthest first; none where they say the same.

    Args:
        teacher: its logits `[rows, classes]`.
        student: the same of the student.
        rows: texts and labels.
        task: what the logits mean.
        most: rows at most.
    """
    kind, names = kind_of(task), task.id2label
    distances = kind.distances(teacher, student)
    said, answered = predictions(teacher, kind), predictions(student, kind)
    return tuple(
        Disagreement(
            row,
            _text_of(rows[row]),
            label=kind.shown(rows[row]["label"], rows[row], names),
            teacher=kind.shown(said[row], rows[row], names),
            student=kind.shown(answered[row], rows[row], names),
            distance=float(distances[row]),
        )
        for row in find_farthest(distances, most).tolist()
    )


def _text_of(row: dict[str, object]) -> str:
    texts = [str(row[name]) for name in ("text", "text_pair") if row.get(name) is not None]
    words = row.get("words")
    texts += [join_words(words)] if isinstance(words, list) else []
    return " | ".join(plain(text, longest=LONGEST_TEXT // len(texts)) for text in texts)
