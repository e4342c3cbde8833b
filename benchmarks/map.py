"""The picture of README and docs/results.md: what a teacher's answers and a contrast gain, in each situation.

Differences are paired by seed, with their 95% intervals, from the results of the comparisons. Whether one is
significant is told by the p of its table, which is corrected (Holm). All panels have one scale; what lies beyond it is
an arrow at the edge, with its number.

Run: python benchmarks/map.py, which `make tables` does too; it writes docs/images/map.png.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gains import QUESTIONS, Gain, gain_of
from tables import RESULTS, ROOT

from codir.measure import read_comparison
from codir.report.pictures import COLOURS, quieten

PICTURE = ROOT / "docs" / "images" / "map.png"
SCALE = (-1.6, 1.9)
"""Points at both ends of every axis: the small gains, and their intervals, are to be told apart."""


@dataclass(frozen=True)
class Situation:
    """One row of the picture.

    Attributes:
        name: as a reader would say it: the rows, a semicolon, the student.
        folder: the comparison's.
        student: kind of student; the comparison's first where none is named.
    """

    name: str
    folder: str
    student: str | None = None


SITUATIONS = (
    Situation("200 labels, 12,000 texts; 2 x 128", "few-labels-200"),
    Situation("1,000 labels, 12,000 texts; 2 x 128", "few-labels"),
    Situation("8,000 labels, 12,000 texts; 2 x 128", "few-labels-8000"),
    Situation("1,000 labels, 12,000 texts; 3 layers of the language model", "few-labels-copied"),
    Situation("8,000 labels, 16,000 texts; 4 x 192, random start", "sst2-unlabelled"),
    Situation("8,000 labels, 16,000 texts; 4 x 192", "sst2-unlabelled-start"),
    Situation("8,000 labels; 4 x 192, random start", "sst2-narrow"),
    Situation("8,000 labels; 4 x 192", "sst2-narrow-start"),
    Situation("8,000 labels; 2 layers of 6", "sst2-2-layers"),
    Situation("8,000 labels; 3 layers of 6", "sst2"),
    Situation("4,000 labels; 3 layers of 12", "base-sst2", "3-layers"),
    Situation("4,000 labels; the lowest 3 layers of 12", "base-sst2-lower"),
    Situation("4,000 labels; 6 layers of 12", "base-sst2", "6-layers"),
    Situation("4,000 labels; MiniLM, a teacher of 12 layers", "base-minilm"),
    Situation("2,490 labels of RTE; 6 layers of 12", "base-rte"),
    Situation("800 labels, 100 steps; 3 layers of 6", "sst2-100-steps"),
    Situation("199 labels, 20 steps; 3 layers of 6", "sst2-20-steps"),
)


def gains(situations: Sequence[Situation] = SITUATIONS, folder: Path = RESULTS) -> list[list[Gain | None]]:
    """A row for each situation, and in it one gain for each question."""
    rows = []
    for one in situations:
        comparison = read_comparison(folder / one.folder)
        student = one.student or comparison.students[0]
        rows.append([gain_of(comparison, student, preset, references) for _, preset, references in QUESTIONS])
    return rows


def draw(situations: Sequence[Situation], rows: Sequence[Sequence[Gain | None]]) -> Any:
    """A panel for each question, a row for each situation; filled where the gain is significant.

    A page shows it 800 pixels wide, so letters are of 9 points in 8 inches.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.9 + 0.38 * len(situations)), dpi=200, layout="constrained")
    axes = figure.subplots(1, len(QUESTIONS), sharex=True, sharey=True)
    for number, (axis, (title, *_)) in enumerate(zip(axes, QUESTIONS, strict=True)):
        axis.axvline(0, color="0.4", linewidth=1)
        for place, row in enumerate(reversed(rows)):
            if (gain := row[number]) is None:
                axis.text(0, place, "  not compared", color="0.5", fontsize=8, va="center")
            else:
                mark(axis, place, gain)
        axis.set_title(title.replace(" over ", "\nover "), fontsize=10)
        axis.set_xlabel("points of accuracy", fontsize=9)
        quieten(axis, grid="x")
        axis.tick_params(labelsize=9)
    axes[0].set_xlim(*SCALE)
    axes[0].set_yticks(range(len(situations)), [one.name.replace("; ", "\n") for one in reversed(situations)])
    axes[0].set_ylim(-0.6, len(situations) - 0.4)
    return figure


def mark(axis: Any, place: int, gain: Gain) -> None:
    """One gain with its interval; one that lies beyond the scale as an arrow at the edge, with its number."""
    colour, face = COLOURS[0], COLOURS[0] if gain.p_value < 0.05 else "white"
    low, high = SCALE
    if low <= gain.mean <= high:
        axis.errorbar(gain.mean, place, xerr=gain.half_width, fmt="o", color=colour, mfc=face, capsize=3)
        return
    is_above = gain.mean > high
    edge, side, tip = (high, "right", ">") if is_above else (low, "left", "<")
    axis.plot(edge, place, marker=tip, markersize=9, color=colour, mfc=face, clip_on=False)
    told = f"{gain.mean:+.1f} ± {gain.half_width:.1f}"
    axis.annotate(
        told,
        (edge, place),
        (-8 if is_above else 8, 0),
        textcoords="offset points",
        ha=side,
        va="center",
        fontsize=9,
        fontweight="bold",
    )


def main() -> None:
    """Draw it."""
    draw(SITUATIONS, gains()).savefig(PICTURE, format="png", metadata={"Software": None})


if __name__ == "__main__":
    main()
