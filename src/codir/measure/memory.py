"""How much memory a model takes, in a process of its own, so that nothing else is counted."""

from __future__ import annotations

import os
import pickle
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil

from codir.errors import UserError

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
BEGIN = "from codir.measure.memory import measure_given; measure_given()"


def peak_bytes(work: Callable[[], Any], packages: Sequence[str] = ()) -> int:
    """Bytes that a fresh process takes at most while it works, beyond what it had when it began.

    Args:
        work: can be pickled, such as a `functools.partial` of a function; loads a model and asks it.
        packages: that are loaded before anything is counted.

    Raises:
        UserError: the process died, for lack of memory perhaps.

    Example:
        >>> from functools import partial
        >>> from operator import mul
        >>> 40e6 < peak_bytes(partial(mul, b"x", 50_000_000)) < 80e6
        True
    """
    known = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    given = pickle.dumps((tuple(packages), work))
    # Processes of `multiprocessing` would run the script that called this a second time.
    done = subprocess.run([sys.executable, "-c", BEGIN], input=given, capture_output=True, env=known, check=False)
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise UserError(
            "memory",
            expected="a process of its own that loads the model and reads a batch",
            got=f"one that ended with {done.returncode}" + (f" ({said[-1]})" if said else ""),
            do="free some memory, and try again",
        )
    return int(done.stdout)


def measure_given() -> None:
    """In the fresh process: do the work that stands on the standard input, and print what it took."""
    answer = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what an engine prints, from C too, is not the answer
    packages, work = pickle.loads(sys.stdin.buffer.read())
    for name in packages:
        import_module(name)
    os.write(answer, str(_peak_of(work)).encode())


def _peak_of(work: Callable[[], Any]) -> int:
    with suppress(OSError):  # Linux: forget the peak of what was loaded before
        CLEAR.write_text("5")
    before = psutil.Process().memory_info().rss
    kept = work()
    most = _high_water()
    del kept
    return max(0, most - before)


def _high_water() -> int:
    """The most that this program had in memory; Linux counts what its parent had into `ru_maxrss`, but not here."""
    lines = STATUS.read_text().splitlines() if STATUS.is_file() else []
    noted = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    if noted:
        return int(noted[0]) * 1024
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * (1 if sys.platform == "darwin" else 1024)
