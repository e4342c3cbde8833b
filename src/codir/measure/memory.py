"""How much memory a model takes, in a process of its own, so that nothing else is counted."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psutil

STATUS = Path("/proc/self/status")


def peak_bytes(work: Callable[[], Any]) -> int:
    """Bytes that a fresh process takes at most while it works, beyond what it had when it began.

    Args:
        work: can be pickled, such as a `functools.partial` of a function; loads a model and asks it.

    Example:
        >>> from functools import partial
        >>> from operator import mul
        >>> 40e6 < peak_bytes(partial(mul, b"x", 50_000_000)) < 80e6
        True
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_peak_of, work).result()


def _peak_of(work: Callable[[], Any]) -> int:
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
