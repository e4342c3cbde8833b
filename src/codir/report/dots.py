"""A comparison in one picture: a dot with its interval per contestant, best on top, a panel per kind of student."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from codir.measure import Comparison, Line, lines_of
from codir.report.pictures import COLOURS, add_legend, quieten
from codir.report.words import in_words, scale_of

PANELS_PER_ROW = 3


def plot_comparison(comparison: Comparison, path: Path) -> None:
    """Draw the first evaluation set as a PNG: means with 95% intervals, small dots for seeds, the teacher as a line."""
    from matplotlib.figure import Figure

    students, columns = comparison.students, min(PANELS_PER_ROW, len(comparison.students))
    rows = -(-len(students) // columns)
    panels = {student: lines_of(comparison, student, comparison.first)[::-1] for student in students}
    height = 1.1 + 0.3 * max(map(len, panels.values()))
    figure = Figure(figsize=(max(5.5, 4.2 * columns), rows * height + 0.4), dpi=150, layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axis, (student, lines) in zip(axes, panels.items(), strict=False):
        _draw(axis, student, lines, comparison)
    for empty in axes[len(panels) :]:
        empty.set_axis_off()
    add_legend(figure)
    figure.savefig(path, format="png")


def _draw(axis: Any, student: str, lines: list[Line], comparison: Comparison) -> None:
    scale, unit = scale_of(comparison.metric)
    for place, line in enumerate(lines):
        colour = COLOURS[1] if line.preset == comparison.reference else COLOURS[0]
        values, spread = [scale * value for value in line.values], scale * (line.score.half_width or 0.0)
        axis.plot(values, [place] * len(values), "o", color=colour, alpha=0.35, markersize=3)
        axis.errorbar(scale * line.score.mean, place, xerr=spread or None, fmt="o", color=colour, capsize=3)
    teacher = comparison.teacher.get(comparison.metric_on[comparison.first])
    if teacher is not None:
        _draw_teacher(axis, scale * teacher)
        axis.plot([], [], "--", color="0.4", linewidth=1, label="teacher")
    axis.plot([], [], "o", color=COLOURS[1], label=f"{comparison.reference} (reference)")
    axis.plot([], [], "o", color="0.4", alpha=0.5, markersize=3, label="single seeds")
    axis.set_yticks(range(len(lines)), [line.preset for line in lines], fontsize=9, parse_math=False)
    axis.set_ylim(-0.6, len(lines) - 0.4)
    axis.set_title(student, fontsize=10, loc="left", parse_math=False)
    axis.set_xlabel(f"{in_words(comparison.metric)} on {comparison.first}{unit}", fontsize=9, parse_math=False)
    axis.locator_params(axis="x", nbins=5)
    quieten(axis, grid="x")


def _draw_teacher(axis: Any, score: float) -> None:
    """A line; where it is so far away that the students would be drawn as one, an arrow towards it."""
    low, high = axis.get_xlim()
    if low - (high - low) <= score <= high + (high - low):
        axis.axvline(score, color="0.4", linestyle="--", linewidth=1)
        return
    to_the_right = score > high
    text = f"teacher {score:.4g} →" if to_the_right else f"← teacher {score:.4g}"
    place = {"x": 1.0, "ha": "right"} if to_the_right else {"x": 0.0, "ha": "left"}
    axis.text(y=1.01, va="bottom", s=text, transform=axis.transAxes, fontsize=8, color="0.3", **place)
