"""A comparison as one HTML file: a picture and a table for each kind of student and evaluation set.

Knows numbers over seeds; the words around them are given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from codir.errors.shown import counted, short_paths
from codir.measure import Comparison, Line, lines_of
from codir.report.html.charts import Chart, Mark, interval_chart
from codir.report.html.templates import fill_in
from codir.report.judgement import Rows
from codir.report.words import TEACHER, in_words, scale_of


@dataclass(frozen=True)
class Section:
    """One kind of student on one evaluation set."""

    title: str
    chart: Chart
    rows: Rows


def render_comparison(
    comparison: Comparison, *, tables: Sequence[Rows], warnings: Sequence[str], explained: Sequence[str]
) -> str:
    """The whole page.

    Args:
        comparison: of presets.
        tables: of its sections, in their order.
        warnings: what a reader has to hear first.
        explained: what the numbers mean, one sentence or paragraph each.
    """
    return fill_in(
        "comparison.html.j2",
        title=f"Presets compared on {short_paths(comparison.runs[0].task)}",
        warnings=warnings,
        explained=explained,
        sections=[
            Section(_title(comparison, *section), comparison_chart(comparison, *section, number), plain_rows(rows))
            for number, (section, rows) in enumerate(zip(comparison.sections, tables, strict=True))
        ],
        failed=comparison.failed,
        conditions=comparison.conditions,
    )


def plain_rows(rows: Rows) -> Rows:
    """Rows of a table without Markdown for the teacher's name."""
    return [{column: "teacher" if cell == TEACHER else cell for column, cell in row.items()} for row in rows]


def _title(comparison: Comparison, student: str, on: str) -> str:
    rows = comparison.conditions.get("evaluation_rows", {}).get(on)
    return f"{student}, {on}" + (f" ({counted(rows, 'row')})" if rows else "")


def comparison_chart(comparison: Comparison, student: str, on: str, number: int) -> Chart:
    """The mean of each contestant over its seeds with its interval, the seeds as small dots, the teacher as a line.

    A teacher so far away that the others would be drawn as one dot is named below instead.

    Args:
        comparison: of presets.
        student: kind of student.
        on: evaluation set.
        number: of the picture.
    """
    metric, lines = comparison.metric, lines_of(comparison, student, on)
    scale, unit = scale_of(metric)
    marks = [_mark(line, scale, is_reference=line.preset == comparison.reference) for line in lines]
    drawn = [value for mark in marks for value in (mark.low, mark.high, *mark.others) if value is not None]
    score = comparison.teacher.get(comparison.metric_on[on])
    teacher, spread = None if score is None else scale * score, max(drawn) - min(drawn)
    is_near = teacher is not None and min(drawn) - spread <= teacher <= max(drawn) + spread
    small = "Small dots are single seeds."
    return interval_chart(
        f"comparison-{number}",
        f"{in_words(metric).capitalize()} of each preset, mean and 95% interval over seeds",
        marks,
        across=f"{in_words(metric)}{unit}",
        reference=("teacher", teacher) if is_near and teacher is not None else None,
        note=small if is_near or teacher is None else f"{small} The teacher has {teacher:.4g} and lies outside.",
    )


def _mark(line: Line, scale: float, *, is_reference: bool) -> Mark:
    mean, half = scale * line.score.mean, line.score.half_width
    text = f"{mean:.2f}" if scale > 1 else f"{mean:.4f}"
    series, others = 1 if is_reference else 0, tuple(scale * value for value in line.values)
    if half is None:
        return Mark(line.preset, mean, text, series=series, others=others)
    spread = f" ± {scale * half:.2f}" if scale > 1 else f" ± {half:.4f}"
    return Mark(line.preset, mean, text + spread, mean - scale * half, mean + scale * half, series, others)
