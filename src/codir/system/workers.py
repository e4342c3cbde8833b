"""Work done one after another, or side by side in processes of its own. Knows nothing of what the work is."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from codir.errors import UserError

Shared = TypeVar("Shared")
Item = TypeVar("Item")
Result = TypeVar("Result")

_shared: Any = None
"""What this process has made for all of its items."""


@dataclass(frozen=True)
class Broken:
    """What came of an item in place of a result: why there is none, in one line."""

    why: str


def work_in_turn(
    work: Callable[[Item, Shared], Result], items: Sequence[Item], shared: Shared
) -> Iterator[tuple[Item, Result | Broken]]:
    """Do `work(item, shared)` for one item after another, here; one that raises does not stop the others.

    Example:
        >>> list(work_in_turn(lambda item, shared: shared / item, [2, 0], 1.0))
        [(2, 0.5), (0, Broken(why='ZeroDivisionError: float division by zero'))]
    """
    for item in items:
        yield item, _attempt(work, item, shared)


def work_side_by_side(
    work: Callable[[Item, Shared], Result], items: Sequence[Item], make_shared: Callable[[], Shared], *, jobs: int
) -> Iterator[tuple[Item, Result | Broken]]:
    """The same in several processes, which share out torch's threads; yields each item as it is done.

    Where an item takes its process with it, those that were not done yet get processes of their own, one by one.
    Processes end with this one, whatever ends it.

    Args:
        work: a function at the top of a module.
        items: begun in this order; they are sent to the processes.
        make_shared: called once in each process.
        jobs: how many processes.
    """
    undone = []
    for item, outcome in _work_in_pool(work, items, make_shared, jobs):
        if outcome is None:
            undone.append(item)
        else:
            yield item, outcome
    for item in undone:
        for _, outcome in _work_in_pool(work, [item], make_shared, jobs):
            yield item, outcome or Broken("its process died; out of memory, perhaps")


def _work_in_pool(
    work: Callable[[Item, Shared], Result], items: Sequence[Item], make_shared: Callable[[], Shared], jobs: int
) -> Iterator[tuple[Item, Result | Broken | None]]:
    """Items as they are done; `None` for those that were not when a process died."""
    threads = max(1, torch.get_num_threads() // jobs)
    spawn = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    pool = ProcessPoolExecutor(jobs, spawn, initializer=_begin, initargs=(make_shared, threads))
    try:
        futures: dict[Future[Any], Item] = {pool.submit(_attempt_here, work, item): item for item in items}
        for future in as_completed(futures):
            died = isinstance(future.exception(), BrokenProcessPool)
            yield futures[future], None if died else future.result()
    except Exception:
        raise
    except BaseException:  # asked to stop: nobody waits for what the processes are at
        for process in list((pool._processes or {}).values()):
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(make_shared: Callable[[], Any], threads: int) -> None:
    global _shared
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    _shared = make_shared()


def _end_with_parent() -> None:
    """A killed parent tells its workers nothing; they would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _attempt_here(work: Callable[[Any, Any], Any], item: Any) -> Any:
    return _attempt(work, item, _shared)


def _attempt(work: Callable[[Item, Shared], Result], item: Item, shared: Shared) -> Result | Broken:
    try:
        return work(item, shared)
    except Exception as error:  # whatever it is; words cross between processes, and not every exception does
        words = " ".join(str(error).split())
        return Broken(words if isinstance(error, UserError) else f"{type(error).__name__}: {words}")
