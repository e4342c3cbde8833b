"""`codir evaluate`: a model folder on a data set."""

from __future__ import annotations

import torch

from codir.config import DataConfig
from codir.data import LoadedData, note_unknown_tokens
from codir.measure import Answers, Exam
from codir.models import Reader
from codir.report import EvaluationResult
from codir.runs.build import load, load_reader, runner_of
from codir.runs.facts import data_facts
from codir.runs.preflight import check_labels, check_permutation, check_reader, has_pairs, note_floor
from codir.runs.processes import say
from codir.system import default_device, join_processes, on_main

DTYPE = torch.float32


def evaluate(model: str, data: DataConfig) -> dict[str, float]:
    """Score a model folder on the dev part of a data set, in fp32; of several processes, the main one does it.

    Raises:
        UserError: model and data do not fit together, or the answers fit only once the classes are renamed.
    """
    join_processes(use_cpu=default_device().type == "cpu")
    return on_main(_score, model, data)


def examine(model: str, data: DataConfig, *, as_in_training: bool = False) -> EvaluationResult:
    """Score it, and find what must stand beside the scores: intervals, floor, classes, lengths of text, speed.

    Args:
        model: a folder, or a name on the hub.
        data: what it is scored on.
        as_in_training: score the evaluation sets that a training on this data has, with the rows that it holds out of
            a single file. By default, all rows of such a file are scored.

    Raises:
        UserError: as `evaluate` does.
    """
    join_processes(use_cpu=default_device().type == "cpu")
    return on_main(_examine, model, data, as_in_training)


def _score(model: str, data: DataConfig) -> dict[str, float]:
    _, loaded, exam, answers = _ask(model, data)
    say(note_floor("model", answers[exam.first], exam.labels(exam.first), loaded.task))
    return exam.score(answers)


def _examine(model: str, data: DataConfig, as_in_training: bool) -> EvaluationResult:
    reader, loaded, exam, answers = _ask(model, data, as_in_training)
    runners, sets = {"model": runner_of(reader, DTYPE)}, data_facts(loaded)["evaluation"]
    is_whole = not as_in_training and data.dev is None
    return EvaluationResult(
        title=data.source if is_whole else ", ".join(rows["source"] for rows in sets.values()),
        model=exam.results(runners, {"model": answers})["model"],
        judgement=exam.judge({"model": answers}, runners["model"], {}),
        speed=exam.speed(),
        data=sets,
        dtype=str(DTYPE).removeprefix("torch."),
    )


def _ask(model: str, data: DataConfig, as_in_training: bool = False) -> tuple[Reader, LoadedData, Exam, Answers]:
    """Load model and data, see that they fit together, and ask."""
    reader = load_reader(model)
    loaded = load(data, reader, evaluation_only=not as_in_training)
    say(loaded.notes)
    check_reader(reader, data.max_length, pairs=has_pairs(loaded))
    unknown = [note for rows in loaded.dev.values() for note in note_unknown_tokens(rows, reader.tokenizer)]
    say([*check_labels(reader.model, loaded.task), *unknown])
    exam = Exam(loaded.dev, loaded.task, data.max_length)
    answers = exam.answers(runner_of(reader, DTYPE))
    for name, logits in answers.items():
        check_permutation(logits, exam.labels(name), loaded.task, whose="the model")
    return reader, loaded, exam, answers
