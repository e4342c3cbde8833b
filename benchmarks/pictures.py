"""Pictures of claims: a function per kind, from the content of its JSON file to a figure.

Knows matplotlib; knows nothing of how anything was measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from codir.report.pictures import COLOURS, MARKERS

Content = Mapping[str, Any]


def save_picture(name: str, content: Content, folder: Path) -> None:
    """Draw a claim's picture, if there is one for its name."""
    for prefix, draw in PICTURES.items():
        if name.startswith(prefix):
            draw(content).savefig(folder / f"{name}.png", format="png", metadata={"Software": None})
            return


def draw_against_nce(content: Content) -> Any:
    """Milliseconds over K at one N, and over N at one K, a line per system."""
    rows = content["rows"]
    size, count = (_most_frequent(row[axis] for row in rows) for axis in ("N", "K"))
    figure, (left, right) = _figure(2)
    over_count = [row for row in rows if row["N"] == size]
    over_size = [row for row in rows if row["K"] == count]
    for axis, of, chosen, other in (
        (left, "K", over_count, f"N = {size:,}"),
        (right, "N", over_size, f"K = {count:,}"),
    ):
        _lines(axis, chosen, group="system", x=of, y="median ms")
        _label(axis, other, f"{of} (log)", "ms per step (log)")
        axis.set(xscale="log", yscale="log")
    left.legend(fontsize=8, frameon=False)
    return figure


def draw_flat(content: Content) -> Any:
    """Milliseconds and bytes over N, a line per kind of memory."""
    rows = [{**row, "MB": row["N"] * row["bytes per row"] / 1e6} for row in content["rows"]]
    figure, (left, right) = _figure(2)
    _lines(left, rows, group="memory", x="N", y="median ms")
    _lines(right, rows, group="memory", x="N", y="MB")
    _label(left, "time", "N (log)", "ms per step (log)")
    _label(right, "room", "N (log)", "MB (log)")
    left.set(xscale="log", yscale="log", ylim=(1, None))
    right.set(xscale="log", yscale="log")
    left.legend(fontsize=8, frameon=False)
    return figure


def draw_scaling(content: Content) -> Any:
    """Time and peak memory over every axis, with the fitted line."""
    axes = list(dict.fromkeys(point["axis"] for point in content["points"]))
    figure, grid = _figure(len(axes), rows=2)
    for row, (key, unit) in enumerate((("median ms", "ms per step"), ("peak MB", "peak MB"))):
        for column, of in enumerate(axes):
            points = [point for point in content["points"] if point["axis"] == of and point[key] is not None]
            x, y = [point["x"] for point in points], [point[key] for point in points]
            panel = grid[row][column]
            panel.plot(x, y, "o", color=COLOURS[column % len(COLOURS)], markersize=5)
            if len(points) > 1:
                slope, start = np.polyfit(x, y, 1)
                panel.plot(x, [start + slope * value for value in x], color="0.5", linewidth=1.2)
            title = f"{of} (contrast alone)" if of == "N" else of
            _label(panel, title, of, unit if column == 0 or of == "N" else "")
            panel.set_ylim(bottom=0)
            panel.locator_params(axis="x", nbins=4)
    return figure


def draw_bars(content: Content) -> Any:
    """Seconds of whole trainings, a bar per system."""
    rows = content["rows"]
    totals = next(column for column in rows[0] if column.endswith("epochs s"))
    figure, axis = _figure(1, width=6.4)
    names = [row["system"] for row in rows][::-1]
    seconds = [row[totals] for row in rows][::-1]
    bars = axis.barh(names, seconds, color=[COLOURS[0] if name == "codir" else "0.75" for name in names])
    axis.bar_label(bars, labels=[f"{value:,.0f} s" for value in seconds], padding=3, fontsize=8)
    axis.margins(x=0.12)
    _label(axis, totals.removesuffix(" s"), "seconds, start-up and cache included", "")
    return figure


def draw_pretraining(content: Content) -> Any:
    """Loss on held-out text over steps, a line per student."""
    rows = [
        {"student": name, "step": entry["step"], "loss": entry["eval_loss"]}
        for name, log in content["log_history"].items()
        for entry in log
        if "eval_loss" in entry
    ]
    figure, axis = _figure(1, width=6.4)
    _lines(axis, rows, group="student", x="step", y="loss")
    _label(axis, "masked-LM loss on held-out reviews", "step", "loss")
    axis.legend(fontsize=8, frameon=False)
    return figure


def _figure(columns: int, *, rows: int = 1, width: float | None = None) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    width = width or max(3.0 * columns, 9.0)
    figure = Figure(figsize=(width, 3.2 * rows), dpi=120, layout="constrained", facecolor="white")
    return figure, figure.subplots(rows, columns)


def _lines(axis: Any, rows: Sequence[Content], *, group: str, x: str, y: str) -> None:
    styles = zip(cycle(COLOURS), cycle(MARKERS))
    for name, (colour, marker) in zip(dict.fromkeys(row[group] for row in rows), styles, strict=False):
        chosen = sorted((row for row in rows if row[group] == name), key=lambda row: row[x])
        points = [row[x] for row in chosen], [row[y] for row in chosen]
        axis.plot(*points, color=colour, marker=marker, markersize=5, linewidth=1.6, label=name)


def _label(axis: Any, title: str, x: str, y: str) -> None:
    axis.set_title(title, fontsize=10, loc="left")
    axis.set_xlabel(x, fontsize=9)
    axis.set_ylabel(y, fontsize=9)
    axis.tick_params(labelsize=8)
    axis.grid(color="0.92", linewidth=0.8)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def _most_frequent(values: Any) -> Any:
    found = list(values)
    return max(found, key=found.count)


PICTURES: dict[str, Callable[[Content], Any]] = {
    "contrast-against-nce": draw_against_nce,
    "contrast-flat-in-n": draw_flat,
    "scaling": draw_scaling,
    "end-to-end": draw_bars,
    "pretraining": draw_pretraining,
}
"""Which claims have a picture, by the beginning of their names."""
