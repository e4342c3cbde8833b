"""`codir evaluate`: a model folder on a data set."""

from __future__ import annotations

import torch

from codir.config import DataConfig
from codir.measure import Exam
from codir.runs.build import load, load_reader, runner_of
from codir.runs.preflight import check_labels, check_max_length
from codir.runs.processes import say
from codir.system import default_device, join_processes, on_main


def evaluate(model: str, data: DataConfig) -> dict[str, float]:
    """Score a model folder on the dev part of a data set, in fp32; of several processes, the main one does it."""
    join_processes(use_cpu=default_device().type == "cpu")
    return on_main(_score, model, data)


def _score(model: str, data: DataConfig) -> dict[str, float]:
    reader = load_reader(model)
    loaded = load(data, reader, evaluation_only=True)
    check_max_length(reader.model, data.max_length)
    say([*loaded.notes, *check_labels(reader.model, loaded.task)])
    exam = Exam(loaded.dev, loaded.task, data.max_length)
    return exam.score(exam.answers(runner_of(reader, torch.float32)))
