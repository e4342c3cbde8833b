"""How numbers, names and tables are written, for every report alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

NOT_MEASURED = "—"


def in_words(metric: str) -> str:
    """What a metric is called in a table.

    Example:
        >>> in_words("macro_f1")
        'macro f1'
    """
    return metric.replace("_", " ")


def in_thousands(number: int) -> str:
    """A count, such as that of parameters.

    Example:
        >>> in_thousands(22_713_986), in_thousands(12)
        ('22.7M', '12')
    """
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if number >= size:
            return f"{number / size:.1f}{letter}"
    return str(number)


def to_markdown(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows of words as a Markdown table, the first column to the left."""
    columns = list(rows[0])
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *(list(row.values()) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def to_terminal(
    rows: Sequence[Mapping[str, str]], *, title: str, caption: str | None = None, bold: str | None = None
) -> Table:
    """The same rows as a table for the terminal; the row whose first cell is `bold` stands out."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), caption=Text(caption) if caption else None, caption_justify="left")
    table.box, table.show_edge, table.pad_edge, table.collapse_padding = SIMPLE_HEAD, False, False, True
    first = next(iter(rows[0]))
    for column in rows[0]:
        table.add_column(column, justify="left" if column == first else "right", no_wrap=column == first)
    for row in rows:
        cells = [cell.strip("*") for cell in row.values()]
        table.add_row(*cells, style="bold" if bold is not None and cells[0] == bold else None)
    return table


def render_page(
    title: str, blocks: Sequence[str], *, notes: Sequence[str] = (), conditions: Mapping[str, Any] | None = None
) -> str:
    """A report as a page of Markdown.

    Args:
        title: what stands above it.
        blocks: paragraphs, tables and pictures, in order.
        notes: what a reader has to know, one sentence each.
        conditions: under which the numbers were measured, by name.
    """
    from jinja2 import Environment, StrictUndefined

    template = resources.files("codir.report").joinpath("page.md.j2").read_text("utf-8")
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    written = {name: _condition(name, value) for name, value in (conditions or {}).items()}
    return environment.from_string(template).render(title=title, blocks=blocks, notes=notes, conditions=written)


def _condition(name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{part} {_condition(part, what)}" for part, what in value.items())
    if value is None:
        return "unknown"
    return f"`{value}`" if name == "command" else str(value)
