"""How far a run has come. Rooms open phases; who watches them is set from outside, and without a watcher nothing shows.

Knows nothing of terminals.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from codir.errors.shown import plain


@dataclass(eq=False)
class Phase:
    """A part of a run that takes a while.

    Attributes:
        name: what a watcher calls it.
        total: how much there is to do; `None` where nobody knows.
        unit: of what, in the plural.
        done: how much of it is done, also before this process began.
        is_inner: whether it is part of another phase.
        said: numbers by group and name, such as the losses of training; the last ones.
    """

    name: str
    total: int | None = None
    unit: str = "rows"
    done: int = 0
    is_inner: bool = False
    said: dict[str, dict[str, float]] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.done_before = self.done

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self.began

    @property
    def rate(self) -> float | None:
        """Units per second, on average; `None` before the first."""
        done, seconds = self.done - self.done_before, self.seconds
        return done / seconds if done and seconds else None

    @property
    def seconds_left(self) -> float | None:
        """At this rate."""
        return None if self.total is None or self.rate is None else max(0, self.total - self.done) / self.rate

    def advance(self, count: int = 1) -> None:
        """So much more is done."""
        self.done += count
        if (watcher := _watcher()) is not None:
            watcher.advanced(self)

    def say(self, group: str, numbers: Mapping[str, float]) -> None:
        """Numbers that the phase has come to."""
        self.said[group] = dict(numbers)
        if (watcher := _watcher()) is not None:
            watcher.heard(self, group)

    def end(self) -> None:
        """It is over, and so are the phases within it."""
        while self in _open:
            last = _open.pop()
            if (watcher := _watcher()) is not None:
                watcher.ended(last)


class Watcher(Protocol):
    """Who is shown phases. Called between the steps of a training, so it has to return at once."""

    def begun(self, phase: Phase) -> None:
        """A phase begins."""

    def advanced(self, phase: Phase) -> None:
        """More of it is done."""

    def heard(self, phase: Phase, group: str) -> None:
        """It has said a group of numbers."""

    def ended(self, phase: Phase) -> None:
        """It is over."""


_open: list[Phase] = []
_watching: list[tuple[Watcher, int]] = []


def _watcher() -> Watcher | None:
    """The watcher of this very process: one that was forked has none."""
    return _watching[-1][0] if _watching and _watching[-1][1] == os.getpid() else None


def is_watched() -> bool:
    """Whether phases are shown to anybody, who then shows training too.

    Example:
        >>> is_watched()
        False
    """
    return _watcher() is not None


def begin(name: str, total: int | None = None, *, unit: str = "rows", done: int = 0) -> Phase:
    """Open a phase that `Phase.end` closes."""
    phase = Phase(plain(name), total, unit, done, is_inner=bool(_open))
    _open.append(phase)
    if (watcher := _watcher()) is not None:
        watcher.begun(phase)
    return phase


@contextmanager
def phase(name: str, total: int | None = None, *, unit: str = "rows") -> Iterator[Phase]:
    """A phase that lasts as long as the block.

    Example:
        >>> with phase("reading", total=2) as reading:
        ...     reading.advance()
        ...     reading.done, reading.total
        (1, 2)
    """
    begun = begin(name, total, unit=unit)
    try:
        yield begun
    finally:
        begun.end()


def advance(count: int = 1) -> None:
    """So much more of the innermost phase is done; for functions whose hash must not depend on a phase."""
    if _open:
        _open[-1].advance(count)


@contextmanager
def watched_by(watcher: Watcher) -> Iterator[None]:
    """Show phases to a watcher while the block lasts; those left open by a failure are closed."""
    before = list(_open)
    _open.clear()
    _watching.append((watcher, os.getpid()))
    try:
        yield
    finally:
        if _open:
            _open[0].end()
        _watching.pop()
        _open[:] = before
