"""A comparison told: for each kind of student and evaluation set a table, and one picture of all.

Turns numbers into words; knows nothing of how they were measured. All that is told comes from `results.json`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from codir.report.results import CORRELATIONS, NOT_MEASURED, in_words, to_markdown
from codir.report.statistics import Estimate, estimate_mean, holm, paired_p_value
from codir.store import files_added_whole


@dataclass(frozen=True)
class Run:
    """One student, trained once.

    Attributes:
        preset: name of the contestant, which is its preset's unless it has one of its own.
        seed: of start, order and heads.
        task: the data set.
        student: name of the kind of student.
        student_layers: how deep it is.
        metrics: on all evaluation sets; those of a second one carry its name.
        agreement: share of the first evaluation set's rows that it answers as its teacher does (a correlation for
            scores).
        agreements: the same of every evaluation set, by name.
        seconds: of training, without evaluation, and without the teacher's cache.
        seconds_per_step: of one optimiser step.
        steps: how many of them.
        threads: that it was trained with.
        fingerprint: of everything that decides the result.
    """

    preset: str
    seed: int
    task: str
    student: str
    student_layers: int
    metrics: dict[str, float]
    agreement: float
    agreements: dict[str, float]
    seconds: float
    seconds_per_step: float
    steps: int
    threads: int
    fingerprint: str


@dataclass(frozen=True)
class Comparison:
    """All runs, and what they are compared with.

    Attributes:
        runs: those that came to their end.
        reference: the contestant that the others are compared with.
        metric: the metric that is compared.
        metric_on: what that metric is called on each evaluation set, the first one first.
        teacher: its metrics.
        conditions: as `gather_conditions` gives them, with the rows of each part.
        failed: one line for each run that did not come to its end.
    """

    runs: Sequence[Run]
    reference: str
    metric: str
    metric_on: dict[str, str]
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
    def sections(self) -> list[tuple[str, str]]:
        """Kind of student and evaluation set of each table."""
        return [(student, name) for student in self.students for name in self.metric_on]

    @property
    def first(self) -> str:
        """The evaluation set that matters most."""
        return next(iter(self.metric_on))


@dataclass(frozen=True)
class Line:
    """One contestant with one kind of student on one evaluation set: estimates over seeds, and its difference's test.

    Attributes:
        preset: name of the contestant.
        score: the metric.
        difference: to the reference, over the seeds that both have; `None` for the reference itself.
        p_value: of the difference; corrected where `lines_of` gave the line.
        agreement: with the teacher, the mean.
        retention: mean score over the teacher's; `None` where the teacher's is not above 0.
        seconds_per_step: the mean.
        values: the metric of each seed.
    """

    preset: str
    score: Estimate
    difference: Estimate | None
    p_value: float | None
    agreement: float
    retention: float | None
    seconds_per_step: float
    values: tuple[float, ...]


# ---- From runs to lines ----


def lines_of(comparison: Comparison, student: str, on: str) -> list[Line]:
    """One line per contestant, best first; p corrected for the number of contestants tested (Holm)."""
    presets = dict.fromkeys(run.preset for run in comparison.runs if run.student == student)
    lines = [_line(comparison, student, preset, on) for preset in presets]
    corrected = iter(holm([line.p_value for line in lines if line.p_value is not None]))
    lines = [line if line.p_value is None else replace(line, p_value=next(corrected)) for line in lines]
    return sorted(lines, key=lambda line: -line.score.mean)


def _line(comparison: Comparison, student: str, preset: str, on: str) -> Line:
    runs, reference = comparison.of(student, preset), comparison.of(student, comparison.reference)
    key, of_teacher = comparison.metric_on[on], comparison.teacher[comparison.metric_on[on]]
    shared = [] if preset == comparison.reference else sorted(runs.keys() & reference.keys())
    ours, theirs = ([runs_of[seed].metrics[key] for seed in shared] for runs_of in (runs, reference))
    values = tuple(run.metrics[key] for run in runs.values())
    score = estimate_mean(values)
    return Line(
        preset,
        score=score,
        difference=estimate_mean([a - b for a, b in zip(ours, theirs, strict=True)]) if shared else None,
        p_value=paired_p_value(ours, theirs),
        agreement=estimate_mean([run.agreements[on] for run in runs.values()]).mean,
        retention=score.mean / of_teacher if of_teacher > 0 else None,
        seconds_per_step=estimate_mean([run.seconds_per_step for run in runs.values()]).mean,
        values=values,
    )


# ---- From lines to words ----


def comparison_rows(comparison: Comparison, student: str, on: str) -> list[dict[str, str]]:
    """A table in words, column name to cell: the teacher, and a row per contestant."""
    metric = comparison.metric
    unit = "" if metric in CORRELATIONS else " %"
    teacher = {"preset": "*teacher*", in_words(metric) + unit: _show(metric, comparison.teacher[_key(comparison, on)])}
    rows = [
        {
            "preset": line.preset,
            in_words(metric) + unit: _show_estimate(metric, line.score),
            f"against {comparison.reference}": _show_estimate(metric, line.difference, sign="+"),
            "p": NOT_MEASURED if line.p_value is None else _show_p(line.p_value),
            "retention": NOT_MEASURED if line.retention is None else f"{line.retention:.1%}",
            "agreement": f"{line.agreement:.3f}",
            "s/step": f"{line.seconds_per_step:.3f}",
            "seeds": str(line.score.count),
        }
        for line in lines_of(comparison, student, on)
    ]
    return [{column: teacher.get(column, NOT_MEASURED) for column in rows[0]}, *rows]


def summary_rows(comparisons: Mapping[str, Comparison]) -> list[dict[str, str]]:
    """Comparisons by name in one table, each by its first evaluation set: a row per contestant, a column per student.

    Of several comparisons, only contestants that at least two of them have are told.
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
    told = [preset for preset, count in taking_part.items() if count >= min(2, len(comparisons))]
    told.sort(key=lambda preset: -sum(of[preset].score.mean for _, of in columns.values() if preset in of))
    teacher = {heading: _show(one.metric, one.teacher[_key(one, one.first)]) for heading, (one, _) in columns.items()}
    rows = [
        {heading: _show_line(one.metric, of.get(preset)) for heading, (one, of) in columns.items()} for preset in told
    ]
    return [{"preset": name} | row for name, row in zip(["*teacher*", *told], [teacher, *rows], strict=True)]


def _heading(name: str, student: str, comparisons: Mapping[str, Comparison]) -> str:
    if len(comparisons) == 1:
        return student
    heading = name if len(comparisons[name].students) == 1 else f"{name}, {student}"
    metrics = {comparison.metric for comparison in comparisons.values()}
    return heading if len(metrics) == 1 else f"{heading}, {in_words(comparisons[name].metric)}"


def comparison_markdown(comparison: Comparison) -> str:
    """All tables in Markdown, with what a reader has to know of them."""
    parts = ["# " + comparison.runs[0].task, explain(comparison)]
    for student, on in comparison.sections:
        rows = comparison.conditions.get("evaluation_rows", {}).get(on)
        size = f" ({rows:,} rows)" if rows else ""
        parts += [f"## {student}, {on}{size}", to_markdown(comparison_rows(comparison, student, on))]
    parts += [f"Did not come to its end: {failure}" for failure in comparison.failed]
    return "\n\n".join(parts) + "\n"


def explain(comparison: Comparison) -> str:
    """What the numbers of the tables mean."""
    metric = in_words(comparison.metric)
    unit = "" if comparison.metric in CORRELATIONS else ", in percent"
    lines = [
        f"Mean {metric} over seeds{unit}, ± half of its 95% t-interval. Differences are to `{comparison.reference}`, "
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
    return "\n\n".join(lines)


def _key(comparison: Comparison, on: str) -> str:
    return comparison.metric_on[on]


def _show(metric: str, value: float, *, sign: str = "") -> str:
    return f"{value:{sign}.4f}" if metric in CORRELATIONS else f"{100 * value:{sign}.2f}"


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


# ---- Files ----


def write_comparison(comparison: Comparison, folder: Path) -> None:
    """Write `results.json`, `table.md` and `comparison.png`, none of them ever half-written."""
    from codir.report.dots import plot_comparison

    content = asdict(comparison)
    content["runs"] = content.pop("runs")  # last, since they are many
    with files_added_whole(folder) as drafts:
        numbers, table, picture = (drafts / name for name in ("results.json", "table.md", "comparison.png"))
        numbers.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", "utf-8")
        table.write_text(comparison_markdown(comparison), "utf-8")
        plot_comparison(comparison, picture)


def read_comparison(folder: Path) -> Comparison:
    """Read a comparison's `results.json` again."""
    content = json.loads((folder / "results.json").read_text("utf-8"))
    return Comparison(**{**content, "runs": [Run(**run) for run in content["runs"]]})


def read_run(file: Path) -> Run | None:
    """Read one run's file; `None` where there is none, or another version wrote it."""
    if not file.exists():
        return None
    content = json.loads(file.read_text("utf-8"))
    return Run(**content) if set(content) == {known.name for known in fields(Run)} else None
