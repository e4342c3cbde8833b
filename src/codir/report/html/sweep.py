"""A sweep as one HTML file: which student will do, what each one loses, and what each one takes.

Knows numbers of models; the words around them are given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from codir.errors.shown import short_paths
from codir.measure import POINTS, Contender, Interval
from codir.report.export import in_points
from codir.report.html.charts import Chart, Mark, bar_chart, interval_chart, scatter_chart
from codir.report.html.page import Tile
from codir.report.html.templates import fill_in
from codir.report.judgement import Rows, show_interval
from codir.report.words import in_megabytes, in_thousands, in_threads, in_words, scale_of, show_metric
from codir.tasks import better_than

if TYPE_CHECKING:
    from codir.report.sweep import SweepResult


def render_sweep(
    result: SweepResult, *, finding: str, caption: str, quality: Rows, cost: Rows, rates: Rows, rates_title: str
) -> str:
    """The whole page.

    Args:
        result: of a sweep.
        finding: which student will do, and how sure that is.
        caption: how numbers were measured.
        quality: the table of scores and losses.
        cost: the table of sizes and latencies.
        rates: the table of throughputs; empty where they were not measured.
        rates_title: what stands above it.
    """
    return fill_in(
        "sweep.html.j2",
        title=short_paths(result.title),
        warnings=result.warnings,
        finding=finding,
        caption=caption,
        tiles=sweep_tiles(result),
        quality_charts=[*trade_offs(result), *quality_charts(result)],
        cost_charts=sweep_costs(result),
        quality=quality,
        cost=cost,
        rates=rates,
        rates_title=rates_title,
        failed=result.failed,
        notes=result.notes,
        conditions=result.conditions,
    )


def sweep_tiles(result: SweepResult) -> list[Tile]:
    """What the chosen student loses and gains, first with one thread; nothing where none was chosen."""
    one, teacher = result.chosen, result.teacher
    if one is None:
        return []
    threads, metric, batch = result.threads[0], result.metric, result.batch_size
    on = in_threads(threads)
    scores = " of ".join(show_metric(metric, model.score.value) for model in (one, teacher))
    mine, hers = (result.latency(model.name, threads) for model in (one, teacher))
    low, high = (round(end, 1) + 0.0 for end in (one.loss.low, one.loss.high))
    tiles = [
        Tile(one.name, f"runs as {one.runs}", f"{in_words(metric)}: {scores}"),
        Tile(f"{round(one.loss.value, 1) + 0.0:.1f}", "points lost", f"95% interval {low:.1f} to {high:.1f}"),
        Tile(f"{hers / mine:.1f}x", "as fast for one row", f"{mine:.1f} ms in place of {hers:.1f}, {on}"),
    ]
    if batch is not None:
        rate, base = (result.rate(model.name, threads) for model in (one, teacher))
        more = f"{rate:,.0f} rows per second in place of {base:,.0f}, {on}"
        tiles.append(Tile(f"{rate / base:.1f}x", f"as fast in batches of {batch}", more))
    sizes = " in place of ".join(in_megabytes(model.bytes) for model in (one, teacher))
    return [*tiles, Tile(f"{one.bytes / teacher.bytes:.0%}", "of the size", sizes)]


# ---- Pictures; each model has one colour in all of them ----


def trade_offs(result: SweepResult) -> list[Chart]:
    """Quality over the time for one row, a picture for each number of threads."""
    scale, unit = scale_of(result.metric)
    worse = -1 if better_than(result.metric, 1.0, 0.0) else 1
    edge = scale * result.teacher.score.value + worse * scale * result.tolerate / POINTS
    return [
        scatter_chart(
            f"trade-off-{threads}",
            f"Quality over the time for one row, {in_threads(threads)}",
            {one.name: [(result.latency(one.name, threads), scale * one.score.value)] for one in result.models},
            across="milliseconds of one row, less is better",
            up=f"{in_words(result.metric)}{unit}",
            reference=("as much as may be lost", edge),
            size=5.0,
        )
        for threads in result.threads
    ]


def quality_charts(result: SweepResult) -> list[Chart]:
    """Scores, and points lost to the teacher on the same rows, with their intervals."""
    scale, unit = scale_of(result.metric)
    scores = [
        _mark(one, series, one.score, scale, show_interval(result.metric, one.score))
        for series, one in enumerate(result.models)
    ]
    losses = [
        _mark(one, series, one.loss, 1.0, in_points(one.loss))
        for series, one in enumerate(result.models)
        if one is not result.teacher
    ]
    rows = f"{result.teacher.score.rows:,} rows"
    return [
        interval_chart(
            "quality", f"Quality on {rows}, with 95% intervals", scores, across=f"{in_words(result.metric)}{unit}"
        ),
        interval_chart(
            "losses",
            "Points lost to the teacher on the same rows, with 95% intervals",
            losses,
            across="points lost, less is better",
            reference=("as much as may be lost", result.tolerate),
        ),
    ]


def _mark(one: Contender, series: int, interval: Interval, scale: float, text: str) -> Mark:
    value, low, high = (scale * number for number in (interval.value, interval.low, interval.high))
    return Mark(one.name, value, text, min(low, value), max(high, value), series)


def sweep_costs(result: SweepResult) -> list[Chart]:
    """Latency and throughput for each number of threads, and size."""
    charts = []
    for count in result.threads:
        on = in_threads(count)
        latencies = {one.name: result.latency(one.name, count) for one in result.models}
        texts = {name: f"{value:.1f} ms" for name, value in latencies.items()}
        charts.append(
            _bars(f"latency-{count}", f"Milliseconds of one row (median), {on}, less is better", latencies, texts)
        )
        if result.batch_size is not None:
            rates = {one.name: result.rate(one.name, count) for one in result.models}
            title = f"Rows per second in batches of {result.batch_size}, {on}, more is better"
            charts.append(_bars(f"rate-{count}", title, rates, {name: f"{rate:,.0f}" for name, rate in rates.items()}))
    sizes = {one.name: one.bytes / 1e6 for one in result.models}
    texts = {one.name: f"{in_megabytes(one.bytes)}, {in_thousands(one.parameters)}" for one in result.models}
    return [*charts, _bars("size", "Megabytes on disk and number of parameters, less is better", sizes, texts)]


def _bars(name: str, title: str, values: Mapping[str, float], texts: Mapping[str, str]) -> Chart:
    """A bar for each model, in its colour."""
    marks = [Mark(one, value, texts[one], series=series) for series, (one, value) in enumerate(values.items())]
    return bar_chart(name, title, marks)
