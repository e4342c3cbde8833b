"""How far one preset is ahead of another: in one comparison, and over all of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from scipy.stats import wilcoxon

from codir.errors import UserError, nearest
from codir.measure import Comparison, lines_of
from codir.measure.exam import TUNE
from codir.report.words import p_in_words, scale_of

QUESTIONS = (
    ("soft targets (kd) over labels alone", "kd", ("fine-tune", "alone")),
    ("contrast (codir) over soft targets", "codir", ("kd",)),
    ("contrast (codir) over squared error", "codir", ("pooled-mse-all",)),
)
"""What is asked of all: in words, a preset, and the presets that it is compared with, whichever is there."""


@dataclass(frozen=True)
class Gain:
    """How far a preset is ahead of another.

    Attributes:
        mean: of the differences over seeds, in points.
        half_width: of their 95% interval.
        p_value: as the comparison's table has it.
    """

    mean: float
    half_width: float
    p_value: float


def known(name: str, names: Collection[str]) -> str:
    """The name, where it is one of them.

    Raises:
        UserError: it is not.
    """
    if name not in names:
        raise UserError(
            "table",
            expected="one of " + ", ".join(sorted(names)),
            got=repr(name),
            do=nearest(name, names),
        )
    return name


def against(reference: str, comparison: Comparison) -> Comparison:
    """The same runs, told against another contestant."""
    return replace(comparison, reference=known(reference, {run.preset for run in comparison.runs}))


def gain_of(comparison: Comparison, student: str, preset: str, references: Sequence[str]) -> Gain | None:
    """How far a preset is ahead, in points, over the seeds that both have; `None` where one of the two is not there."""
    there = {run.preset for run in comparison.runs if run.student == student}
    reference = next((name for name in references if name in there), None)
    if reference is None or preset not in there:
        return None
    scale, _ = scale_of(comparison.metric)
    lines = lines_of(against(reference, comparison), student, comparison.first)
    line = next(line for line in lines if line.preset == preset)
    found = line.difference
    assert found is not None
    assert found.half_width is not None, "several seeds"
    assert line.p_value is not None
    return Gain(scale * found.mean, scale * found.half_width, line.p_value)


def runs_of(comparison: Comparison, student: str, preset: str) -> frozenset[str]:
    """Which runs these are, by what decides their results."""
    return frozenset(run.fingerprint for run in comparison.runs if (run.student, run.preset) == (student, preset))


def overall_gains(
    comparisons: Mapping[str, Comparison], questions: Sequence[tuple[str, str, Sequence[str]]] = QUESTIONS
) -> list[dict[str, str]]:
    """A row for each question: how often the answer is yes, and by how much, over situations that count once each.

    A situation is one kind of student in one comparison. All that are judged by accuracy take part, but for those on
    rows for tuning, and for those whose runs of the preset are another's, run again. Median and p are of ranks
    (Wilcoxon's signed-rank test), since a few situations have gains, or noise, of points.
    """
    rows = []
    for question, preset, references in questions:
        first: dict[frozenset[str], float] = {}
        for comparison in comparisons.values():
            if comparison.metric == "accuracy" and comparison.first != TUNE:
                for student in comparison.students:
                    if (gain := gain_of(comparison, student, preset, references)) is not None:
                        first.setdefault(runs_of(comparison, student, preset), gain.mean)
        found = list(first.values())
        rows.append(
            {
                "question": question,
                "situations": str(len(found)),
                "ahead in": str(sum(gain > 0 for gain in found)),
                "median gain": f"{median(found):+.2f}",
                "from, to": f"{min(found):+.2f}, {max(found):+.2f}",
                "p": p_in_words(float(wilcoxon(found).pvalue)),
            }
        )
    return rows
