"""Memory that a model takes in a process of its own, whatever is printed there."""

from __future__ import annotations

import os
from functools import partial

from codir.measure import peak_bytes


def test_an_engine_that_prints_and_is_taken_for_the_answer():
    """From C, past Python's own `sys.stdout`."""
    assert 0 <= peak_bytes(partial(os.write, 1, b"12345678901234 bytes\n")) < 50e6
