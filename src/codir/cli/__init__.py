"""The command line: `codir --help`. Exit codes: 0 done, 2 the user's input, 130 or 143 stopped, 1 anything else."""

from __future__ import annotations

import os
import sys

from codir.cli.app import app
from codir.cli.display import no_fork_warning
from codir.cli.stop import Stopped, stopped_by_signals

__all__ = ["app", "main"]


def main() -> None:
    """Run the command line; a traceback only with `--debug`. Of several processes, one speaks for all."""
    with stopped_by_signals():
        try:
            no_fork_warning()
            app()
        except Stopped as stop:
            if _speaks_for_all():
                from codir.cli.failures import show_stop

                show_stop(stop)
            sys.exit(stop.exit_code)
        except Exception as error:
            sys.exit(_end_of(error))


def _end_of(error: Exception) -> int:
    """Say why the command ended, and give the exit code."""
    from codir.cli.failures import show_failure
    from codir.errors import CompleteError, UserError, of_files

    if isinstance(error, CompleteError):  # nothing is wrong: there is nothing left to do
        if _speaks_for_all():
            print(error)
        return 0
    if not _speaks_for_all():
        return 2 if isinstance(error, UserError) or of_files(error) else 1
    if "--debug" in sys.argv:
        raise error
    return show_failure(error)


def _speaks_for_all() -> bool:
    """Whether this process is to report the end: it is alone, the main one, or failed alone."""
    if int(os.environ.get("WORLD_SIZE", "1")) <= 1:
        return True
    if "torch" not in sys.modules:  # nothing is loaded yet, and all processes have read the same words
        return os.environ.get("RANK", "0") == "0"
    from codir.system import speaks_for_all

    return speaks_for_all()
