"""A comparison in words: a table for each kind of student and evaluation set, and one picture of all.

Turns numbers into words; knows nothing of how they were measured. Everything comes from `results.json`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from codir.errors.shown import counted, redacted, short_paths
from codir.measure import Comparison, Estimate, Line, lines_of
from codir.report.dots import plot_comparison
from codir.report.html import render_comparison
from codir.report.words import (
    NOT_MEASURED,
    TEACHER,
    in_code,
    in_json,
    in_markdown,
    in_words,
    render_page,
    to_markdown,
    with_article,
)
from codir.store import files_added_whole
from codir.tasks import better_than, is_share

FILES = ("results.json", "table.md", "comparison.png", "report.html")
"""What is written of a comparison."""


def comparison_rows(comparison: Comparison, student: str, on: str) -> list[dict[str, str]]:
    """A table in words, column name to cell: the teacher, and a row per contestant.

    Args:
        comparison: of presets.
        student: kind of student.
        on: evaluation set.
    """
    metric = comparison.metric
    unit = " %" if is_share(metric) else ""
    of_teacher = comparison.teacher.get(_key(comparison, on))
    rows = [
        {
            "preset": line.preset,
            in_words(metric) + unit: _show_estimate(metric, line.score),
            f"against {comparison.reference}": _show_estimate(metric, line.difference, sign="+"),
            "p": NOT_MEASURED if line.p_value is None else _show_p(line.p_value),
            "retention": NOT_MEASURED if line.retention is None else f"{line.retention:.1%}",
            "agreement": NOT_MEASURED if line.agreement is None else f"{line.agreement:.3f}",
            "s/step": f"{line.seconds_per_step:.3f}",
            "seeds": str(line.score.count),
        }
        for line in lines_of(comparison, student, on)
    ]
    first = []
    if of_teacher is not None:
        first.append({"preset": TEACHER, in_words(metric) + unit: _show(metric, of_teacher)})
    if comparison.floor_name is not None:
        of_floor = _show(metric, comparison.floor[_key(comparison, on)])
        first.append({"preset": comparison.floor_name, in_words(metric) + unit: of_floor})
    return [*({column: row.get(column, NOT_MEASURED) for column in rows[0]} for row in first), *rows]


def comparison_warnings(comparison: Comparison) -> list[str]:
    """What a reader has to hear first: teacher or contestants that might as well not read."""
    warnings = []
    for on, key in comparison.metric_on.items():
        of_teacher, of_floor = comparison.teacher.get(key), comparison.floor.get(key)
        if of_floor is None:
            continue
        metric = in_words(comparison.metric)
        unit = "%" if is_share(comparison.metric) else ""
        reached = f"{metric} {_show(comparison.metric, of_floor)}{unit}"
        floor = f"no better than {with_article(comparison.floor_name or 'floor')} ({reached})"
        if of_teacher is not None and not better_than(comparison.metric, of_teacher, of_floor):
            warnings.append(f"On {on}, the teacher is {floor}, so no retention is reported.")
        for student in comparison.students:
            low = [line.preset for line in lines_of(comparison, student, on) if line.is_at_floor]
            if low:
                warnings.append(f"On {on}, these students ({student}) are {floor}: {', '.join(low)}.")
    return warnings


def summary_rows(comparisons: Mapping[str, Comparison]) -> list[dict[str, str]]:
    """Comparisons by name in one table, each by its first evaluation set: a row per contestant, a column per student.

    Of several comparisons, only contestants that at least two of them have are shown.
    """
    columns = {
        _heading(name, student, comparisons): (
            comparison,
            {line.preset: line for line in lines_of(comparison, student, comparison.first)},
        )
        for name, comparison in comparisons.items()
        for student in comparison.students
    }
    taking_part = Counter(
        preset for comparison in comparisons.values() for preset in dict.fromkeys(run.preset for run in comparison.runs)
    )
    shown = [preset for preset, count in taking_part.items() if count >= min(2, len(comparisons))]
    shown.sort(key=lambda preset: sum(_rank(one, of[preset]) for one, of in columns.values() if preset in of))
    of_teachers = {heading: (one, one.teacher.get(_key(one, one.first))) for heading, (one, _) in columns.items()}
    teacher = {
        heading: NOT_MEASURED if score is None else _show(one.metric, score)
        for heading, (one, score) in of_teachers.items()
    }
    rows = [
        {heading: _show_line(one.metric, of.get(preset)) for heading, (one, of) in columns.items()} for preset in shown
    ]
    return [{"preset": name} | row for name, row in zip([TEACHER, *shown], [teacher, *rows], strict=True)]


def _rank(comparison: Comparison, line: Line) -> float:
    """Lower is better."""
    return -line.score.mean if better_than(comparison.metric, 1.0, 0.0) else line.score.mean


def _heading(name: str, student: str, comparisons: Mapping[str, Comparison]) -> str:
    if len(comparisons) == 1:
        return student
    heading = name if len(comparisons[name].students) == 1 else f"{name}, {student}"
    metrics = {comparison.metric for comparison in comparisons.values()}
    return heading if len(metrics) == 1 else f"{heading}, {in_words(comparisons[name].metric)}"


def comparison_markdown(comparison: Comparison) -> str:
    """The page of a comparison: all tables, with what a reader has to know of them."""
    blocks = [explain(comparison)]
    for student, on in comparison.sections:
        rows = comparison.conditions.get("evaluation_rows", {}).get(on)
        size = f" ({counted(rows, 'row')})" if rows else ""
        blocks += [
            f"## {in_markdown(student)}, {in_markdown(on)}{size}",
            to_markdown(comparison_rows(comparison, student, on)),
        ]
    blocks += [f"Did not come to its end: {in_markdown(failure)}" for failure in comparison.failed]
    return render_page(short_paths(comparison.runs[0].task), blocks, warnings=comparison_warnings(comparison))


def explain(comparison: Comparison) -> str:
    """What the numbers of the tables mean, in Markdown."""
    return "\n\n".join(in_markdown(sentences, keeps_code=True) for sentences in explained(comparison))


def explained(comparison: Comparison) -> list[str]:
    """The same, one paragraph each."""
    metric = in_words(comparison.metric)
    unit = ", in percent" if is_share(comparison.metric) else ""
    lines = [
        f"Mean {metric} over seeds{unit}, ± half of its 95% t-interval. "
        f"Differences are to {in_code(comparison.reference)}, "
        "seed by seed, with the same interval; p is that of the two-sided paired t-test over the seeds that both have, "
        "corrected (Holm) for the number of presets tested in the same table. Retention is of the teacher's "
        f"{metric}; agreement is with the teacher's answers.",
    ]
    conditions, threads = comparison.conditions, sorted({run.threads for run in comparison.runs})
    if len(threads) > 1:
        lines.append(f"Runs had {' or '.join(map(str, threads))} threads, so seconds per step are not comparable.")
    if {"device", "cores", "dtype"} <= conditions.keys():
        at_once = f", {conditions['jobs']} runs side by side" if conditions.get("jobs", 1) > 1 else ""
        machine = f"{conditions['device']}, {conditions['cores']} cores, threads per run: {threads[0]}{at_once}"
        lines.append(f"{machine}, {conditions['dtype']}; all conditions are in `results.json`.")
    return lines


def _key(comparison: Comparison, on: str) -> str:
    return comparison.metric_on[on]


def _show(metric: str, value: float, *, sign: str = "") -> str:
    return f"{100 * value:{sign}.2f}" if is_share(metric) else f"{value:{sign}.4f}"


def _show_estimate(metric: str, estimate: Estimate | None, *, sign: str = "") -> str:
    if estimate is None:
        return NOT_MEASURED
    spread = "" if estimate.half_width is None else f" ± {_show(metric, estimate.half_width)}"
    return _show(metric, estimate.mean, sign=sign) + spread


def _show_line(metric: str, line: Line | None) -> str:
    if line is None:
        return NOT_MEASURED
    if line.difference is None:
        return _show_estimate(metric, line.score)
    tested = "" if line.p_value is None else f", p {_show_p(line.p_value)}"
    return f"{_show_estimate(metric, line.score)} ({_show(metric, line.difference.mean, sign='+')}{tested})"


def _show_p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def write_comparison(comparison: Comparison, folder: Path) -> None:
    """Write `results.json`, `table.md`, `report.html` and `comparison.png`, none of them ever half-written."""
    content = redacted(asdict(comparison))
    content["runs"] = content.pop("runs")  # last, since they are many
    with files_added_whole(folder) as drafts:
        numbers, table, picture, page = (drafts / name for name in FILES)
        numbers.write_text(in_json(content), "utf-8")
        table.write_text(comparison_markdown(comparison), "utf-8")
        plot_comparison(comparison, picture)
        page.write_text(_page(comparison), "utf-8")


def _page(comparison: Comparison) -> str:
    tables = [comparison_rows(comparison, student, on) for student, on in comparison.sections]
    warnings, paragraphs = comparison_warnings(comparison), explained(comparison)
    return render_comparison(comparison, tables=tables, warnings=warnings, explained=paragraphs)
