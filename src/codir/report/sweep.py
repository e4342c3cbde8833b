"""Students of several sizes beside their teacher: which is the smallest that will do, a table, and one picture.

Turns numbers into words; knows nothing of how they were measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codir.errors.shown import counted, plain, redacted, short_paths
from codir.measure import POINTS, Contender, choose_smallest, is_within
from codir.report.benchmark import Timing
from codir.report.export import in_points
from codir.report.html import render_sweep
from codir.report.judgement import show_interval
from codir.report.pictures import add_legend, look_of, quieten
from codir.report.words import (
    LONGEST_TEXT,
    NOT_MEASURED,
    in_json,
    in_markdown,
    in_megabytes,
    in_thousands,
    in_threads,
    in_words,
    render_page,
    scale_of,
    show_metric,
    stacked,
    to_markdown,
    to_terminal,
)
from codir.store import files_added_whole, writing_to
from codir.tasks import better_than

if TYPE_CHECKING:
    from rich.console import Group


@dataclass(frozen=True)
class SweepResult:
    """Students of several sizes beside their teacher.

    Attributes:
        title: what stands above the table.
        metric: that quality is told by.
        tolerate: points that the student may lose to the teacher.
        teacher: in PyTorch, in fp32.
        students: as they were exported, in the order in which they were named.
        timings: of each model with each number of threads.
        rows: that were timed; `teacher.score.rows` were scored.
        failed: students that did not come to their end, and why.
        warnings: what a reader has to hear before any number: models that might as well not read.
        notes: what a reader has to know.
        conditions: under which numbers were measured.
        output_dir: where students and exports are.
        exported_teacher: the teacher, exported as the students are.
    """

    title: str
    metric: str
    tolerate: float
    teacher: Contender
    students: Sequence[Contender]
    timings: Sequence[Timing]
    rows: int
    failed: tuple[str, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    conditions: Mapping[str, Any]
    output_dir: Path
    exported_teacher: Contender | None = None

    @property
    def models(self) -> list[Contender]:
        """All of them: the teacher, its export, and the students in their order."""
        return [self.teacher, *([self.exported_teacher] if self.exported_teacher else []), *self.students]

    @property
    def chosen(self) -> Contender | None:
        """The smallest student inside the tolerance."""
        return choose_smallest(self.students, self.tolerate)

    @property
    def threads(self) -> list[int]:
        """The numbers of threads, in order."""
        return list(dict.fromkeys(timing.threads for timing in self.timings))

    def latency(self, name: str, threads: int) -> float:
        """Median milliseconds of one row."""
        return self._timing(name, threads).latency.p50

    @property
    def batch_size(self) -> int | None:
        """Rows per batch of the throughputs; `None` where none was measured."""
        return max(self.timings[0].throughput, default=None)

    def rate(self, name: str, threads: int) -> float:
        """Rows per second, in batches of `batch_size`."""
        assert self.batch_size is not None, "it was measured"
        return self._timing(name, threads).throughput[self.batch_size].sentences_per_second

    def _timing(self, name: str, threads: int) -> Timing:
        return next(one for one in self.timings if (one.name, one.threads) == (name, threads))

    def to_json(self) -> dict[str, Any]:
        """All numbers, and what they say."""
        chosen = self.chosen
        content = {**asdict(self), "output_dir": short_paths(str(self.output_dir)), "title": short_paths(self.title)}
        return dict(
            redacted({"chosen": chosen.name if chosen else None, "finding": " ".join(verdict(self)), **content})
        )


# ---- In words ----


def verdict(result: SweepResult) -> list[str]:
    """Which student is the smallest inside the tolerance and why, in a few sentences that say how sure it is."""
    chosen, tolerance = result.chosen, counted(result.tolerate, "point")
    if chosen is None:
        nearest = min(result.students, key=lambda one: one.loss.value)
        said = [f"No student is within {tolerance} of the teacher. The nearest, {nearest.name}, {_loses(nearest)}."]
        if nearest.loss.low <= result.tolerate:
            said.append("That interval reaches into the tolerance: more evaluation rows could decide otherwise.")
        return [*said, *_of_exported_teacher(result)]
    scores = [show_metric(result.metric, one.score.value) for one in (chosen, result.teacher)]
    threads = result.threads[0]
    mine, teachers = (result.latency(one.name, threads) for one in (chosen, result.teacher))
    said = [
        f"{chosen.name} is the smallest student within {tolerance} of the teacher: {in_words(result.metric)} "
        f"{scores[0]} where the teacher has {scores[1]}, so it {_loses(chosen)} on {chosen.loss.rows:,} rows.",
        f"It reads one row in {mine:.1f} ms where the teacher takes {teachers:.1f} ms ({in_threads(threads)}).",
    ]
    if chosen.loss.high <= result.tolerate:
        said.append("The whole interval is inside the tolerance.")
    else:
        said.append("The interval reaches beyond the tolerance: on other rows it could lose more.")
    return [*said, *_beside(result, chosen), *_of_exported_teacher(result)]


def _of_exported_teacher(result: SweepResult) -> list[str]:
    """What exporting alone gives, without a student."""
    one, threads = result.exported_teacher, result.threads[0]
    if one is None:
        return []
    return [
        f"The teacher itself, exported ({one.runs}), {_loses(one)} and reads one row in "
        f"{result.latency(one.name, threads):.1f} ms."
    ]


def _beside(result: SweepResult, chosen: Contender) -> list[str]:
    """What a reader would ask next: what the next smaller one loses, and whether another is faster."""
    said = []
    smaller = [one for one in result.students if (one.parameters, one.bytes) < (chosen.parameters, chosen.bytes)]
    if smaller:
        nearest = max(smaller, key=lambda one: (one.parameters, one.bytes))
        said.append(f"The next smaller, {nearest.name}, {_loses(nearest)}.")
        if nearest.loss.low <= result.tolerate:
            said.append("That interval reaches into the tolerance: more evaluation rows could decide for it.")
    inside = [one for one in result.students if is_within(one, result.tolerate)]
    fastest = min(inside, key=lambda one: result.latency(one.name, result.threads[0]))
    if fastest is not chosen:
        said.append(f"Of those inside the tolerance, {fastest.name} is the fastest.")
    return said


def _loses(one: Contender) -> str:
    """How much worse than the teacher a student is, or how much better."""
    loss = one.loss
    verb, bounds = ("loses", (loss.low, loss.high)) if loss.value >= 0 else ("gains", (-loss.high, -loss.low))
    low, high = (round(bound, 1) + 0.0 for bound in bounds)
    return f"{verb} {counted(round(abs(loss.value), 1), 'point')} (95% interval {low:.1f} to {high:.1f})"


def quality_rows(result: SweepResult) -> list[dict[str, str]]:
    """A row for the teacher and for each student: what it scores and loses."""

    def row(one: Contender) -> dict[str, str]:
        is_teacher = one is result.teacher
        return {
            "model": one.name,
            in_words(result.metric): show_metric(result.metric, one.score.value),
            "95% interval": show_interval(result.metric, one.score),
            "points lost": NOT_MEASURED if is_teacher else in_points(one.loss),
            f"within {result.tolerate:g}": NOT_MEASURED if is_teacher else within(one),
        }

    def within(one: Contender) -> str:
        return "yes" if is_within(one, result.tolerate) else "no"

    return [row(one) for one in result.models]


def cost_rows(result: SweepResult) -> list[dict[str, str]]:
    """A row for the teacher and for each student: what runs it, how large it is, and how fast it reads one row."""
    threads = result.threads
    base = result.latency(result.teacher.name, threads[0])

    def row(one: Contender) -> dict[str, str]:
        return {
            "model": one.name,
            "runs": one.runs,
            "params": in_thousands(one.parameters),
            "on disk": in_megabytes(one.bytes),
            **{in_threads(count): f"{result.latency(one.name, count):.2f} ms" for count in threads},
            "faster": f"{base / result.latency(one.name, threads[0]):.1f}x",
        }

    return [row(one) for one in result.models]


def rate_rows(result: SweepResult) -> list[dict[str, str]]:
    """A row for the teacher and for each student: its rows per second in batches; no rows where none was measured."""
    if result.batch_size is None:
        return []
    threads = result.threads
    base = result.rate(result.teacher.name, threads[0])

    def row(one: Contender) -> dict[str, str]:
        return {
            "model": one.name,
            **{in_threads(count): f"{result.rate(one.name, count):,.0f}/s" for count in threads},
            "faster": f"{result.rate(one.name, threads[0]) / base:.1f}x",
        }

    return [row(one) for one in result.models]


def rates_title(result: SweepResult) -> str:
    """What stands above the table of rates."""
    return f"Rows per second in batches of {result.batch_size}"


def caption_of(result: SweepResult) -> str:
    """How numbers were measured, and what they do not say."""
    units = ", ".join(result.conditions["instruction_sets"]) or "unknown instruction sets"
    batches = f", and rows per second in batches of {result.batch_size}" if result.batch_size else ""
    return (
        f"Quality on {result.teacher.score.rows:,} rows; points lost to the teacher on the same rows; 95% intervals "
        f"over rows. Median milliseconds of one row alone{batches}, over {result.rows:,} rows, all models in turns, on "
        f"the CPU ({units}). Each student was trained once and chosen on the rows that score it: another seed would "
        "give other students."
    )


def sweep_table(result: SweepResult) -> Group:
    """Build what `codir sweep` prints."""
    from rich.text import Text

    bold = result.chosen.name if result.chosen else None
    tables = [
        to_terminal(quality_rows(result), title=short_paths(result.title), bold=bold),
        to_terminal(cost_rows(result), title="Size and milliseconds of one row", bold=bold),
    ]
    if rates := rate_rows(result):
        tables.append(to_terminal(rates, title=rates_title(result), bold=bold))
    finding = Text(plain(" ".join(verdict(result)), longest=LONGEST_TEXT), style="bold")
    return stacked(result.warnings, *tables, Text(caption_of(result)), finding)


# ---- On disk ----


def write_sweep(result: SweepResult, folder: Path) -> None:
    """Write `report.html`, `sweep.json`, `sweep.md` and `sweep.png`; other files in the folder stay."""
    failed = [f"Failed: {one}" for one in result.failed]
    picture = "![Quality against milliseconds of one row, the smallest student inside the tolerance marked](sweep.png)"
    tables = [to_markdown(quality_rows(result)), to_markdown(cost_rows(result))]
    if rates := rate_rows(result):
        tables += [f"{rates_title(result)}:", to_markdown(rates)]
    page = render_page(
        short_paths(result.title),
        [in_markdown(" ".join(verdict(result))), *tables, caption_of(result), picture],
        warnings=result.warnings,
        notes=[*failed, *result.notes],
        conditions=result.conditions,
    )
    with (
        writing_to(folder, "sweep", do="free some space, or choose another `--output-dir`"),
        files_added_whole(folder) as drafts,
    ):
        (drafts / "sweep.json").write_text(in_json(result.to_json()), "utf-8")
        (drafts / "sweep.md").write_text(page, "utf-8")
        plot_sweep(result, drafts / "sweep.png")
        (drafts / "report.html").write_text(_page(result), "utf-8")


def _page(result: SweepResult) -> str:
    rows = {"quality": quality_rows(result), "cost": cost_rows(result), "rates": rate_rows(result)}
    return render_sweep(
        result, finding=" ".join(verdict(result)), caption=caption_of(result), rates_title=rates_title(result), **rows
    )


def plot_sweep(result: SweepResult, path: Path) -> None:
    """Draw quality against the milliseconds of one row, a panel for each number of threads, as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(6.0, 4.2 * len(result.threads)), 4.0), dpi=150, layout="constrained")
    axes = list(figure.subplots(1, len(result.threads), squeeze=False, sharey=True).flat)
    for axis, threads in zip(axes, result.threads, strict=True):
        _draw(axis, result, threads)
    _, unit = scale_of(result.metric)
    axes[0].set_ylabel(f"{in_words(result.metric)}{unit}, 95% interval", fontsize=9, parse_math=False)
    add_legend(figure)
    figure.savefig(path, format="png")


def _draw(axis: Any, result: SweepResult, threads: int) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    scale, _ = scale_of(result.metric)
    top = scale * result.teacher.score.value
    worse = -1 if better_than(result.metric, 1.0, 0.0) else 1
    edge = top + worse * scale * result.tolerate / POINTS
    tolerance = counted(result.tolerate, "point")
    axis.axhspan(min(edge, top), max(edge, top), color="0.93", zorder=0, label=f"within {tolerance} of the teacher")
    for place, one in enumerate(result.models):
        value, low, high = (scale * number for number in (one.score.value, one.score.low, one.score.high))
        at, bars = result.latency(one.name, threads), [[max(0.0, value - low)], [max(0.0, high - value)]]
        label = f"{one.name} ({one.runs})"
        axis.errorbar(at, value, yerr=bars, label=label, elinewidth=1, capsize=2, **look_of(place))
        if one is result.chosen:
            ring = {"s": 190, "facecolors": "none", "edgecolors": "0.2", "linewidths": 1.5, "zorder": 3}
            axis.scatter(at, value, label=f"smallest within {tolerance}", **ring)
    axis.set_title(in_threads(threads), fontsize=10, loc="left")
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter("{x:g}")
    axis.margins(x=0.15)
    axis.set_xlabel("milliseconds of one row (log scale)", fontsize=9)
    quieten(axis)
