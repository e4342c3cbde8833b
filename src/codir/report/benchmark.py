"""Models beside one another: tables for people, JSON for programs, and quality against speed as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codir.errors.shown import redacted
from codir.measure import Latency, Throughput
from codir.report.pictures import add_legend, look_of, quieten
from codir.report.words import (
    in_json,
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

if TYPE_CHECKING:
    from rich.console import Group

Rows = list[dict[str, str]]


@dataclass(frozen=True)
class Timing:
    """How fast one model is with so many threads.

    Attributes:
        name: of the model.
        threads: that it computed with.
        latency: of one row alone.
        throughput: by rows per batch.
    """

    name: str
    threads: int
    latency: Latency
    throughput: Mapping[int, Throughput]


@dataclass(frozen=True)
class Cost:
    """What one model scores and takes.

    Attributes:
        name: of the model.
        metrics: fractions or correlations, by name.
        parameters: how many it has.
        bytes: size of its weights on disk.
        peak_bytes: of memory, beyond those of Python and its packages.
    """

    name: str
    metrics: Mapping[str, float]
    parameters: int
    bytes: int
    peak_bytes: int


@dataclass(frozen=True)
class BenchmarkResult:
    """Models beside one another; the first is what the others are compared with.

    Attributes:
        title: the data set.
        metric: that quality is told by.
        costs: in the order in which the models were given.
        timings: of each model with each number of threads.
        rows: that were timed.
        scored_rows: that quality is of.
        notes: what a reader has to know.
        conditions: under which numbers were measured.
    """

    title: str
    metric: str
    costs: Sequence[Cost]
    timings: Sequence[Timing]
    rows: int
    scored_rows: int
    notes: tuple[str, ...]
    conditions: Mapping[str, Any]

    @property
    def threads(self) -> list[int]:
        """The numbers of threads, in order."""
        return list(dict.fromkeys(timing.threads for timing in self.timings))

    def to_json(self) -> dict[str, Any]:
        """All numbers."""
        return dict(redacted(asdict(self)))


def cost_rows(result: BenchmarkResult) -> Rows:
    """A row for each model: quality, sizes, memory."""
    return [
        {
            "model": one.name,
            in_words(result.metric): show_metric(result.metric, one.metrics[result.metric]),
            "params": in_thousands(one.parameters),
            "on disk": in_megabytes(one.bytes),
            "memory": f"{one.peak_bytes / 1e6:,.0f} MB",
        }
        for one in result.costs
    ]


def timing_rows(result: BenchmarkResult, threads: int) -> Rows:
    """A row for each model: milliseconds of one row alone, rows per second by size of batch, and times the first."""
    timings = [timing for timing in result.timings if timing.threads == threads]
    largest = max(timings[0].throughput)
    base = timings[0].throughput[largest].sentences_per_second

    def row(timing: Timing) -> dict[str, str]:
        alone = timing.latency
        rates = {f"by {size}": f"{rate.sentences_per_second:,.0f}/s" for size, rate in timing.throughput.items()}
        return {
            "model": timing.name,
            "p50": f"{alone.p50:.1f} ms",
            "p95": f"{alone.p95:.1f}",
            "p99": f"{alone.p99:.1f}",
            **rates,
            "faster": f"{timing.throughput[largest].sentences_per_second / base:.1f}x",
        }

    return [row(timing) for timing in timings]


def caption_of(result: BenchmarkResult) -> str:
    """How numbers were measured, in a sentence or two."""
    conditions = result.conditions
    units = ", ".join(conditions["instruction_sets"]) or "unknown instruction sets"
    return (
        f"Quality on {result.scored_rows:,} rows, speed on {result.rows:,} of them, the models in turns. p50, p95 and "
        f"p99: one row alone. By n: rows per second in batches of n. {conditions['device']} ({units})."
    )


def benchmark_table(result: BenchmarkResult) -> Group:
    """Build what `codir benchmark` prints."""
    from rich.text import Text

    timings = [to_terminal(timing_rows(result, count), title=in_threads(count)) for count in result.threads]
    return stacked((), to_terminal(cost_rows(result), title=result.title), *timings, Text(caption_of(result)))


def write_benchmark(result: BenchmarkResult, folder: Path) -> None:
    """Write `benchmark.json`, `benchmark.md` and `benchmark.png`; other files in the folder stay."""
    blocks = [to_markdown(cost_rows(result))]
    for count in result.threads:
        blocks += [f"## {in_threads(count).capitalize()}", to_markdown(timing_rows(result, count))]
    blocks += [caption_of(result), "![Quality against speed](benchmark.png)"]
    page = render_page(result.title, blocks, notes=result.notes, conditions=result.conditions)
    with (
        writing_to(folder, "benchmark", do="free some space, or choose another `--output-dir`"),
        files_added_whole(folder) as drafts,
    ):
        (drafts / "benchmark.json").write_text(in_json(result.to_json()), "utf-8")
        (drafts / "benchmark.md").write_text(page, "utf-8")
        plot_benchmark(result, drafts / "benchmark.png")


def plot_benchmark(result: BenchmarkResult, path: Path) -> None:
    """Draw quality against rows per second, a panel for each number of threads, at the largest batch."""
    from matplotlib.figure import Figure

    scale, unit = scale_of(result.metric)
    scores = {one.name: scale * one.metrics[result.metric] for one in result.costs}
    figure = Figure(figsize=(max(5.5, 4.0 * len(result.threads)), 3.6), dpi=150, layout="constrained")
    axes = list(figure.subplots(1, len(result.threads), squeeze=False, sharey=True).flat)
    for axis, count in zip(axes, result.threads, strict=True):
        timings = [timing for timing in result.timings if timing.threads == count]
        size = max(timings[0].throughput)
        for place, timing in enumerate(timings):
            rate = timing.throughput[size]
            axis.errorbar(
                rate.sentences_per_second,
                scores[timing.name],
                xerr=[[rate.sentences_per_second - rate.spread[0]], [rate.spread[1] - rate.sentences_per_second]],
                label=timing.name,
                **look_of(place),
            )
        axis.set_title(in_threads(count), fontsize=10, loc="left")
        axis.set_xscale("log")
        axis.set_xlabel(f"rows per second in batches of {size} (log scale)", fontsize=9)
        quieten(axis)
    axes[0].set_ylabel(f"{in_words(result.metric)}{unit}", fontsize=9, parse_math=False)
    add_legend(figure)
    figure.savefig(path, format="png")
