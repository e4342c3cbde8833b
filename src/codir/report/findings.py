"""What results say of one model, for its card: the numbers as they were measured, and the blocks that explain them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from codir.errors.shown import counted, without_paths
from codir.measure import Judgement
from codir.report.judgement import INTERVALS, certainty_rows, floor_row, speed_rows, timed_in_words, warnings_of
from codir.report.pretraining import LOWER_IS_BETTER, PretrainingResult
from codir.report.results import RunResult, summarise
from codir.report.words import NOT_MEASURED, in_markdown, in_threads, in_words, show_metric, to_markdown

CURVES_NAME = "training_curves.png"
ONE_TRAINING = "The scores are those of one training. Another seed would have given other scores."
NO_BASELINE = "No student was trained without a teacher, so the scores do not show what the distillation added."
NO_SPEED = "Speed and memory were not measured."


@dataclass(frozen=True)
class Scores:
    """One model's scores on one evaluation set, exactly as they were measured.

    Attributes:
        name: of the evaluation set, such as `dev`.
        source: the file or data set that its rows come from.
        values: by metric.
    """

    name: str
    source: str
    values: Mapping[str, float]


@dataclass(frozen=True)
class Findings:
    """What was found of a model.

    Attributes:
        results: for the metadata.
        summary: in a sentence.
        warnings: what a reader has to hear first.
        scores: beside those of teacher and baseline, with intervals; blocks of Markdown.
        speed: with conditions; blocks of Markdown.
        limits: what the numbers do not say.
        notes: of the run.
        conditions: as `gather_conditions` gives them.
        picture: file beside the card, with the curves of the training.
    """

    results: Sequence[Scores] = ()
    summary: str = ""
    warnings: Sequence[str] = ()
    scores: Sequence[str] = ()
    speed: Sequence[str] = ()
    limits: Sequence[str] = ()
    notes: Sequence[str] = ()
    conditions: Mapping[str, Any] = field(default_factory=dict)
    picture: str | None = None


def findings_of_run(result: RunResult) -> Findings:
    """What a distillation found, for the student's card."""
    sets = result.data.get("evaluation", {})
    speed = "The speeds are those of one machine on these texts. Memory and energy were not measured."
    return Findings(
        results=_by_set(result.student.metrics, sets),
        summary=summarise(result),
        warnings=result.warnings,
        scores=[] if result.judgement is None else _judged(result.judgement, sets, result.conditions),
        speed=_speeds(result) if result.speed else [],
        picture=CURVES_NAME,
        limits=[ONE_TRAINING, *([] if result.baseline else [NO_BASELINE]), speed if result.speed else NO_SPEED],
        notes=result.notes,
        conditions=result.conditions,
    )


def findings_of_judgement(
    judgement: Judgement, sets: Mapping[str, Any], *, notes: Sequence[str], conditions: Mapping[str, Any]
) -> Findings:
    """What an exam of one model found, for its card.

    Args:
        judgement: of that model alone.
        sets: the evaluation sets, with sources and numbers of rows.
        notes: of the run.
        conditions: as `gather_conditions` gives them.
    """
    (intervals,) = judgement.intervals.values()
    return Findings(
        results=_by_set({metric: interval.value for metric, interval in intervals.items()}, sets),
        warnings=warnings_of(judgement),
        scores=_judged(judgement, sets, conditions),
        limits=[ONE_TRAINING, NO_SPEED],
        notes=notes,
        conditions=conditions,
    )


def findings_of_pretraining(result: PretrainingResult, source: str) -> Findings:
    """What a pre-training found, for the student's card.

    Args:
        result: of the run.
        source: the corpus.
    """
    scores = result.scores["student"]
    return Findings(
        results=[Scores("heldout", source, {key: scores[key] for key in ("loss", "perplexity") if key in scores})],
        scores=[to_markdown(result.rows()), LOWER_IS_BETTER],
        picture=CURVES_NAME,
        limits=[
            f"{ONE_TRAINING} They have no intervals.",
            "What it is worth on a task was not measured. It is made to be fine-tuned, or distilled further.",
            NO_SPEED,
        ],
        notes=result.notes,
        conditions=result.conditions,
    )


def _by_set(metrics: Mapping[str, float], sets: Mapping[str, Any]) -> list[Scores]:
    """Metrics by evaluation set; the names of those on a second one end in its name."""
    first, *others = sets or {"dev": {}}
    endings = {f"_{name.removeprefix('dev_')}": name for name in sorted(others, key=len, reverse=True)}
    found: dict[str, dict[str, float]] = {name: {} for name in (first, *others)}
    for key, value in metrics.items():
        ending = next((ending for ending in endings if key.endswith(ending)), "")
        found[endings.get(ending, first)][key.removesuffix(ending)] = value
    return [Scores(name, str(sets.get(name, {}).get("source", name)), values) for name, values in found.items()]


def _judged(judgement: Judgement, sets: Mapping[str, Any], conditions: Mapping[str, Any]) -> list[str]:
    """What was judged by, the table of all models and of what answers without reading, and what intervals mean."""
    dtype = f", in {conditions['dtype']}" if conditions.get("dtype") else ""
    floor = [
        {
            **floor_row(judgement, ["model"]),
            "metric": in_words(metric),
            "value": show_metric(metric, value),
            "95% interval": NOT_MEASURED,
            "rows": NOT_MEASURED,
        }
        for metric, value in judgement.floor.items()
    ]
    judged_by = [
        f"{in_markdown(without_paths(str(one['source'])))}, {counted(one['rows'], 'row')}" for one in sets.values()
    ]
    table = to_markdown([*certainty_rows(judgement, list(judgement.floor)), *floor])
    return [*([f"On {'; '.join(judged_by)}{dtype}:"] if judged_by else []), table, INTERVALS]


def _speeds(result: RunResult) -> list[str]:
    known = {name: result.conditions.get(name) for name in ("device", "threads", "dtype")}
    told = [
        in_threads(value) if name == "threads" else str(value) for name, value in known.items() if value is not None
    ]
    how = f"{timed_in_words(result.speed)}. {in_markdown(', '.join(told))}."
    return [to_markdown(speed_rows(result.models, result.speed)), how]
