"""A short version of `make torture`: real runs, killed at random moments and resumed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.training

SCRIPT = Path(__file__).parents[2] / "scripts" / "torture.py"
KILLS = 3


def test_a_killed_run_that_is_lost_or_ends_elsewhere(tmp_path):
    words = ["--kills", KILLS, "--steps", 12, "--processes", 0, "--seed", 5]
    words += ["--folder", tmp_path / "runs", "--json", tmp_path / "json"]
    done = subprocess.run([sys.executable, str(SCRIPT), *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    counts = json.loads((tmp_path / "json").read_text())
    assert counts["kills"] == KILLS
    assert sum(counts["kills_by"].values()) == KILLS
    assert counts["runs"] >= 1
