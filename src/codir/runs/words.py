"""How to go on with a run that stopped, in words."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

AGAIN = {"demo": ["--overwrite"], "compare": [], "sweep": []}
"""What a command is started again with: a demo is begun anew, and those that keep what is finished need no word."""


def command_again() -> str | None:
    """The command that goes on with this one; `None` where codir was called from Python.

    Example:
        >>> command_again() is None
        True
    """
    program, *words = sys.argv
    is_command = Path(program).name == "codir" or Path(program).parts[-2:] == ("codir", "__main__.py")
    if not is_command or not words:
        return None
    kept = [word for word in words if word not in ("--overwrite", "--resume")]
    processes = os.environ.get("LOCAL_WORLD_SIZE", "1")
    start = ["torchrun", "--nproc-per-node", processes, "-m"] if int(processes) > 1 else []
    return shlex.join([*start, "codir", *kept, *AGAIN.get(words[0], ["--resume"])])


def how_to_go_on(saved: Path | None, command: str | None) -> str:
    """What is saved, and the command or the call that goes on from there."""
    kept = f"Saved so far: {saved}." if saved else "No checkpoint was saved yet."
    return f"{kept} To go on: {command or 'make the same call with `resume=True`'}"


@contextmanager
def telling(fail: Callable[[BaseException], None]) -> Iterator[None]:
    """Call `fail` with whatever ends the block early, and again with what interrupts that, such as a signal."""
    try:
        yield
    except BaseException as error:
        try:
            fail(error)
        except BaseException as second:
            fail(second)
            raise
        raise
