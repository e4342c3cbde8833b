"""How phases look: drawn in a terminal, or as plain lines. Imports no torch."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType

    from codir.system.progress import Phase, Watcher

SECONDS_BETWEEN_LINES, LINES_OF_A_PHASE = 30.0, 10
"""A phase that is not live says how far it is after so long, or after such a part of it: whatever comes first."""
SECONDS_OF_NOTE = 2.0
"""A phase of this length says at its end what it took."""
FRAMES_PER_SECOND = 4


# ---- Phases in words ----


def describe_begin(phase: Phase) -> str:
    """The line that a phase begins with.

    Example:
        >>> from codir.system.progress import Phase
        >>> describe_begin(Phase("tokenising", 7530))
        'tokenising: 7,530 rows'
    """
    return phase.name if phase.total is None else f"{phase.name}: {phase.total:,} {phase.unit}"


def describe_end(phase: Phase) -> str:
    """The line that a phase ends with."""
    done = f"{phase.done - phase.done_before:,} {phase.unit} in " if phase.done > phase.done_before else ""
    return f"{phase.name}: {done}{in_time(phase.seconds)}"


def describe_progress(phase: Phase) -> str:
    """How far it is, how fast, how much is left."""
    parts = [f"{phase.done:,} of {phase.total:,} {phase.unit}" if phase.total else f"{phase.done:,} {phase.unit}"]
    if phase.rate is not None:
        parts.append(f"{in_rate(phase.rate)} {phase.unit}/s")
    if phase.seconds_left is not None:
        parts.append(f"{in_time(phase.seconds_left)} left")
    return f"{phase.name}: {', '.join(parts)}"


def describe_numbers(numbers: Mapping[str, float]) -> str:
    """Numbers with their names.

    Example:
        >>> describe_numbers({"loss": 0.51234, "learning rate": 9.4e-05, "stage": 2.0})
        'loss 0.5123, learning rate 9.4e-05, stage 2'
    """
    return ", ".join(f"{name} {value:.4g}" for name, value in numbers.items())


def in_time(seconds: float) -> str:
    """Minutes and seconds, hours where there are any.

    Example:
        >>> in_time(7.04), in_time(59.97), in_time(75), in_time(3700)
        ('7.0 s', '1:00', '1:15', '1:01:40')
    """
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def in_rate(rate: float) -> str:
    """A rate with two digits that matter.

    Example:
        >>> in_rate(0.123), in_rate(3.14159), in_rate(99.7), in_rate(6275.4)
        ('0.12', '3.1', '100', '6,275')
    """
    return f"{rate:,.0f}" if rate >= 99.5 else f"{rate:.2g}"


# ---- Who watches ----


class Lines:
    """Says in plain lines what goes on: each phase's beginning, its end, and a little between."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self.write = write
        self._told: dict[Phase, tuple[float, int]] = {}

    def begun(self, phase: Phase) -> None:
        """A line, unless it is part of another phase."""
        self._told[phase] = (time.monotonic(), phase.done)
        if not phase.is_inner:
            self.write(describe_begin(phase))

    def advanced(self, phase: Phase) -> None:
        """A line now and then."""
        when, done = self._told.get(phase, (0.0, 0))
        is_time = time.monotonic() - when >= SECONDS_BETWEEN_LINES
        is_part = phase.total is not None and (phase.done - done) * LINES_OF_A_PHASE >= phase.total > LINES_OF_A_PHASE
        is_part = is_part and "training" in phase.said
        is_first = phase.unit == "steps" and phase.done == phase.done_before + 1
        if phase.is_inner or phase.done == phase.total or not (is_first or is_time or is_part):
            return
        self._told[phase] = (time.monotonic(), phase.done)
        numbers = describe_numbers(phase.said.get("training", {}))
        self.write(describe_progress(phase) + (f"; {numbers}" if numbers else ""))

    def heard(self, phase: Phase, group: str) -> None:
        """Metrics are said at once; losses come with the next line."""
        if group == "evaluation" and not phase.is_inner:
            self.write(f"{phase.name}, step {phase.done:,}: {describe_numbers(phase.said[group])}")

    def ended(self, phase: Phase) -> None:
        """A line, if it took long."""
        self._told.pop(phase, None)
        if not phase.is_inner and phase.seconds >= SECONDS_OF_NOTE:
            self.write(describe_end(phase))


class Live:
    """The phases that are open, drawn anew a few times a second; each leaves a line when it ends.

    Drawing is a thread of its own: a phase that goes on costs the training nothing.
    """

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live as Drawing

        self.console = Console(stderr=True, highlight=False)
        self._open: list[Phase] = []
        self._has_begun, self._started = False, time.monotonic()
        self._drawing = Drawing(
            self,  # asked for its picture each time: with `get_renderable`, a line would bring back the one before
            console=self.console,
            refresh_per_second=FRAMES_PER_SECOND,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def start(self) -> None:
        """Draw until `stop`."""
        self._drawing.start()

    def stop(self) -> None:
        """Leave the terminal to others."""
        self._drawing.stop()

    def write(self, line: str) -> None:
        """A line above what is drawn, broken between words; one that holds a long path is left to the terminal."""
        is_long_word = any(len(word) > self.console.width for word in line.split())
        self.console.print(line, markup=False, soft_wrap=is_long_word)

    def begun(self, phase: Phase) -> None:
        """Draw it too."""
        self._has_begun = True
        self._open.append(phase)

    def advanced(self, phase: Phase) -> None:
        """The next picture shows it."""

    def heard(self, phase: Phase, group: str) -> None:
        """The next picture shows it."""

    def ended(self, phase: Phase) -> None:
        """A line stays, and under it one for each group of numbers; the learning rate has come to its end."""
        self._open = [one for one in self._open if one is not phase]
        if phase.is_inner:
            return
        said = {group: {**numbers} for group, numbers in phase.said.items()}
        for numbers in said.values():
            numbers.pop("learning rate", None)
        lines = [f"  {group}: {describe_numbers(numbers)}" for group, numbers in said.items()]
        self.write("\n".join([describe_end(phase), *lines]))

    def __rich__(self) -> RenderableType:
        """A row for each open phase, and under it what it has said; before the first, how long loading takes."""
        from rich.console import Group
        from rich.padding import Padding
        from rich.text import Text

        rows: list[RenderableType] = []
        if not self._has_begun:
            rows.append(Text(f"loading {in_time(time.monotonic() - self._started)}"))
        for phase in list(self._open):
            rows.append(self._row(phase))
            for group, numbers in list(phase.said.items()):
                words = Text(f"{group}: ", style="dim") + Text(describe_numbers(numbers))
                rows.append(Padding(words, (0, 0, 0, 2)))
        return Group(*rows)

    def _row(self, phase: Phase) -> RenderableType:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        name, _, rest = describe_progress(phase).partition(": ")
        row = Table.grid(padding=(0, 1), expand=phase.total is not None)
        row.add_column(no_wrap=True)
        if phase.total is None:
            row.add_row(Text(name, style="bold"), Text(rest if phase.done else in_time(phase.seconds)))
            return row
        row.add_column(ratio=1, min_width=4)
        row.add_column(no_wrap=True, justify="right")
        row.add_row(Text(name, style="bold"), ProgressBar(phase.total, phase.done), Text(rest))
        return row


class Several:
    """More than one watcher."""

    def __init__(self, watchers: Sequence[Watcher]) -> None:
        self.watchers = watchers

    def begun(self, phase: Phase) -> None:
        """All are shown it."""
        for watcher in self.watchers:
            watcher.begun(phase)

    def advanced(self, phase: Phase) -> None:
        """All are shown it."""
        for watcher in self.watchers:
            watcher.advanced(phase)

    def heard(self, phase: Phase, group: str) -> None:
        """All are shown it."""
        for watcher in self.watchers:
            watcher.heard(phase, group)

    def ended(self, phase: Phase) -> None:
        """All are shown it."""
        for watcher in self.watchers:
            watcher.ended(phase)
