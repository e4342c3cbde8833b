"""Templates are filled in, and texts from anywhere become texts of a page: escaped, bounded, without secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

from markupsafe import Markup, escape

from codir.errors.shown import LONGEST_READ, plain, short_paths
from codir.report.words import LONGEST_TEXT, in_words


def fill_in(name: str, *, conditions: Mapping[str, Any], **shown: Any) -> str:
    """A template of `codir/report` with what it shows.

    Args:
        name: of the template.
        conditions: under which the numbers were found, by name; `command` stands apart, where it can be copied.
        **shown: by the names that it uses; what is not markup is escaped.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(_read),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"plain": in_sentence, "code": with_code}
    listed = {in_words(name): condition_in_words(value) for name, value in conditions.items() if name != "command"}
    return environment.get_template(name).render(shown, conditions=listed, command=conditions.get("command"))


def _read(name: str) -> str:
    return resources.files("codir.report").joinpath(name).read_text("utf-8")


def in_sentence(text: object) -> str:
    """A text from anywhere as a page shows it: printable, of bounded length, without secrets."""
    return plain(text, longest=LONGEST_TEXT)


def with_code(text: str) -> Markup:
    """What stands between backticks is code, as in codir's own notes; nothing else in it means anything.

    Example:
        >>> print(with_code("set `--x` to <b>"))
        set <code>--x</code> to &lt;b&gt;
    """
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(in_sentence(text)))))


def condition_in_words(value: object) -> str:
    """A condition.

    Example:
        >>> condition_in_words({"python": "3.12", "codir": None}), condition_in_words(["AVX2", "VNNI"])
        ('python 3.12, codir unknown', 'AVX2, VNNI')
    """
    if isinstance(value, Mapping):
        return ", ".join(f"{part} {condition_in_words(what)}" for part, what in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(condition_in_words, value)) or "none"
    return "unknown" if value is None else str(value)


def recipe_in_words(recipe: str) -> str:
    """A recipe as YAML, with paths as they read from here or from home."""
    return plain(short_paths(recipe), longest=LONGEST_READ, lines=True)
