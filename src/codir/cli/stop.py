"""What Ctrl-C and SIGTERM do: the same, so that a run says what it saved before it ends."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stopped(BaseException):
    """The user, or the system, asked the run to end."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal.Signals(signal_number).name)
        self.exit_code = 128 + signal_number


AGAIN_SECONDS = 20.0
"""Python drops what is raised while it destroys an object; a signal that was lost so is repeated after this time."""


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Raise `Stopped` where this process gets SIGINT or SIGTERM; processes that it forks end as they otherwise would.

    Further signals change nothing, so that what is being saved and said comes to its end. Signals that are ignored stay
    so, as under `nohup`.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    own, is_over, asked = os.getpid(), threading.Event(), threading.Event()

    def ask_again(number: int) -> None:
        if not is_over.wait(AGAIN_SECONDS):
            asked.clear()
            os.kill(own, number)

    def stop(number: int, frame: FrameType | None) -> None:
        if os.getpid() != own:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        elif not asked.is_set():
            asked.set()
            threading.Thread(target=ask_again, args=(number,), daemon=True).start()
            raise Stopped(number)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, stop)
    try:
        yield
    finally:
        is_over.set()
        for number, handler in before.items():
            signal.signal(number, handler)
