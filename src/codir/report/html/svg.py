"""Drawings as text: elements of SVG, scales and axes. Knows nothing of what is drawn.

Colours are classes that the page's style fills in, so that one drawing is right in light, in dark and in print.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH = 328
"""Of every drawing, in pixels: what a phone of 360 leaves, so that its letters there are as large as they are here."""
LETTER = 6.9
"""Pixels of an average letter at the size of labels, 11 pixels, in a wide typeface."""
SHAPES = ("circle", "square", "triangle", "diamond", "cross", "star")
"""Of points, so that colour alone tells nothing apart; after as many series, each colour has the next shape."""


def tag(name: str, *children: str, **attributes: str | float | None) -> Markup:
    """An element; texts in it are escaped unless they are markup, and numbers have one decimal.

    Args:
        name: of the element.
        *children: texts and elements.
        **attributes: `class_` and `stroke_width` become `class` and `stroke-width`; `None` leaves one out.

    Example:
        >>> print(tag("text", "a < b", class_="muted", x=1.04, data=None))
        <text class="muted" x="1">a &lt; b</text>
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_number(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inside = Markup("").join(children)
    return Markup(f"<{name}{written}>{inside}</{name}>" if inside else f"<{name}{written}/>")


def _number(value: str | float) -> str:
    return value if isinstance(value, str) else f"{round(float(value), 1):g}"


def drawing(name: str, title: str, description: str, height: float, *parts: str) -> Markup:
    """A whole picture with its alternative text.

    Args:
        name: of the picture, a word that no other on the page has.
        title: in a few words.
        description: what a reader who does not see it should hear.
        height: in pixels; its width is `WIDTH`.
        *parts: elements.
    """
    words = [tag("title", title, id=f"{name}-title"), tag("desc", description, id=f"{name}-desc")]
    of_it = {"aria_labelledby": f"{name}-title", "aria_describedby": f"{name}-desc"}
    size = f"0 0 {WIDTH} {_number(height)}"
    return tag("svg", *words, *parts, role="img", viewBox=size, xmlns="http://www.w3.org/2000/svg", **of_it)


def label(text: str, x: float, y: float, *, at: str = "start", class_: str | None = None) -> Markup:
    """A text that begins (`start`), ends (`end`) or has its middle (`middle`) at `x`."""
    return tag("text", text, x=x, y=y, text_anchor=None if at == "start" else at, class_=class_)


def width_of(text: str) -> float:
    """About how wide a label is, in pixels."""
    return LETTER * len(text)


def shorten_to(text: str, width: float) -> str:
    """A label that fits into so many pixels.

    Example:
        >>> shorten_to("a very long label", 60), shorten_to("short", 60)
        ('a very …', 'short')
    """
    most = max(2, int(width / LETTER))
    return text if len(text) <= most else f"{text[: most - 1]}…"


def point(series: int, x: float, y: float, *, size: float = 3.5, hint: str = "") -> Markup:
    """A mark whose shape and colour are those of its series.

    Args:
        series: number of the colour and the shape.
        x: of its middle.
        y: of its middle.
        size: half of its width.
        hint: what is shown while a pointer rests on it.
    """
    children = [tag("title", hint)] if hint else []
    lap, colour = divmod(series, len(SHAPES))
    shape, of_series = SHAPES[(colour + lap) % len(SHAPES)], f"fill{colour}"
    if shape == "circle":
        return tag("circle", *children, cx=x, cy=y, r=size, class_=of_series)
    if shape == "square":
        return tag("rect", *children, x=x - size, y=y - size, width=2 * size, height=2 * size, class_=of_series)
    corners = {
        "triangle": [(0, -1.2), (1.1, 0.9), (-1.1, 0.9)],
        "diamond": [(0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)],
        "cross": [(-1.2, -0.4), (1.2, -0.4), (1.2, 0.4), (-1.2, 0.4)],
        "star": [(0, -1.4), (0.4, -0.4), (1.4, 0), (0.4, 0.4), (0, 1.4), (-0.4, 0.4), (-1.4, 0), (-0.4, -0.4)],
    }[shape]
    path = " ".join(f"{_number(x + size * dx)},{_number(y + size * dy)}" for dx, dy in corners)
    return tag("polygon", *children, points=path, class_=of_series)


# ---- Scales ----

LEAST_SHARE = 2e-3
"""Of its largest number, that a scale spans at least: rounding errors would fill it otherwise."""


@dataclass(frozen=True)
class Scale:
    """Numbers of an axis and where they lie, in pixels.

    Attributes:
        low: the number at `start`.
        high: the number at `end`.
        start: pixel of the lower end.
        end: pixel of the upper one.
        ticks: numbers that are written at it.
    """

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]

    def __call__(self, value: float) -> float:
        """Where a number lies.

        Example:
            >>> Scale(0.0, 10.0, 100.0, 200.0, ())(5.0)
            150.0
        """
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def scale_over(
    values: Sequence[float], start: float, end: float, *, most: int = 4, whole: bool = False, tight: bool = False
) -> Scale:
    """A scale over these numbers that begins and ends at round ones.

    Args:
        values: finite; none at all gives a scale from 0 to 1, and equal or nearly equal ones a wider scale around them.
        start: pixel of the lower end.
        end: pixel of the upper one.
        most: ticks, less one.
        whole: ticks are whole numbers.
        tight: the scale ends where the numbers do.

    Example:
        >>> scale_over([0.71, 0.84], 0, 100).ticks
        (0.7, 0.75, 0.8, 0.85)
    """
    from matplotlib.ticker import MaxNLocator

    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    largest = max(abs(low), abs(high))
    if high - low < (1e-9 if whole or tight else LEAST_SHARE) * max(largest, 1e-9):
        spread = 1.0 if whole or largest < 1e-6 else 0.1 * largest
        low, high = low - spread, high + spread
    found = MaxNLocator(nbins=most, steps=[1, 2, 2.5, 5, 10], integer=whole).tick_values(low, high)
    ticks = tuple(round(float(tick), 10) for tick in found)
    if not tight:
        return Scale(ticks[0], ticks[-1], start, end, ticks)
    return Scale(low, high, start, end, tuple(tick for tick in ticks if low <= tick <= high))


def tick_text(value: float) -> str:
    """A number at an axis.

    Example:
        >>> tick_text(0.30000000000000004), tick_text(12000), tick_text(-0.0)
        ('0.3', '12,000', '0')
    """
    value = round(value, 10) + 0.0
    return f"{value:,.0f}" if abs(value) >= 1000 and math.isclose(value, round(value)) else f"{value:g}"


def horizontal_axis(scale: Scale, top: float, bottom: float, name: str) -> Markup:
    """Ticks below a plot, a line up from each of them, and what they count."""
    parts = []
    for tick in scale.ticks:
        parts.append(tag("line", x1=scale(tick), x2=scale(tick), y1=top, y2=bottom, class_="grid"))
        text = tick_text(tick)
        place = min(scale(tick), WIDTH - width_of(text) / 2)
        parts.append(label(text, place, bottom + 14, at="middle", class_="tick"))
    parts.append(label(name, (scale.start + scale.end) / 2, bottom + 29, at="middle", class_="axis"))
    return Markup("").join(parts)


def vertical_axis(scale: Scale, left: float, right: float, name: str) -> Markup:
    """Ticks left of a plot, a line across from each of them, and above them what they count."""
    parts = []
    for tick in scale.ticks:
        parts.append(tag("line", x1=left, x2=right, y1=scale(tick), y2=scale(tick), class_="grid"))
        parts.append(label(tick_text(tick), left - 6, scale(tick) + 4, at="end", class_="tick"))
    parts.append(label(name, 2, scale.end - 10, class_="axis"))
    return Markup("").join(parts)
