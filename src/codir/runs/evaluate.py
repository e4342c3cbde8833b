"""`codir evaluate`: a model folder on a data set."""

from __future__ import annotations

import torch

from codir.config import DataConfig
from codir.data import note_unknown_tokens
from codir.measure import Exam
from codir.runs.build import load, load_reader, runner_of
from codir.runs.preflight import check_labels, check_permutation, check_reader, has_pairs
from codir.runs.processes import say
from codir.system import default_device, join_processes, on_main


def evaluate(model: str, data: DataConfig) -> dict[str, float]:
    """Score a model folder on the dev part of a data set, in fp32; of several processes, the main one does it.

    Raises:
        UserError: model and data do not fit together, or the answers fit only once the classes are renamed.
    """
    join_processes(use_cpu=default_device().type == "cpu")
    return on_main(_score, model, data)


def _score(model: str, data: DataConfig) -> dict[str, float]:
    reader = load_reader(model)
    loaded = load(data, reader, evaluation_only=True)
    check_reader(reader, data.max_length, pairs=has_pairs(loaded))
    unknown = [note for rows in loaded.dev.values() for note in note_unknown_tokens(rows, reader.tokenizer)]
    say([*loaded.notes, *check_labels(reader.model, loaded.task), *unknown])
    exam = Exam(loaded.dev, loaded.task, data.max_length)
    answers = exam.answers(runner_of(reader, torch.float32))
    for name, logits in answers.items():
        check_permutation(logits, exam.labels(name), loaded.task, whose="the model")
    return exam.score(answers)
