"""What ends a command before its end: one message that a terminal can show, and the exit code."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from typer.core import TyperGroup

from codir.cli.stop import Stopped
from codir.errors import LONGEST_MESSAGE, UserError, of_files
from codir.errors.shown import plain


def show_failure(error: Exception) -> int:
    """Print an error in one message; the exit code is 2 where the user can help it, and 1 otherwise."""
    of_user = error if isinstance(error, UserError) else of_files(error)
    notes = [*getattr(error, "__notes__", ()), *(["`--debug` shows where it came from."] if of_user is None else [])]
    _print("Error", of_user or f"{type(error).__name__}: {error}", notes)
    return 1 if of_user is None else 2


def show_stop(stop: Stopped) -> int:
    """Say that the run was asked to end, and how to go on; it may have been failing already, and have said so."""
    notes: dict[str, None] = {}
    error: BaseException | None = stop
    while error is not None:
        notes |= dict.fromkeys(getattr(error, "__notes__", ()))
        error = error.__context__
    _print("Stopped", "", list(notes))
    return stop.exit_code


def _print(word: str, said: object, notes: Sequence[str]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True)
    text = plain(said, longest=LONGEST_MESSAGE, lines=True)
    console.print((Text(f"{word} ", style="bold red") + text) if text else Text(word, style="bold red"), soft_wrap=True)
    for note in notes:
        console.print(plain(note, longest=LONGEST_MESSAGE), markup=False, highlight=False, soft_wrap=True)


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
