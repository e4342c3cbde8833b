"""What is settled between the last step of a training and the saving of its model."""

from __future__ import annotations

import torch

from codir.measure import Exam
from codir.models import Reader
from codir.runs.build import runner_of
from codir.tasks import kind_of


def settle(reader: Reader, exam: Exam, dtype: torch.dtype) -> list[str]:
    """Write into a model's configuration what its kind of task decides by rows, such as thresholds of labels.

    The evaluation set `tune` is asked if there is one, or else the first.

    Args:
        reader: a model that is trained.
        exam: of its task.
        dtype: of the matrix products.

    Returns:
        Notes for the user.
    """
    kind = kind_of(exam.task)
    if kind.tuned_in_words is None:
        return []
    name = exam.tuned_on
    logits = exam.ask(runner_of(reader, dtype), exam.dev[name])
    settings = kind.tuned(logits, exam.labels(name))
    if not settings:
        return []
    for key, value in settings.items():
        setattr(reader.model.config, key, value)
    is_scored = name == exam.first
    where = f"{kind.tuned_in_words} tuned on the evaluation set `{name}`"
    return [f"{where}, which the scores are of too: `data.tune_rows` sets rows aside for that" if is_scored else where]
