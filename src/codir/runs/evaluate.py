"""`codir evaluate`: a model folder on a data set."""

from __future__ import annotations

import torch

from codir.config import (
    DataConfig,
)
from codir.data import note_unknown_tokens
from codir.measure import Exam
from codir.runs.build import load, load_reader, runner_of
from codir.runs.distill import logger
from codir.runs.preflight import check_labels, check_permutation, check_reader, has_pairs


def evaluate(model: str, data: DataConfig) -> dict[str, float]:
    """Score a model folder on the dev part of a data set, in fp32.

    Raises:
        UserError: model and data do not fit together, or the answers fit only once the classes are renamed.
    """
    reader = load_reader(model)
    loaded = load(data, reader, evaluation_only=True)
    check_reader(reader, data.max_length, pairs=has_pairs(loaded))
    notes = [*loaded.notes, *check_labels(reader.model, loaded.task)]
    for rows in loaded.dev.values():
        notes += note_unknown_tokens(rows, reader.tokenizer)
    for note in notes:
        logger.warning(note)
    exam = Exam(loaded.dev, loaded.task, data.max_length)
    answers = exam.answers(runner_of(reader, torch.float32))
    for name, logits in answers.items():
        check_permutation(logits, exam.labels(name), loaded.task, whose="the model")
    return exam.score(answers)
