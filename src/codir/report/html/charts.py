"""Charts of the page: lines, intervals, bars, points and heat maps, each with its legend and alternative text.

Knows numbers and names; knows nothing of runs or models. Wide enough for a phone, and drawn once for all sizes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from codir.report.html.svg import (
    SHAPES,
    WIDTH,
    Scale,
    drawing,
    horizontal_axis,
    label,
    point,
    scale_over,
    shorten_to,
    tag,
    vertical_axis,
    width_of,
)

LEFT, RIGHT, TOP = 46.0, 12.0, 24.0
"""Room around a plot, in pixels."""
MOST_POINTS = 300
"""Of a line: more than that many are thinned out."""
FEW_POINTS = 12
"""So many have a mark each, so that a single one is seen at all; of more, the last one has."""
STEPS_OF_HEAT = 6
HIGHEST = 360.0
"""Pixels of a heat map, unless its rows would be too low to read."""
NO_LEGEND = Markup("")


@dataclass(frozen=True)
class Chart:
    """A picture as the page shows it.

    Attributes:
        title: above it.
        picture: SVG.
        legend: HTML; empty where the picture needs none.
        note: below it; empty where there is nothing to add.
    """

    title: str
    picture: Markup
    legend: Markup = NO_LEGEND
    note: str = ""


@dataclass(frozen=True)
class Mark:
    """One row of a chart of intervals or bars.

    Attributes:
        name: left of it.
        value: where its dot stands, or its bar ends.
        text: the value in words.
        low: lower end of its interval, if it has one.
        high: upper end.
        series: number of its colour; `None` for grey.
        others: values that stand beside it as small dots, such as those of single seeds.
    """

    name: str
    value: float
    text: str
    low: float | None = None
    high: float | None = None
    series: int | None = 0
    others: tuple[float, ...] = ()


def series_legend(names: Sequence[str], first: int = 0, reference: str | None = None) -> Markup:
    """Names beside the marks of their series, from colour number `first` on; last that of a dashed line."""
    entries = [(point(number, 7, 7), name) for number, name in enumerate(names, start=first)]
    if reference is not None:
        entries.append((tag("line", x1=0, x2=14, y1=7, y2=7, class_="reference"), reference))
    swatches = [tag("svg", mark, viewBox="0 0 14 14", class_="swatch", aria_hidden="true") for mark, _ in entries]
    named = zip(swatches, entries, strict=True)
    return tag("ul", *(tag("li", swatch, name) for swatch, (_, name) in named), class_="legend")


# ---- Lines ----


def line_chart(
    name: str,
    title: str,
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    across: str,
    up: str,
    first_series: int = 0,
    reference: tuple[str, float] | None = None,
    note: str = "",
) -> Chart:
    """Values over whole numbers, such as steps or layers.

    Args:
        name: of the picture, unlike any other on the page.
        title: above it.
        lines: numbers across and up, by name; values that are not finite are left out.
        across: what the horizontal axis counts.
        up: what the vertical axis counts.
        first_series: number of the first line's colour.
        reference: name and height of a dashed line.
        note: below it.
    """
    finite = {key: _finite(xs, ys) for key, (xs, ys) in lines.items()}
    bottom = 190.0
    every_y = [y for points in finite.values() for _, y in points] + ([reference[1]] if reference else [])
    x = scale_over([x for points in finite.values() for x, _ in points], LEFT, WIDTH - RIGHT, whole=True, tight=True)
    y = scale_over(every_y, bottom, TOP)
    parts = [vertical_axis(y, LEFT, WIDTH - RIGHT, up), horizontal_axis(x, bottom, bottom + 4, across)]
    if reference:
        level = y(reference[1])
        parts.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=level, y2=level, class_="reference"))
    for number, points in enumerate(finite.values(), start=first_series):
        parts += _line(number, points, x, y)
    needs_legend = len(finite) > 1 or reference
    legend = (
        series_legend(list(finite), first_series, reference[0] if reference else None) if needs_legend else NO_LEGEND
    )
    ends = "; ".join(
        f"{key} from {points[0][1]:.4g} to {points[-1][1]:.4g}" for key, points in finite.items() if points
    )
    described = f"{up} over {across}: {ends}." if ends else "Nothing was logged."
    return Chart(title, drawing(name, title, described, bottom + 38, *parts), legend, note)


def _finite(xs: Sequence[float], ys: Sequence[float]) -> list[tuple[float, float]]:
    points = [(float(x), float(y)) for x, y in zip(xs, ys, strict=True) if math.isfinite(y)]
    every = -(-len(points) // MOST_POINTS)
    return points if every <= 1 else [*points[::every], *([points[-1]] if (len(points) - 1) % every else [])]


def _line(number: int, points: Sequence[tuple[float, float]], x: Scale, y: Scale) -> list[Markup]:
    path = " ".join(f"{x(across):.1f},{y(up):.1f}" for across, up in points)
    marked = points if len(points) <= FEW_POINTS else points[-1:]
    dots = [point(number, x(across), y(up)) for across, up in marked]
    return [tag("polyline", points=path, class_=f"line line{number % len(SHAPES)}"), *dots]


# ---- Intervals and bars ----


def interval_chart(
    name: str,
    title: str,
    marks: Sequence[Mark],
    *,
    across: str,
    reference: tuple[str, float] | None = None,
    note: str = "",
) -> Chart:
    """A dot with its interval per row.

    Args:
        name: of the picture, unlike any other on the page.
        title: above it.
        marks: from top to bottom.
        across: what the axis counts.
        reference: name and place of a dashed line; without a name, it has no legend.
        note: below it.
    """
    ends = [end for mark in marks for end in (mark.value, mark.low, mark.high, *mark.others) if end is not None]
    left, rows, step = _room_for(marks), len(marks), 36.0
    bottom = 6 + step * rows
    x = scale_over([*ends, *([reference[1]] if reference else [])], left, WIDTH - RIGHT - 6)
    parts = [horizontal_axis(x, 4, bottom, across)]
    if reference:
        parts.append(tag("line", x1=x(reference[1]), x2=x(reference[1]), y1=4, y2=bottom, class_="reference"))
    for row, mark in enumerate(marks):
        middle = 6 + step * (row + 0.62)
        half = width_of(mark.text) / 2
        place = min(max(x(mark.value), left + half), WIDTH - half)
        parts += [label(shorten_to(mark.name, left - 8), left - 8, middle + 4, at="end")]
        if mark.low is not None and mark.high is not None:
            whisker = f"M{x(mark.low):.1f} {middle - 4:.1f}v8m0 -4H{x(mark.high):.1f}m0 -4v8"
            parts.append(tag("path", d=whisker, class_=f"whisker {_colour('line', mark.series)}"))
        colour = _colour("fill", mark.series)
        parts += [tag("circle", cx=x(one), cy=middle, r=2, class_=f"{colour} cloud") for one in mark.others]
        parts.append(tag("circle", cx=x(mark.value), cy=middle, r=4.5, class_=colour))
        parts.append(label(mark.text, place, middle - 9, at="middle", class_="value"))
    told = "; ".join(f"{mark.name} {mark.text}" for mark in marks)
    legend = series_legend([], reference=reference[0]) if reference and reference[0] else NO_LEGEND
    return Chart(title, drawing(name, title, f"{across}: {told}.", bottom + 34, *parts), legend, note)


def bar_chart(name: str, title: str, marks: Sequence[Mark], *, note: str = "") -> Chart:
    """A bar from 0 per row, with its value at its end.

    Args:
        name: of the picture, unlike any other on the page.
        title: above it, with the unit.
        marks: from top to bottom; none below 0.
        note: below it.
    """
    left, step = _room_for(marks), 26.0
    room = max(width_of(mark.text) for mark in marks) + 10
    highest = max(mark.value for mark in marks) or 1.0
    parts = []
    for row, mark in enumerate(marks):
        top, length = 4 + step * row, mark.value / highest * (WIDTH - left - room)
        parts += [
            label(shorten_to(mark.name, left - 8), left - 8, top + 14, at="end"),
            tag("rect", x=left, y=top, width=max(length, 1.0), height=18, class_=_colour("fill", mark.series)),
            label(mark.text, left + length + 6, top + 14, class_="value"),
        ]
    told = "; ".join(f"{mark.name} {mark.text}" for mark in marks)
    return Chart(title, drawing(name, title, f"{told}.", 6 + step * len(marks), *parts), note=note)


def _room_for(marks: Sequence[Mark]) -> float:
    return min(max(width_of(mark.name) for mark in marks) + 12, 0.42 * WIDTH)


def _colour(kind: str, series: int | None) -> str:
    return f"{kind}-none" if series is None else f"{kind}{series % len(SHAPES)}"


# ---- Points ----


def scatter_chart(
    name: str,
    title: str,
    groups: Mapping[str, Sequence[tuple[float, float]]],
    *,
    across: str,
    up: str,
    reference: tuple[str, float] | None = None,
    size: float = 2.5,
    note: str = "",
) -> Chart:
    """Points on a plane, coloured by group.

    Args:
        name: of the picture, unlike any other on the page.
        title: above it.
        groups: points by name.
        across: what the horizontal axis shows.
        up: what the vertical axis shows.
        reference: name and height of a dashed line.
        size: half of the width of a point.
        note: below it.
    """
    bottom = 250.0
    every = [one for points in groups.values() for one in points]
    x = scale_over([one[0] for one in every], LEFT, WIDTH - RIGHT)
    y = scale_over([*(one[1] for one in every), *([reference[1]] if reference else [])], bottom, TOP)
    parts = [vertical_axis(y, LEFT, WIDTH - RIGHT, up), horizontal_axis(x, TOP, bottom, across)]
    if reference:
        level = y(reference[1])
        parts.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=level, y2=level, class_="reference"))
    for number, points in enumerate(groups.values()):
        dots = [point(number, x(across_), y(up_), size=size) for across_, up_ in points]
        parts.append(tag("g", *dots, class_="cloud"))
    told = "; ".join(f"{len(points)} of {group}" for group, points in groups.items())
    picture = drawing(name, title, f"{len(every)} points: {told}.", bottom + 34, *parts)
    legend = series_legend(list(groups), reference=reference[0] if reference else None)
    return Chart(title, picture, legend, note)


# ---- Heat maps ----


def heat_map(
    name: str,
    title: str,
    values: Sequence[Sequence[float]],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    down: str,
    across: str,
    unit: str,
    low: float | None = None,
    hints: Sequence[Sequence[str]] | None = None,
    note: str = "",
) -> Chart:
    """A table in colours, the first row at the bottom; numbers stand in its cells where there is room.

    Args:
        name: of the picture, unlike any other on the page.
        title: above it.
        values: up to 1, by row and column.
        rows: their names.
        columns: their names.
        down: what the rows are.
        across: what the columns are.
        unit: what the colours show.
        low: what the palest colour shows; by default, the least value, rounded down to a tenth.
        hints: more about each cell, shown while a pointer rests on it.
        note: below it.
    """
    low = low_end(values) if low is None else low
    left, top = 34.0, TOP
    cell = min((WIDTH - left - 4) / len(columns), 44.0)
    height = min(cell, 26.0, max(14.0, HIGHEST / len(rows)))
    bottom = top + height * len(rows)
    parts = [label(down, 2, top - 10, class_="axis")]
    for number, (row, of_row) in enumerate(zip(rows, values, strict=True)):
        y = bottom - height * (number + 1)
        if number % _every(len(rows), height, 13.0) == 0:
            parts.append(label(row, left - 5, y + height / 2 + 4, at="end", class_="tick"))
        for place, value in enumerate(of_row):
            hint = f"{unit} {value:.2f}: {down} {row}, {across} {columns[place]}"
            hint += f". {hints[number][place]}" if hints else ""
            parts.append(_cell(left + cell * place, y, cell, height, value, (value - low) / (1 - low), hint))
    for place, column in enumerate(columns):
        if place % _every(len(columns), cell, width_of(columns[-1]) + 4) == 0:
            parts.append(label(column, left + cell * (place + 0.5), bottom + 14, at="middle", class_="tick"))
    parts.append(label(across, left + cell * len(columns) / 2, bottom + 29, at="middle", class_="axis"))
    best = [max(range(len(of_row)), key=of_row.__getitem__) for of_row in values]
    told = "; ".join(
        f"{down} {row}: most at {across} {columns[at]} ({of_row[at]:.2f})"
        for row, of_row, at in zip(rows, values, best, strict=True)
    )
    return Chart(title, drawing(name, title, f"{unit}. {told}.", bottom + 34, *parts), _heat_legend(low, unit), note)


def low_end(values: Sequence[Sequence[float]]) -> float:
    """The least value, rounded down to a tenth, and no more than 0.9.

    Example:
        >>> low_end([[0.37, 1.0]]), low_end([[1.0]])
        (0.3, 0.9)
    """
    return min(math.floor(10 * min(map(min, values))) / 10, 0.9)


def _every(count: int, size: float, needed: float) -> int:
    return max(1, math.ceil(needed / size)) if count > 1 else 1


def _cell(x: float, y: float, width: float, height: float, value: float, heat: float, hint: str) -> Markup:
    heat = min(max(heat, 0.0), 1.0)
    box = {"x": x + 0.5, "y": y + 0.5, "width": width - 1, "height": height - 1}
    parts = [tag("rect", tag("title", hint), **box, class_="heat", fill_opacity=f"{heat:.2f}")]
    if width >= 24 and height >= 14:
        shown = "1" if value > 0.995 else f"{value:.2f}".replace("0.", ".", 1)
        parts.append(label(shown, x + width / 2, y + height / 2 + 4, at="middle", class_="cell"))
    return Markup("").join(parts)


def _heat_legend(low: float, unit: str) -> Markup:
    shades = [f"{place / (STEPS_OF_HEAT - 1):.2f}" for place in range(STEPS_OF_HEAT)]
    boxes = [
        tag("rect", x=22 * place, y=0, width=21, height=12, class_="heat", fill_opacity=shade)
        for place, shade in enumerate(shades)
    ]
    bar = tag("svg", *boxes, viewBox=f"0 0 {22 * STEPS_OF_HEAT} 12", class_="bar", aria_hidden="true")
    return tag("p", f"{unit}: {low:g} ", bar, " 1", class_="legend")
