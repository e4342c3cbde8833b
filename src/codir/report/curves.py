"""Curves: a training log becomes one picture, a small panel per loss term and one for the evaluation metrics.

Reads the entries that `transformers.Trainer` keeps in `log_history`; knows nothing of what the terms mean. The
terms have panels of their own because they have scales of their own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codir.report.pictures import COLOURS, MARKERS, quieten
from codir.report.words import in_words

LogHistory = Sequence[Mapping[str, float | int]]
Line = tuple[list[float | int], list[float | int]]
"""Steps, and the values logged at them."""

NOT_A_METRIC = ("_loss", "_runtime", "_per_second", "_time")
"""Endings of `eval_` entries that are on another scale than metrics, or measure time."""

PANELS_PER_ROW = 3


@dataclass(frozen=True)
class Panel:
    """One small plot: its title, what its vertical axis shows, and its lines by name."""

    title: str
    quantity: str
    lines: dict[str, Line]


def plot_training_curves(log_history: LogHistory, path: Path, *, title: str) -> None:
    """Draw the loss, each of its terms and the evaluation metrics over training steps, as a PNG.

    Args:
        log_history: entries with `step` and any of `loss` (the total), `loss/<term>` and `eval_<metric>`.
        path: where the picture goes.
        title: what stands above it.
    """
    from matplotlib.figure import Figure

    panels = select_panels(log_history) or [Panel("nothing was logged", "loss", {})]
    rows = math.ceil(len(panels) / PANELS_PER_ROW)
    columns = math.ceil(len(panels) / rows)
    figure = Figure(figsize=(max(3.3 * columns, 5.0), 2.5 * rows + 0.5), dpi=150, layout="constrained")
    figure.suptitle(title, fontsize=12, fontweight="bold")
    axes = figure.subplots(rows, columns, sharex=True, squeeze=False).flat
    for number, panel in enumerate(panels):
        _draw(axes[number], panel, first_colour=number)
    for empty in axes[len(panels) :]:
        empty.set_axis_off()
    figure.savefig(path, format="png")


def select_panels(log_history: LogHistory) -> list[Panel]:
    """Sort a log into panels: the total loss, one per term, and all evaluation metrics together.

    Example:
        >>> log = [{"step": 1, "loss": 3.0, "loss/contrastive": 2.0}, {"step": 1, "eval_accuracy": 0.5, "eval_loss": 1}]
        >>> [panel.title for panel in select_panels(log)]
        ['total loss', 'contrastive', 'evaluation']
    """
    keys = list(dict.fromkeys(key for entry in log_history for key in entry))
    total = [Panel("total loss", "loss", {"loss": _line(log_history, "loss")})] if "loss" in keys else []
    terms = [key for key in keys if key.startswith("loss/")]
    panels = total + [Panel(_named(key, "loss/"), "loss", {key: _line(log_history, key)}) for key in terms]
    metrics = {_named(key, "eval_"): _line(log_history, key) for key in keys if _is_metric(key)}
    if metrics:
        panels.append(Panel("evaluation", next(iter(metrics)) if len(metrics) == 1 else "metric", metrics))
    return panels


def _is_metric(key: str) -> bool:
    return key.startswith("eval_") and "/" not in key and not key.endswith(NOT_A_METRIC)


def _named(key: str, prefix: str) -> str:
    return in_words(key.removeprefix(prefix))


def _line(log_history: LogHistory, key: str) -> Line:
    entries = [entry for entry in log_history if key in entry and "step" in entry]
    return [entry["step"] for entry in entries], [entry[key] for entry in entries]


def _draw(axis: Any, panel: Panel, *, first_colour: int) -> None:
    for number, (name, (steps, values)) in enumerate(panel.lines.items()):
        colour, marker = COLOURS[(first_colour + number) % len(COLOURS)], MARKERS[number % len(MARKERS)]
        is_sparse = len(steps) <= 12  # few points are shown as points, so that a single one is seen at all
        axis.plot(
            steps, values, color=colour, linewidth=1.6, marker=marker if is_sparse else None, markersize=4, label=name
        )
    axis.set_title(panel.title, fontsize=10, loc="left", parse_math=False)
    axis.set_xlabel("step", fontsize=9)
    axis.set_ylabel(panel.quantity, fontsize=9)
    axis.locator_params(axis="both", nbins=5)
    axis.tick_params(labelbottom=True)  # below every panel, though they share the axis
    quieten(axis, grid="y")
    if len(panel.lines) > 1:
        axis.legend(fontsize=8, frameon=False)
