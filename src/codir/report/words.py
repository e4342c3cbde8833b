"""How numbers, names and tables are written, for every report alike."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

from codir.errors.shown import counted, plain, short_paths
from codir.tasks import is_share

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

REPORT_NAME = "report.json"
"""What a run writes of its numbers, beside pages for people."""
NOT_MEASURED = "—"
TEACHER = "*teacher*"
"""Names the row of the teacher among contestants."""
MANY_COLUMNS = 7
"""So many columns stand one space apart, so that 80 characters hold them."""
MOST_COLUMNS = 8
"""More of them 80 characters do not hold."""


def in_words(metric: str) -> str:
    """What a metric is called in a table.

    Example:
        >>> in_words("macro_f1")
        'macro f1'
    """
    return metric.replace("_", " ")


def with_article(floor: str) -> str:
    """What answers without reading, in a sentence.

    Example:
        >>> with_article("largest class"), with_article("no answer")
        ('the largest class', 'no answer')
    """
    return floor if floor.startswith("no ") else f"the {floor}"


def show_metric(metric: str, value: float | None, *, signed: bool = False) -> str:
    """The value of a metric as it stands in a table.

    Example:
        >>> show_metric("accuracy", 0.8281), show_metric("pearson", 0.8281), show_metric("f1", -0.01, signed=True)
        ('82.8%', '0.828', '-1.0%')
    """
    if value is None:
        return NOT_MEASURED
    sign = "+" if signed else ""
    return f"{value:{sign}.1%}" if is_share(metric) else f"{value:{sign}.3f}"


def in_megabytes(size: int | None) -> str:
    """A size on disk.

    Example:
        >>> in_megabytes(90_800_000), in_megabytes(None)
        ('90.8 MB', '—')
    """
    return NOT_MEASURED if size is None else f"{size / 1e6:,.1f} MB"


def in_thousands(number: int | None) -> str:
    """A count, such as that of parameters.

    Example:
        >>> in_thousands(22_713_986), in_thousands(999_960), in_thousands(12), in_thousands(None)
        ('22.7M', '1.0M', '12', '—')
    """
    if number is None:
        return NOT_MEASURED
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if number >= 0.99995 * size:  # what rounds to it too
            return f"{number / size:.1f}{letter}"
    return str(number)


def in_threads(threads: int) -> str:
    """A number of threads.

    Example:
        >>> in_threads(1), in_threads(8)
        ('1 thread', '8 threads')
    """
    return counted(threads, "thread")


def scale_of(metric: str) -> tuple[float, str]:
    """What a picture multiplies a metric with, and what it writes behind its name.

    Example:
        >>> scale_of("accuracy"), scale_of("pearson")
        ((100.0, ', %'), (1.0, ''))
    """
    return (100.0, ", %") if is_share(metric) else (1.0, "")


def in_json(content: Mapping[str, Any]) -> str:
    """Numbers for programs.

    Raises:
        ValueError: one of them is NaN or infinite.
    """
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def rows_in_words(sets: Mapping[str, Any]) -> list[str]:
    """Data sets with their numbers of rows.

    Args:
        sets: by name, each with `source` and `rows`.

    Example:
        >>> rows_in_words({"dev": {"source": "dev.csv", "rows": 1000}})
        ['dev.csv, 1,000 rows']
    """
    return [f"{short_paths(str(one['source']))}, {counted(one['rows'], 'row')}" for one in sets.values()]


def to_markdown(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows of words as a Markdown table, the first column to the left."""
    columns, cells = list(rows[0]), [list(row.values()) for row in rows]
    lines = [_cells(columns), ["---", *["---:"] * (len(columns) - 1)], *map(_cells, cells)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cells(texts: Sequence[str]) -> list[str]:
    """Escaped, but for the one row name that stands out."""
    return [text if text == TEACHER else in_markdown(text) for text in texts]


def in_markdown(text: str, *, keeps_code: bool = False) -> str:
    """A text that comes from outside as it stands: no Markdown, HTML, link or end of line in it means anything.

    Args:
        text: a label, a name of a file, a note.
        keeps_code: what stands between backticks is code, as in codir's own notes.

    Example:
        >>> print(in_markdown("<b>*x*</b> | [a](http://b)\\n# y"))
        &lt;b>\\*x\\*&lt;/b> \\| \\[a\\](http&#58;//b) # y
        >>> print(in_markdown("set `--x*y*` to *", keeps_code=True), in_markdown("p < 0.001, macro_f1, __init__"))
        set `--x*y*` to \\* p < 0.001, macro_f1, \\_\\_init\\_\\_
    """
    text = plain(text, longest=LONGEST_TEXT)
    if not keeps_code:
        return _escape(text)
    pieces, end = [], 0
    for span in _CODE_SPAN.finditer(text):
        pieces += [_escape(text[end : span.start()]), span[0]]
        end = span.end()
    return "".join([*pieces, _escape(text[end:])])


def in_code(text: str) -> str:
    """A text as a code span, however many backticks it holds.

    Example:
        >>> in_code("a`b"), in_code("x")
        ('``a`b``', '`x`')
    """
    text = plain(text, longest=LONGEST_TEXT)
    runs = {len(run) for run in re.findall("`+", text)}
    fence = "`" * next(size for size in range(1, len(runs) + 2) if size not in runs)
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{space}{text}{space}{fence}"


LONGEST_TEXT = 2000
_CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)")
_MARKUP = re.compile(r"[\\`*\[\]|~$]|(?<!\w)_+|_+(?!\w)|^\s*(?:#+(?=\s|$)|>|[+-](?=\s|$)|[=-]{2,}|\d+[.)](?=\s|$))")
_HTML = re.compile(r"<(?=[A-Za-z/!?])|&(?=[#\w])|:(?=//)|(?<=\bwww)\.|(?<=\w)@(?=\w)", re.IGNORECASE)


def _escape(text: str) -> str:
    entities = {"<": "&lt;", "&": "&amp;", ":": "&#58;", ".": "&#46;", "@": "&#64;"}
    text = _HTML.sub(lambda found: entities[found[0]], text)
    return _MARKUP.sub(lambda found: re.sub(r"([^\w\s]|_)", r"\\\1", found[0]), text)


def to_terminal(
    rows: Sequence[Mapping[str, str]],
    *,
    title: str,
    caption: str | None = None,
    bold: str | None = None,
    wraps: bool = False,
) -> Table:
    """The same rows as a table for the terminal.

    Args:
        rows: of words.
        title: what stands above them.
        caption: what stands below.
        bold: the row whose first cell this is stands out.
        wraps: whether the first column is broken where there is no room; otherwise all others are.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    def text(words: str) -> Text:
        return Text(plain(words))  # no markup in it

    table = Table(title=text(title), caption=text(caption) if caption else None, caption_justify="left")
    table.box, table.show_edge, table.pad_edge, table.collapse_padding = SIMPLE_HEAD, False, False, True
    if len(rows[0]) >= MANY_COLUMNS:
        table.padding = (0, 0, 0, 0)
    first = next(iter(rows[0]))
    for column in rows[0]:
        is_first = column == first
        table.add_column(text(column), justify="left" if is_first else "right", no_wrap=is_first != wraps)
    for row in rows:
        cells = ["teacher" if cell == TEACHER else cell for cell in row.values()]
        table.add_row(*map(text, cells), style="bold" if bold is not None and cells[0] == bold else None)
    return table


def turned(rows: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """A table with a column for each of these rows, whose first cells become its head.

    Example:
        >>> turned([{"model": "teacher", "f1": "0.9"}, {"model": "student", "f1": "0.8"}])
        [{'what': 'f1', 'teacher': '0.9', 'student': '0.8'}]
    """
    first, *others = rows[0]
    return [{"what": column, **{row[first]: row[column] for row in rows}} for column in others]


def stacked(warnings: Sequence[str], *parts: Table | Text) -> Group:
    """What a command prints at its end: warnings, and below them tables with room between them.

    Args:
        warnings: what a reader has to hear first, one sentence each.
        *parts: tables and texts, from top to bottom.
    """
    from rich.console import Group
    from rich.text import Text

    said = [Text(plain(warning, longest=LONGEST_TEXT), style="bold red") for warning in warnings]
    spaced = [one for part in parts for one in (part, Text())]
    return Group(*said, *spaced[:-1])


def render_page(
    title: str,
    blocks: Sequence[str],
    *,
    warnings: Sequence[str] = (),
    notes: Sequence[str] = (),
    conditions: Mapping[str, Any] | None = None,
) -> str:
    """A report as a page of Markdown.

    Args:
        title: what stands above it.
        blocks: paragraphs, tables and pictures, in order; Markdown already.
        warnings: what a reader has to hear first, one sentence each.
        notes: what a reader has to know, one sentence each.
        conditions: under which the numbers were measured, by name.
    """
    return fill_in_markdown(
        "page.md.j2",
        title=in_markdown(title),
        blocks=[*(f"**Warning:** {in_markdown(warning, keeps_code=True)}" for warning in warnings), *blocks],
        notes=[in_markdown(note, keeps_code=True) for note in notes],
        conditions={name: _condition(name, value) for name, value in (conditions or {}).items()},
    )


def fill_in_markdown(template: str, /, **shown: Any) -> str:
    """A template of `codir/report` with what it shows, which is Markdown already.

    Args:
        template: its name.
        **shown: by the names that it uses.
    """
    from jinja2 import Environment, StrictUndefined

    written = resources.files("codir.report").joinpath(template).read_text("utf-8")
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    return environment.from_string(written).render(shown)


def _condition(name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{in_markdown(str(part))} {_condition(part, what)}" for part, what in value.items())
    if value is None:
        return "unknown"
    if isinstance(value, list | tuple):
        return ", ".join(in_markdown(str(one)) for one in value) or "none"
    return in_code(str(value)) if name == "command" else in_markdown(str(value))
