"""The command line: `codir --help`. Exit codes: 0 done, 2 the user's input, 1 anything else."""

from __future__ import annotations

import sys

from codir.cli.app import app

__all__ = ["app", "main"]


def main() -> None:
    """Run the command line; a traceback only with `--debug`."""
    try:
        app()
    except Exception as error:
        if "--debug" in sys.argv:
            raise
        from codir.cli.failures import show_failure

        sys.exit(show_failure(error))
