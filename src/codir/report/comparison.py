"""A comparison told: one table and one picture of many runs.

Turns numbers into words; knows nothing of how they were measured.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from codir.report.curves import COLOURS
from codir.report.results import CORRELATIONS, NOT_MEASURED
from codir.report.statistics import Estimate, estimate_mean, holm, paired_p_value


@dataclass(frozen=True)
class Run:
    """One student, trained once.

    Attributes:
        preset: name of the contestant, which is its preset's unless it has one of its own.
        seed: of start, order and heads.
        task: the data set.
        student: name of the kind of student.
        student_layers: how deep it is.
        metrics: on the dev sets.
        agreement: share of the first dev set's rows that it answers as its teacher does (a correlation for scores).
        seconds: of training, without evaluation.
        seconds_per_step: of one optimiser step.
        fingerprint: of everything that decides the result.
    """

    preset: str
    seed: int
    task: str
    student: str
    student_layers: int
    metrics: dict[str, float]
    agreement: float
    seconds: float
    seconds_per_step: float
    fingerprint: str


@dataclass(frozen=True)
class Comparison:
    """All runs, and what they are compared with.

    Attributes:
        runs: those that came to their end.
        reference: the contestant that the others are compared with.
        metric: the metric that is compared.
        teacher: its metrics.
        conditions: as `gather_conditions` gives them.
        failed: one line for each run that did not come to its end.
    """

    runs: Sequence[Run]
    reference: str
    metric: str
    teacher: dict[str, float]
    conditions: dict[str, Any]
    failed: Sequence[str] = field(default_factory=tuple)

    def of(self, student: str, preset: str) -> dict[int, Run]:
        """Runs of one kind, by seed."""
        return {run.seed: run for run in self.runs if (run.student, run.preset) == (student, preset)}

    @property
    def students(self) -> list[str]:
        """Kinds of student, in order."""
        return list(dict.fromkeys(run.student for run in self.runs))

    @property
    def presets(self) -> list[str]:
        """Contestants, in order."""
        return list(dict.fromkeys(run.preset for run in self.runs))


@dataclass(frozen=True)
class Line:
    """One contestant with one kind of student: estimates over seeds, and the test of its difference."""

    student: str
    preset: str
    score: Estimate
    difference: Estimate | None
    p_value: float | None
    agreement: float
    seconds_per_step: float


def lines_of(comparison: Comparison) -> list[Line]:
    """One line per kind of student and contestant, best first; p corrected for the comparisons of one kind (Holm)."""
    lines = []
    for student in comparison.students:
        reference = comparison.of(student, comparison.reference)
        found = [_line(comparison, student, preset, reference) for preset in comparison.presets]
        present = [line for line in found if line is not None]
        tested = [line for line in present if line.p_value is not None]
        corrected = holm([line.p_value for line in tested if line.p_value is not None])
        of = {line.preset: p for line, p in zip(tested, corrected, strict=True)}
        lines += sorted(
            (Line(**{**vars(line), "p_value": of.get(line.preset)}) for line in present),
            key=lambda line: -line.score.mean,
        )
    return lines


def _line(comparison: Comparison, student: str, preset: str, reference: dict[int, Run]) -> Line | None:
    runs, metric = comparison.of(student, preset), comparison.metric
    if not runs:
        return None
    shared = [] if preset == comparison.reference else sorted(runs.keys() & reference.keys())
    ours, theirs = ([runs_of[seed].metrics[metric] for seed in shared] for runs_of in (runs, reference))
    return Line(
        student,
        preset,
        score=estimate_mean([run.metrics[metric] for run in runs.values()]),
        difference=estimate_mean([a - b for a, b in zip(ours, theirs, strict=True)]) if shared else None,
        p_value=paired_p_value(ours, theirs),
        agreement=estimate_mean([run.agreement for run in runs.values()]).mean,
        seconds_per_step=estimate_mean([run.seconds_per_step for run in runs.values()]).mean,
    )


def comparison_rows(comparison: Comparison) -> list[dict[str, str]]:
    """The table in words: column name to cell."""
    metric = comparison.metric
    scale, unit = (1, "") if metric in CORRELATIONS else (100, " %")
    digits = 3 if metric in CORRELATIONS else 2
    of_teacher = comparison.teacher[metric]

    def show(estimate: Estimate | None, *, sign: str = "") -> str:
        if estimate is None:
            return NOT_MEASURED
        spread = "" if estimate.half_width is None else f" ± {estimate.half_width * scale:.{digits}f}"
        return f"{estimate.mean * scale:{sign}.{digits}f}{spread}"

    return [
        {
            "student": line.student,
            "preset": line.preset,
            "seeds": str(line.score.count),
            metric.replace("_", " ") + unit: show(line.score),
            f"against {comparison.reference}": show(line.difference, sign="+"),
            "p": NOT_MEASURED if line.p_value is None else f"{line.p_value:.3f}",
            "retention": f"{line.score.mean / of_teacher:.1%}" if of_teacher > 0 else NOT_MEASURED,
            "agreement": f"{line.agreement:.3f}",
            "s/step": f"{line.seconds_per_step:.3f}",
        }
        for line in lines_of(comparison)
    ]


def comparison_markdown(comparison: Comparison) -> str:
    """The table in Markdown, with what a reader has to know of it."""
    rows = comparison_rows(comparison)
    columns = list(rows[0])
    lines = [columns, ["---", "---", *["---:"] * (len(columns) - 2)], *(list(row.values()) for row in rows)]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    notes = [
        f"Teacher: {comparison.teacher[comparison.metric]:.4f}. Means over seeds with 95% t-intervals; differences and "
        f"two-sided p of paired t-tests over the seeds that both have, corrected by Holm for the comparisons of one "
        f"kind of student.",
        *(f"Did not come to its end: {failure}" for failure in comparison.failed),
    ]
    return table + "\n\n" + "\n\n".join(notes) + "\n"


def write_comparison(comparison: Comparison, folder: Path) -> None:
    """Write `results.json`, `table.md` and `comparison.png`, none of them ever half-written."""
    content = {
        "reference": comparison.reference,
        "metric": comparison.metric,
        "teacher": comparison.teacher,
        "conditions": comparison.conditions,
        "failed": list(comparison.failed),
        "runs": [asdict(run) for run in comparison.runs],
    }
    with tempfile.TemporaryDirectory(prefix=".comparison-", dir=folder) as draft:
        numbers, table, picture = (Path(draft) / name for name in ("results.json", "table.md", "comparison.png"))
        numbers.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", "utf-8")
        table.write_text(comparison_markdown(comparison), "utf-8")
        plot_comparison(comparison, picture)
        for file in (numbers, table, picture):
            os.replace(file, folder / file.name)


def read_comparison(folder: Path) -> Comparison:
    """Read a comparison's `results.json` again."""
    content = json.loads((folder / "results.json").read_text("utf-8"))
    return Comparison(**{**content, "runs": [Run(**run) for run in content["runs"]]})


def plot_comparison(comparison: Comparison, path: Path) -> None:
    """Draw each contestant's mean with its interval, best on top, a panel per kind of student; the teacher is a line."""
    from matplotlib.figure import Figure

    lines, students = lines_of(comparison), comparison.students
    height = 1.2 + 0.32 * len(comparison.presets)
    figure = Figure(figsize=(max(5.0, 4.2 * len(students)), height), dpi=150, layout="constrained")
    for axis, student in zip(figure.subplots(1, len(students), squeeze=False).flat, students, strict=True):
        own = [line for line in lines if line.student == student][::-1]
        for place, line in enumerate(own):
            colour = COLOURS[1] if line.preset == comparison.reference else COLOURS[0]
            axis.errorbar(line.score.mean, place, xerr=line.score.half_width, fmt="o", color=colour, capsize=3)
        axis.axvline(comparison.teacher[comparison.metric], color="0.5", linestyle="--", linewidth=1, label="teacher")
        axis.set_yticks(range(len(own)), [line.preset for line in own], fontsize=9)
        axis.set_ylim(-0.6, len(own) - 0.4)
        axis.set_title(student, fontsize=10, loc="left")
        axis.set_xlabel(comparison.metric.replace("_", " "), fontsize=9)
        axis.tick_params(labelsize=8)
        axis.grid(axis="x", color="0.9", linewidth=0.8)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    axis.legend(fontsize=8, frameon=False)
    figure.savefig(path, format="png")
