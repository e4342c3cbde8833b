"""Many runs together: estimates over seeds, and whether they differ. Knows numbers, no words."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from codir.measure.statistics import Estimate, estimate_mean, holm, paired_p_value
from codir.store import Damage, read_sealed
from codir.tasks import better_than, retention

logger = logging.getLogger(__name__)


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
            scores); `None` where the teacher is a file that does not answer them.
        agreements: the same of every evaluation set, by name; empty there.
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
    agreement: float | None
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
        teacher: its metrics; empty where it is a file that does not answer the evaluation sets.
        conditions: as `gather_conditions` gives them, with the rows of each part.
        failed: one line for each run that failed.
        floor_name: what answers without reading; `None` in comparisons of before it was measured.
        floor: its metrics.
    """

    runs: Sequence[Run]
    reference: str
    metric: str
    metric_on: dict[str, str]
    teacher: dict[str, float]
    conditions: dict[str, Any]
    failed: Sequence[str] = field(default_factory=tuple)
    floor_name: str | None = None
    floor: dict[str, float] = field(default_factory=dict)

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
        agreement: with the teacher, the mean; `None` where the teacher was not asked.
        retention: mean score over the teacher's; `None` where the teacher's is nothing to keep, or not known.
        seconds_per_step: the mean.
        values: the metric of each seed.
        is_at_floor: whether the mean score is no better than that of answers without reading.
    """

    preset: str
    score: Estimate
    difference: Estimate | None
    p_value: float | None
    agreement: float | None
    retention: float | None
    seconds_per_step: float
    values: tuple[float, ...]
    is_at_floor: bool = False


def lines_of(comparison: Comparison, student: str, on: str) -> list[Line]:
    """One line per contestant, best first; p corrected for the number of contestants tested (Holm).

    Args:
        comparison: of presets.
        student: kind of student.
        on: evaluation set.
    """
    presets = dict.fromkeys(run.preset for run in comparison.runs if run.student == student)
    lines = [_line(comparison, student, preset, on) for preset in presets]
    corrected = iter(holm([line.p_value for line in lines if line.p_value is not None]))
    lines = [line if line.p_value is None else replace(line, p_value=next(corrected)) for line in lines]
    return sorted(lines, key=lambda line: line.score.mean, reverse=better_than(comparison.metric, 1.0, 0.0))


def _line(comparison: Comparison, student: str, preset: str, on: str) -> Line:
    runs, reference = comparison.of(student, preset), comparison.of(student, comparison.reference)
    key = comparison.metric_on[on]
    of_floor, of_teacher = comparison.floor.get(key), comparison.teacher.get(key)
    shared = [] if preset == comparison.reference else sorted(runs.keys() & reference.keys())
    ours, theirs = ([runs_of[seed].metrics[key] for seed in shared] for runs_of in (runs, reference))
    values = tuple(run.metrics[key] for run in runs.values())
    score = estimate_mean(values)
    is_kept = of_floor is None or (of_teacher is not None and better_than(comparison.metric, of_teacher, of_floor))
    agreements = [run.agreements[on] for run in runs.values() if on in run.agreements]
    return Line(
        preset,
        score=score,
        difference=estimate_mean([a - b for a, b in zip(ours, theirs, strict=True)]) if shared else None,
        p_value=paired_p_value(ours, theirs),
        agreement=estimate_mean(agreements).mean if agreements else None,
        retention=retention(comparison.metric, score.mean, of_teacher) if is_kept and of_teacher is not None else None,
        is_at_floor=of_floor is not None and not better_than(comparison.metric, score.mean, of_floor),
        seconds_per_step=estimate_mean([run.seconds_per_step for run in runs.values()]).mean,
        values=values,
    )


def read_comparison(folder: Path) -> Comparison:
    """Read a comparison's `results.json` again."""
    content = json.loads((folder / "results.json").read_text("utf-8"))
    return Comparison(**{**content, "runs": [Run(**run) for run in content["runs"]]})


def read_run(file: Path) -> Run | None:
    """Read one run's file; `None` where there is none, where it is damaged, or another version wrote it."""
    content = read_sealed(file)
    if isinstance(content, Damage):
        if os.path.lexists(file):
            logger.warning("the kept run %s is not used, and is done again: %s", file, content)
        return None
    return Run(**content) if set(content) == {known.name for known in fields(Run)} else None
