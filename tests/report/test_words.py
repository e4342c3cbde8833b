"""Tables of words: what a terminal of 80 characters holds."""

from __future__ import annotations

import pytest
from rich.console import Console

from codir.report import to_terminal

RUN = ("largest class", "80.6%", "80.6%", "88.7%", "97.4%", "22.7M", "90.9 MB", "1,153")
RUN_HEAD = ("model", "accuracy", "macro f1", "agreement", "retention", "params", "on disk", "sent./s")
COMPARISON = ("pooled-mse-all", "88.32 ± 0.21", "+0.31 ± 0.22", "0.033", "98.1%", "0.921", "0.102", "5")
COMPARISON_HEAD = ("preset", "accuracy %", "against fine-tune", "p", "retention", "agreement", "s/step", "seeds")
EXPORT = ("openvino int8 static", "78.3%", "-0.1 (-1.1 to 0.8)", "438.0", "1,843", "14.7x", "1.6 ms")
EXPORT_HEAD = ("runs", "accuracy", "points lost", "MB", "sent./s", "faster", "1 row")


@pytest.mark.parametrize(
    ("head", "cells"), [(RUN_HEAD, RUN), (COMPARISON_HEAD, COMPARISON), (EXPORT_HEAD, EXPORT)], ids=lambda row: row[0]
)
def test_a_cell_that_80_characters_break(head, cells):
    console = Console(width=80)
    with console.capture() as shown:
        console.print(to_terminal([dict(zip(head, cells, strict=True))], title="t"))
    lines = shown.get().splitlines()
    assert all(len(line) <= 80 for line in lines)
    (row,) = [line for line in lines if cells[0] in line]
    assert all(cell in row for cell in cells)
