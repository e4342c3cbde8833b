"""`codir evaluate`: a model folder on a data set, alone or against a second one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from codir.config import DataConfig, EvaluateConfig
from codir.config.words import DIFFERING_ROWS
from codir.data import LoadedData, Submission, note_unknown_tokens, read_submissions
from codir.measure import Answers, Exam, Runner, measure_agreement, predictions
from codir.models import Reader, label_names
from codir.report import EvaluationResult, SecondModel
from codir.runs.answers import (
    check_form,
    check_places,
    files_of,
    write_differences,
    write_json,
    write_predictions,
    write_submissions,
)
from codir.runs.build import load, open_reader, open_runner
from codir.runs.facts import data_facts, note_changed_rows
from codir.runs.preflight import (
    check_labels,
    check_reader,
    check_same_labels,
    has_pairs,
    note_floor,
    note_unread,
)
from codir.runs.processes import say
from codir.system import default_device, join_processes, on_main
from codir.tasks import kind_of
from codir.tasks.order import check_permutation
from codir.tasks.thresholds import thresholds_of

DTYPE = torch.float32
MODEL, AGAINST = "model", "against"
ROLES = {MODEL: "model", AGAINST: "second model"}
"""What messages call the models."""


def evaluate(model: str, data: DataConfig) -> dict[str, float]:
    """Score a model folder on the dev part of a data set, in fp32; of several processes, the main one does it.

    Raises:
        UserError: model and data do not fit together, or the answers fit only once the classes are renamed.
    """
    join_processes(use_cpu=default_device().type == "cpu")
    return on_main(_score, EvaluateConfig(model=model, data=data))


def examine(
    model: str,
    data: DataConfig,
    *,
    of_run: Path | None = None,
    against: str | None = None,
    differences: Path | str | None = None,
    differing_rows: int = DIFFERING_ROWS,
    predictions: Path | str | None = None,
    submission: Path | str | None = None,
    output: Path | str | None = None,
) -> EvaluationResult:
    """Score it, and find what must stand beside the scores: intervals, floor, classes, calibration, lengths, speed.

    Args:
        model: a folder, or a name on the hub.
        data: what it is scored on.
        of_run: the output folder of a run whose recipe names this data: its evaluation sets are scored, with the rows
            that it holds out of a single file. By default, all rows of such a file are scored.
        against: a second model on the same rows, with a tokenizer of its own: agreement and paired differences.
        differences: a `.tsv`, `.jsonl` or `.parquet` file for the rows where the two differ most.
        differing_rows: how many of them at most.
        predictions: such a file for the answer to each row.
        submission: a folder for the answers to the test rows of a GLUE task, as GLUE's server wants them.
        output: a JSON file for all that was found.

    Raises:
        UserError: as `evaluate` does; the two models have other classes; a file cannot be written; a submission is
            wanted where the data is no GLUE task. All but wrong answers are refused before a model is asked.
    """
    wanted: dict[str, Any] = {"against": against, "differences": differences, "differing_rows": differing_rows}
    wanted |= {"predictions": predictions, "submission": submission, "output": output}
    config = EvaluateConfig(model=model, data=data, **wanted)
    join_processes(use_cpu=default_device().type == "cpu")
    return on_main(_examine, config, of_run)


@dataclass(frozen=True)
class _Asked:
    """Models, data and answers, all under `model` and perhaps `against`."""

    readers: Mapping[str, Reader]
    runners: Mapping[str, Runner]
    data: LoadedData
    exam: Exam
    answers: Mapping[str, Answers]


def _score(config: EvaluateConfig) -> dict[str, float]:
    asked = _ask(config)
    exam, answers = asked.exam, asked.answers[MODEL]
    say(note_floor(MODEL, answers[exam.first], exam.labels(exam.first), asked.data.task))
    return exam.score(answers)


def _examine(config: EvaluateConfig, of_run: Path | None) -> EvaluationResult:
    data, submissions = config.data, []
    if config.submission is not None:
        submissions = read_submissions(data.source, data.data_dir)
    check_places(config, submissions)
    asked = _ask(config, of_run)
    exam, sets = asked.exam, data_facts(asked.data)["evaluation"]
    results = exam.results(asked.runners, asked.answers)
    is_whole = of_run is None and data.dev is None
    found = EvaluationResult(
        title=data.source if is_whole else ", ".join(rows["source"] for rows in sets.values()),
        model=results[MODEL],
        judgement=exam.judge(asked.answers, asked.runners[MODEL], {MODEL: [AGAINST]} if config.against else {}),
        speed=exam.speed(),
        data=sets,
        dtype=str(DTYPE).removeprefix("torch."),
        against=SecondModel(config.against, results[AGAINST], _agreement(asked)) if config.against else None,
        files=tuple(file for _, file in files_of(config, submissions)),
    )
    _write(config, asked, submissions, found)
    return found


def _ask(config: EvaluateConfig, of_run: Path | None = None) -> _Asked:
    """Load models and data, see that they fit together, and ask."""
    readers = {MODEL: open_reader(config.model, config.data.task)}
    if config.against is not None:
        readers[AGAINST] = open_reader(config.against, config.data.task)
        say(check_same_labels(readers[MODEL].model, readers[AGAINST].model))
    data = load(config.data, readers[MODEL], evaluation_only=of_run is None)
    check_form(config, data.task)
    say([*data.notes, *note_changed_rows(of_run, data)])
    for name, reader in readers.items():
        check_reader(reader, config.data.max_length, pairs=has_pairs(data), role=ROLES[name])
        unknown = [note for rows in data.dev.values() for note in note_unknown_tokens(rows, reader.tokenizer)]
        say([*check_labels(reader.model, data.task, role=ROLES[name]), *unknown])
    exam = Exam(data.dev, data.task, config.data.max_length)
    runners = {name: open_runner(reader, DTYPE) for name, reader in readers.items()}
    answers = {name: exam.answers(runner) for name, runner in runners.items()}
    for name, given in answers.items():
        for dev, logits in given.items():
            check_permutation(logits, exam.labels(dev), data.task, whose=f"the {ROLES[name]}")
            say(note_unread(dev, logits, exam.labels(dev), data.task, whose=f"the {ROLES[name]}"))
    return _Asked(readers, runners, data, exam, answers)


def _agreement(asked: _Asked) -> dict[str, Any]:
    """How far the two models answer alike, on each evaluation set."""
    ours, theirs = asked.answers[MODEL], asked.answers[AGAINST]
    return {name: measure_agreement(ours[name], theirs[name], kind_of(asked.data.task)) for name in ours}


def _write(config: EvaluateConfig, asked: _Asked, submissions: list[Submission], found: EvaluationResult) -> None:
    """Write the files that were asked for."""
    task = asked.data.task
    names = task.label_names or label_names(asked.readers[MODEL].model) or tuple(task.id2label.values())
    if config.predictions is not None:
        least = thresholds_of(asked.readers[MODEL].model.config)
        write_predictions(config.predictions, asked.data, names, asked.answers[MODEL], thresholds=least)
    if config.differences is not None:
        write_differences(config.differences, asked.data, names, asked.answers, config.differing_rows)
    if config.submission is not None:
        logits = [asked.exam.ask(asked.runners[MODEL], one.rows) for one in submissions]
        answers = [predictions(one, kind_of(task)) for one in logits]
        write_submissions(config.submission, submissions, answers, task)
    if config.output is not None:
        write_json(config.output, found.to_json())
