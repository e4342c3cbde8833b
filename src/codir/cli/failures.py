"""What ends a command before its end: one message that a terminal can show, and the exit code."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from typer.core import TyperGroup

from codir.errors import LONGEST_MESSAGE, UserError, of_files
from codir.errors.shown import plain


def show_failure(error: Exception) -> int:
    """Print an error in one message; the exit code is 2 where the user can help it, and 1 otherwise."""
    from rich.console import Console
    from rich.text import Text

    of_user = error if isinstance(error, UserError) else of_files(error)
    said = of_user or f"{type(error).__name__}: {error}"
    console = Console(stderr=True)
    console.print(Text("Error ", style="bold red") + plain(said, longest=LONGEST_MESSAGE, lines=True), soft_wrap=True)
    if of_user is None:
        console.print("[dim]`--debug` shows where it came from.[/dim]")
    return 1 if of_user is None else 2


class PlainGroup(TyperGroup):
    """The group of all commands, whose usage errors repeat what was typed in a form that a terminal can show."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Read the words before the name of a command."""
        with _plain_usage_errors():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """Read the words after it, and run it."""
        with _plain_usage_errors():
            return super().invoke(ctx)


class PlainFormatter(logging.Formatter):
    """Notes and warnings for a terminal: without control characters and secrets."""

    def format(self, record: logging.LogRecord) -> str:
        """As ever, and then made plain."""
        return plain(super().format(record), longest=LONGEST_MESSAGE, lines=True)


@contextmanager
def _plain_usage_errors() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if hasattr(error, "format_message"):  # typer's own, whose class has moved between its versions
            said = plain(error.format_message(), longest=LONGEST_MESSAGE)
            error.format_message = lambda: said
        raise
