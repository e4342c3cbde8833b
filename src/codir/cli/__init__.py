"""The command line: `codir --help`. Exit codes: 0 done, 2 the user's input, 130 or 143 stopped, 1 anything else."""

from __future__ import annotations

import os
import sys

from codir.cli.app import app
from codir.cli.stop import Stopped, stopped_by_signals
from codir.errors import UserError

__all__ = ["app", "main"]


def main() -> None:
    """Run the command line; a traceback only with `--debug`. Of several processes, one speaks for all."""
    try:
        with stopped_by_signals():
            app()
    except Stopped as stop:
        if _speaks_for_all():
            _say_in_red("Stopped", "", stop)
        sys.exit(stop.exit_code)
    except Exception as error:
        is_users = isinstance(error, UserError)
        if _speaks_for_all():
            if "--debug" in sys.argv:
                raise
            _say_in_red("Error", str(error) if is_users else f"{type(error).__name__}: {error}", error)
            if not is_users:
                print("`--debug` shows where it came from.", file=sys.stderr)
        sys.exit(2 if is_users else 1)


def _speaks_for_all() -> bool:
    """Whether this process is to report the end: it is alone, the main one, or failed alone."""
    if int(os.environ.get("WORLD_SIZE", "1")) <= 1:
        return True
    if "torch" not in sys.modules:  # nothing is loaded yet, and all processes have read the same words
        return os.environ.get("RANK", "0") == "0"
    from codir.system import speaks_for_all

    return speaks_for_all()


def _say_in_red(word: str, text: str, error: BaseException) -> None:
    """A word, what happened, and the notes that the error carries, such as how to go on."""
    from rich.console import Console
    from rich.markup import escape

    console = Console(stderr=True)
    console.print(f"[bold red]{word}[/bold red] {escape(text)}".rstrip(), soft_wrap=True)
    for note in getattr(error, "__notes__", ()):
        console.print(note, markup=False, highlight=False, soft_wrap=True)
