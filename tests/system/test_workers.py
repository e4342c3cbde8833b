"""Work side by side: nothing is lost, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from codir.errors import UserError
from codir.system import Broken, work_side_by_side

pytestmark = pytest.mark.training  # each process loads torch


def divide(item: int, shared: int) -> float:
    if item < 0:
        raise UserError("item", expected="a positive number", got=str(item), do="take another")
    if item == 13:
        os._exit(1)
    return shared / item


def test_an_item_that_takes_the_others_with_it():
    outcomes = dict(work_side_by_side(divide, [13, 1, 2, -1, 0], partial(int, 6), jobs=2))
    assert outcomes[1] == 6.0
    assert outcomes[2] == 3.0
    assert "a positive number" in outcomes[-1].why
    assert outcomes[0].why.startswith("ZeroDivisionError: ")
    assert outcomes[13] == Broken("its process died; out of memory, perhaps")


def test_processes_that_outlive_a_killed_parent(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text("""
import os, sys, time
from functools import partial
from pathlib import Path
from codir.system.workers import work_side_by_side

def wait(item, folder):
    (Path(folder) / f"{os.getpid()}.pid").touch()
    time.sleep(300)

if __name__ == "__main__":
    list(work_side_by_side(wait, [0, 1], partial(str, sys.argv[1]), jobs=2))
""")
    parent = subprocess.Popen([sys.executable, str(script), str(tmp_path)])
    try:
        assert soon(lambda: len(list(tmp_path.glob("*.pid"))) == 2)
    finally:
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
    workers = [int(path.stem) for path in tmp_path.glob("*.pid")]
    assert soon(lambda: not any(is_running(worker) for worker in workers))


def soon(is_so, seconds: float = 120.0) -> bool:
    deadline = time.monotonic() + seconds
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.05)
    return is_so()


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_parent_that_waits_for_its_processes_though_it_is_to_stop(tmp_path):
    """Asked to stop, it does not wait for what they are at, which may take hours."""
    script = tmp_path / "parent.py"
    script.write_text("""
import sys, time
from functools import partial
from pathlib import Path
from codir.cli.stop import Stopped, stopped_by_signals
from codir.system.workers import work_side_by_side

def wait(item, folder):
    (Path(folder) / f"{item}.busy").touch()
    time.sleep(3000)

if __name__ == "__main__":
    try:
        with stopped_by_signals():
            list(work_side_by_side(wait, [0, 1], partial(str, sys.argv[1]), jobs=2))
    except Stopped as stop:
        sys.exit(stop.exit_code)
""")
    parent = subprocess.Popen([sys.executable, str(script), str(tmp_path)])
    try:
        assert soon(lambda: len(list(tmp_path.glob("*.busy"))) == 2)
        parent.send_signal(signal.SIGTERM)
        assert parent.wait(timeout=120) == 143
    finally:
        parent.kill()
