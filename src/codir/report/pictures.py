"""What all pictures that matplotlib draws have in common: colours and marks, quiet axes, a legend below."""

from __future__ import annotations

from typing import Any, Literal

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's palette, which colour-blind readers can tell apart."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
MOST_LEGEND_COLUMNS = 3


def look_of(place: int) -> dict[str, str]:
    """Colour and mark of one of several models, by its place among them, for `Axes.errorbar`."""
    return {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place % len(MARKERS)], "linestyle": ""}


def quieten(axis: Any, *, grid: Literal["both", "x", "y"] = "both") -> None:
    """Small ticks, pale lines behind what is drawn, and no frame above and to the right."""
    axis.tick_params(labelsize=8, length=3)
    axis.grid(axis=grid, color="0.9", linewidth=0.8)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def add_legend(figure: Any) -> None:
    """The legend of the first panel, below all of them."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    columns = min(MOST_LEGEND_COLUMNS, len(labels))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize=8, frameon=False)
