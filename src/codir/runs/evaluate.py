"""`codir evaluate`: a model folder on a data set."""

from __future__ import annotations

import torch

from codir.config import (
    DataConfig,
)
from codir.measure import Exam
from codir.runs.build import load, load_reader, runner_of
from codir.runs.distill import logger
from codir.runs.preflight import check_labels, check_reader, has_pairs


def evaluate(model: str, data: DataConfig) -> dict[str, float]:
    """Score a model folder on the dev part of a data set, in fp32."""
    reader = load_reader(model)
    loaded = load(data, reader, evaluation_only=True)
    check_reader(reader, data.max_length, pairs=has_pairs(loaded))
    for note in [*loaded.notes, *check_labels(reader.model, loaded.task)]:
        logger.warning(note)
    exam = Exam(loaded.dev, loaded.task, data.max_length)
    return exam.score(exam.answers(runner_of(reader, torch.float32)))
