"""The command line: `codir --help`. Exit codes: 0 done, 2 the user's input, 1 anything else."""

from __future__ import annotations

import sys

from codir.cli.app import app
from codir.errors import UserError

__all__ = ["app", "main"]


def main() -> None:
    """Run the command line; a traceback only with `--debug`."""
    try:
        app()
    except Exception as error:
        if "--debug" in sys.argv:
            raise
        from rich.console import Console
        from rich.markup import escape

        is_users = isinstance(error, UserError)
        kind = "" if is_users else f"{type(error).__name__}: "
        Console(stderr=True).print(f"[bold red]Error[/bold red] {escape(kind + str(error))}", soft_wrap=True)
        if not is_users:
            Console(stderr=True).print("[dim]`--debug` shows where it came from.[/dim]")
        sys.exit(2 if is_users else 1)
