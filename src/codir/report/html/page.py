"""A run's result as one HTML file: what was kept, how sure that is, what it took, and how to repeat it.

Turns a `RunResult` into what the template `page.html.j2` shows; knows nothing of how anything was measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from codir.measure import Interval, Judgement
from codir.report.curves import select_panels
from codir.report.html.analysis import analysis_part
from codir.report.html.charts import Chart, Mark, bar_chart, interval_chart, line_chart
from codir.report.html.templates import fill_in, recipe_in_words
from codir.report.judgement import (
    CALIBRATION,
    INTERVALS,
    SHOWN,
    Rows,
    calibration_rows,
    certainty_rows,
    class_rows,
    classes_left_out,
    confusion_rows,
    length_rows,
    show_interval,
    speed_rows,
    timed_in_words,
)
from codir.report.words import in_megabytes, in_thousands, in_words, rows_in_words, scale_of, show_metric
from codir.tasks import is_share, kind_of_metric

if TYPE_CHECKING:
    from codir.report.results import RunResult

SERIES = {"teacher": 0, "student": 1, "baseline": 2}
"""The colour of each model, the same in every picture."""


@dataclass(frozen=True)
class Tile:
    """One number of the headline.

    Attributes:
        number: large.
        what: of what it is.
        more: the numbers behind it.
    """

    number: str
    what: str
    more: str


def render_html(result: RunResult, *, summary: str, rows: Rows, explained: str, conditions: Mapping[str, Any]) -> str:
    """The whole page.

    Args:
        result: of a run.
        summary: it in one sentence.
        rows: the table of all models.
        explained: what its columns mean.
        conditions: under which the numbers were found, by name.
    """
    return fill_in(
        "page.html.j2",
        title=result.title,
        summary=summary,
        warnings=result.warnings,
        tiles=tiles(result),
        measured=measured(result),
        rows=rows,
        explained=explained,
        intervals=INTERVALS,
        calibration=CALIBRATION,
        metric=in_words(result.primary_metric),
        quality=quality_charts(result),
        judgement=judgement_tables(result.judgement),
        analysis=analysis_part(result.analysis) if result.analysis else None,
        curves=curve_charts(result),
        costs=cost_charts(result),
        speeds=speed_rows(result.models, result.speed) if result.speed else [],
        timed=f"{timed_in_words(result.speed)}." if result.speed else "",
        notes=result.notes,
        conditions=conditions,
        recipe=recipe_in_words(result.recipe),
    )


# ---- The headline ----


def tiles(result: RunResult) -> list[Tile]:
    """What was kept, how much faster and smaller the student is, and how often it answers as its teacher does."""
    metric, teacher, student = result.primary_metric, result.teacher, result.student
    scored = [model for model in (student, teacher) if model is not None]
    scores = " of ".join(show_metric(metric, model.metrics.get(metric)) for model in scored)
    found = [Tile(show_metric(metric, student.metrics.get(metric)), in_words(metric), f"the student's: {scores}")]
    if result.retention is not None:
        found = [Tile(f"{result.retention:.1%}", "kept", f"{in_words(metric)}: {scores}")]
    if teacher is None or result.agreement is None:
        return [*found, Tile(in_megabytes(student.bytes), "on disk", f"{in_thousands(student.parameters)} parameters")]
    if result.speedup and student.sentences_per_second and teacher.sentences_per_second:
        rates = (
            f"{student.sentences_per_second:,.0f} sentences per second in place of {teacher.sentences_per_second:,.0f}"
        )
        found.append(Tile(f"{result.speedup:.1f}x", "as fast", rates))
    if student.bytes is not None and teacher.bytes is not None:
        sizes = f"{in_megabytes(student.bytes)} in place of {in_megabytes(teacher.bytes)}"
        found.append(Tile(f"{student.bytes / teacher.bytes:.0%}", "of the size", sizes))
    name, _ = kind_of_metric(metric).agreement
    says = "of the answers are the teacher's" if is_share(name) else "correlation with the teacher's answers"
    found.append(Tile(show_metric(name, result.agreement), "agreement", says))
    return found


def measured(result: RunResult) -> str:
    """What the numbers of the headline were measured on."""
    sets = rows_in_words(result.data.get("evaluation", {}))
    batches = f"batches of {result.speed['batch_size']}" if result.speed else None
    threads = f"threads: {result.conditions['threads']}" if "threads" in result.conditions else None
    how = [batches, result.conditions.get("dtype"), result.conditions.get("device"), threads]
    said = [f"Quality on {sets[0]}."] if sets else []
    return " ".join([*said, f"Speed: {', '.join(filter(None, how))}."] if any(how) else said)


# ---- Pictures ----


def quality_charts(result: RunResult) -> list[Chart]:
    """The primary metric of all models with intervals, and what lies between the student and the others."""
    metric, judgement = result.primary_metric, result.judgement
    scale, unit = scale_of(metric)
    quantity = f"{in_words(metric)}{unit}"
    if judgement is None:
        marks = [
            Mark(SHOWN.get(name, name), scale * score, show_metric(metric, score), series=SERIES[name])
            for name, model in result.models.items()
            if (score := model.metrics.get(metric)) is not None
        ]
        return [interval_chart("quality", "Quality", marks, across=quantity)]
    marks = [
        _mark(metric, SHOWN.get(name, name), judgement.intervals[name][metric], SERIES[name]) for name in result.models
    ]
    floor = judgement.floor[metric]
    marks.append(Mark(judgement.floor_name, scale * floor, show_metric(metric, floor), series=None))
    rows = f"{judgement.intervals['student'][metric].rows:,} rows"
    charts = [interval_chart("quality", f"Quality on {rows}, with 95% intervals", marks, across=quantity)]
    against = judgement.differences.get("student", {})
    if against:
        marks = [
            _mark(metric, f"less {SHOWN.get(other, other)}", of_pair[metric], SERIES[other], signed=True)
            for other, of_pair in against.items()
        ]
        points = f"points of {in_words(metric)}" if is_share(metric) else in_words(metric)
        title = "The student less the others, on the same rows, with 95% intervals"
        charts.append(interval_chart("differences", title, marks, across=points, reference=("", 0.0)))
    return charts


def _mark(metric: str, name: str, interval: Interval, series: int, *, signed: bool = False) -> Mark:
    scale, _ = scale_of(metric)
    shown = show_metric(metric, interval.value, signed=signed)
    text = f"{shown} ({show_interval(metric, interval, signed=signed)})"
    return Mark(name, scale * interval.value, text, scale * interval.low, scale * interval.high, series)


def curve_charts(result: RunResult) -> list[Chart]:
    """A picture per loss term, and one of the evaluation metrics."""
    panels = select_panels(result.log_history)
    return [
        line_chart(
            f"curve-{number}",
            panel.title.capitalize(),
            {in_words(name.removeprefix("loss/")): line for name, line in panel.lines.items()},
            across="step",
            up=panel.quantity,
            first_series=number,
        )
        for number, panel in enumerate(panels)
    ]


def cost_charts(result: RunResult) -> list[Chart]:
    """Speed and size of all models."""
    models = {name: (SHOWN.get(name, name), model) for name, model in result.models.items()}
    rates = {name: model.sentences_per_second for name, (_, model) in models.items()}
    alone = {name: model.latency.p50 for name, (_, model) in models.items() if model.latency}
    charts = []
    if known := {name: rate for name, rate in rates.items() if rate is not None}:
        marks = [Mark(models[name][0], rate, f"{rate:,.0f}", series=SERIES[name]) for name, rate in known.items()]
        charts.append(bar_chart("speed", "Sentences per second, more is better", marks))
    if alone:
        marks = [Mark(models[name][0], p50, f"{p50:.1f} ms", series=SERIES[name]) for name, p50 in alone.items()]
        charts.append(bar_chart("latency", "Milliseconds for one sentence alone (median), less is better", marks))
    sizes = [
        Mark(
            shown,
            model.bytes / 1e6,
            f"{in_megabytes(model.bytes)}, {in_thousands(model.parameters)}",
            series=SERIES[name],
        )
        for name, (shown, model) in models.items()
        if model.bytes is not None
    ]
    charts.append(bar_chart("size", "Megabytes on disk and number of parameters, less is better", sizes))
    return charts


# ---- Tables ----


def judgement_tables(judgement: Judgement | None) -> dict[str, Any] | None:
    """How sure the numbers are, classes, confusions, probabilities and lengths, in words."""
    if judgement is None:
        return None
    classes = judgement.by_class
    left_out = classes_left_out(classes["student"]) if classes else ""
    return {
        "certainty": certainty_rows(judgement, list(judgement.floor)),
        "classes": class_rows(classes, "student") if classes else [],
        "confusions": confusion_rows(classes["student"]) if classes else [],
        "calibration": calibration_rows(judgement.calibration),
        "lengths": length_rows(judgement) if len(judgement.by_length) > 1 else [],
        "left_out": f"{left_out}." if left_out else "",
    }
