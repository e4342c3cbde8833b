"""Claim (f): `codir --help` answers at once, and the first training step comes soon after a launch with a warm cache.

Every repeat is a fresh process of the real command line. The first step has ended when its log line (`logging_steps=1`)
arrives; the process is stopped there, and what it would have done after that is not counted.

Run: python benchmarks/startup.py; it writes benchmarks/results/performance/startup-*.json.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from common import Spread, write_claim

from codir.data import DEMO_SOURCE, find_minilm
from codir.models import load_model, load_tokenizer
from codir.system import resolve_dtype

CODIR = [sys.executable, "-m", "codir"]
HEAVY = ("torch", "transformers", "datasets", "numpy", "pydantic")
STEP_LINE = "training: 1 of "
"""The line that plain output has after the first step."""
MILESTONES = {"The teacher's accuracy": "teacher scored on the dev rows", "teacher cache: reusing": "cache found"}


def time_help() -> float:
    """Wall seconds of `codir --help`."""
    start = time.perf_counter()
    subprocess.run([*CODIR, "--help"], capture_output=True, check=True)
    return time.perf_counter() - start


def imported_by_help() -> list[str]:
    """Which of the heavy packages `codir --help` imports."""
    probe = (
        "import atexit, sys\n"
        "sys.argv = ['codir', '--help']\n"
        f"atexit.register(lambda: print('imported:', *(name for name in {HEAVY} if name in sys.modules)))\n"
        "from codir.cli import main\n"
        "main()"
    )
    printed = subprocess.run([sys.executable, "-c", probe], capture_output=True, check=True, text=True).stdout
    return printed.rpartition("imported:")[2].split()


def save_teacher(folder: Path) -> Path:
    """MiniLM with a seeded head: what a launch costs does not depend on the weights."""
    torch.manual_seed(0)
    tokenizer = load_tokenizer(find_minilm())
    head = {"num_labels": 2, "problem_type": "single_label_classification"}
    load_model(find_minilm(), tokenizer, head=head).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def distill_command(teacher: Path, folder: Path, *settings: str) -> list[str]:
    """`codir distill` on the demo's data; logged at every step, so that the first is seen."""
    given = {"--teacher": teacher, "--data": DEMO_SOURCE, "--student-layers": 3, "--max-length": 64}
    given |= {"--cache-dir": folder / "cache", "--output-dir": folder / "student"}
    words = [str(word) for flag in given.items() for word in flag]
    told = ("training.logging_steps=1", "training.disable_tqdm=true", *settings)
    return [*CODIR, "distill", *words, "--overwrite", *(word for setting in told for word in ("--set", setting))]


def time_first_step(command: Sequence[str]) -> dict[str, float]:
    """Seconds from launch to each milestone and to the end of the first optimiser step."""
    start = time.perf_counter()
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    assert process.stdout is not None
    seen: dict[str, float] = {}
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        now = time.perf_counter() - start
        seen |= {name: now for sign, name in MILESTONES.items() if sign in line and name not in seen}
        if STEP_LINE in line:
            process.kill()
            process.wait()
            return {**seen, "first step ended": now}
    raise RuntimeError("codir distill ended before its first step:\n" + "".join(lines))


def measure_help(repeats: int) -> list[float]:
    """Repeats after one that warms the disk."""
    time_help()
    return [time_help() for _ in range(repeats)]


def measure_first_step(folder: Path, repeats: int, *settings: str) -> tuple[float, list[dict[str, float]]]:
    """Seconds of the launch that builds the cache, and of the launches that find it."""
    command = distill_command(save_teacher(folder / "teacher"), folder, *settings)
    cold = time_first_step(command)
    warm = [time_first_step(command) for _ in range(repeats)]
    if not all("cache found" in seen for seen in warm):
        raise RuntimeError("a launch that was to find the cache built it anew")
    return cold["first step ended"], warm


def write_help(seconds: Sequence[float], imported: Sequence[str]) -> None:
    """The first claim."""
    spread = Spread.of(seconds)
    quartiles = f"{spread.lower_quartile:.3f} to {spread.upper_quartile:.3f}"
    row = {"command": "codir --help", "median s": spread.median, "quartiles s": quartiles, "repeats": spread.repeats}
    write_claim(
        "startup-help",
        "seconds of `codir --help` in a fresh process, median",
        value=spread.median,
        bound=0.3,
        direction="at most",
        rows=[{**row, "imports torch": "torch" in imported}],
        conditions={"dtype": "none"},
        heavy_packages_imported=list(imported),
    )


def write_first_step(cold: float, warm: Sequence[dict[str, float]]) -> None:
    """The second claim."""
    rows: list[dict[str, Any]] = []
    for name in warm[0]:
        spread = Spread.of([seen[name] for seen in warm])
        quartiles = f"{spread.lower_quartile:.1f} to {spread.upper_quartile:.1f}"
        rows.append({"since launch": name, "median s": spread.median, "quartiles s": quartiles, "repeats": len(warm)})
    rows.append({"since launch": "first step ended, cache built", "median s": cold, "quartiles s": "", "repeats": 1})
    write_claim(
        "startup-first-step",
        "seconds from launching `codir distill`, teacher cache warm, to the end of its first training step, median",
        value=rows[-2]["median s"],
        bound=10.0,
        direction="at most",
        rows=rows,
        conditions={
            "dtype": str(resolve_dtype("auto")).removeprefix("torch."),
            "teacher": "MiniLM, 6 layers x 384",
            "data": "Rotten Tomatoes, 7,530 training and 1,000 dev rows",
            "batch_size": 32,
            "max_length": 64,
        },
    )


def main() -> None:
    """Measure both claims."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15, help="of `codir --help`")
    parser.add_argument("--launches", type=int, default=5, help="of `codir distill` with a warm cache")
    parser.add_argument("--smoke", action="store_true", help="few repeats and rows, and nothing is written")
    options = parser.parse_args()
    settings = ["data.max_train_rows=200"] if options.smoke else []
    seconds = measure_help(2 if options.smoke else options.repeats)
    imported = imported_by_help()
    if not options.smoke:
        write_help(seconds, imported)
    with tempfile.TemporaryDirectory(prefix="codir-startup-") as folder:
        cold, warm = measure_first_step(Path(folder), 1 if options.smoke else options.launches, *settings)
    if not options.smoke:
        write_first_step(cold, warm)
        return
    print(seconds, imported, cold, warm, sep="\n")


if __name__ == "__main__":
    main()
