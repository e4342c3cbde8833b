"""Claim (g): how the cost of a step grows with layers, batch, length, negatives, rows and processes.

Every point is a process of its own (`scaling_point.py`); each axis starts from the same base point. A line is fitted
per axis by least squares, `cost = a + b x`, with its R^2 and the largest relative distance of a point from it, since
one far point can lift R^2 alone.

Run: python benchmarks/scaling.py; it writes benchmarks/results/performance/scaling.json. About five minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common import Spread, write_claim
from contrast import cached_teacher
from rich.filesize import decimal

from codir.memory import bank_bytes, choose_memory
from codir.runs.plan import sizes_on_paper
from codir.system import free_memory, resolve_dtype
from codir.teacher import choose_cache, count_readings

BASE = {"layers": 3, "batch": 32, "length": 32, "K": 100}
AXES = {
    "layers": (1, 2, 3, 4, 6),
    "batch": (8, 16, 32, 64),
    "length": (16, 32, 64, 128),
    "K": (16, 1_024, 4_096, 8_192, 16_384),
}
SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
SIZES_COUNT = 4_096
ROWS, STEPS = 40_000, 20
IN_WORDS = {
    "layers": "student layers",
    "batch": "rows per batch",
    "length": "tokens per row",
    "K": "negatives K",
    "N": "training rows N (contrast alone, with a bank)",
}


@dataclass(frozen=True)
class Fit:
    """A line through points: `a + b x`."""

    a: float
    b: float
    r_squared: float
    worst_deviation: float

    @classmethod
    def of(cls, x: Sequence[float], y: Sequence[float]) -> Fit:
        """Fit by least squares."""
        values = np.asarray(y)
        b, a = np.polyfit(x, values, 1)
        residuals = values - (a + b * np.asarray(x))
        spread = float(np.sum((values - values.mean()) ** 2))
        explained = 1.0 - float(np.sum(residuals**2)) / spread if spread else 1.0
        return cls(float(a), float(b), explained, float(np.max(np.abs(residuals) / values)))


def measure(point: dict[str, int], *, words: Sequence[str] = (), launcher: Sequence[str] = (), threads: int = 0) -> Any:
    """Run one point in a process of its own."""
    script = str(Path(__file__).with_name("scaling_point.py"))
    environment = {**os.environ, **({"OMP_NUM_THREADS": str(threads)} if threads else {})}
    run = subprocess.run(
        [sys.executable, *launcher, script, json.dumps(point), *words],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if run.returncode:
        raise RuntimeError(f"point {point} failed:\n{run.stderr[-3000:]}")
    return json.loads(run.stdout.splitlines()[-1])


def measure_axis(axis: str, values: Sequence[int], words: Sequence[str]) -> list[dict[str, Any]]:
    """All points of one axis, the others as in the base point."""
    points = []
    for value in values:
        point = {"N": value, "K": SIZES_COUNT} if axis == "N" else {**BASE, axis: value}
        found = measure(point, words=words)
        spread = Spread.of(found["seconds"])
        points.append(
            {
                "axis": axis,
                "x": value,
                "median ms": round(spread.median * 1e3, 3),
                "quartiles ms": [round(spread.lower_quartile * 1e3, 3), round(spread.upper_quartile * 1e3, 3)],
                "peak MB": round(found["peak_bytes"] / 1e6, 1) if found["peak_bytes"] else None,
            }
        )
        print(points[-1], flush=True)
    return points


def fit_axis(axis: str, points: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One row of the table: time and memory over an axis, each as a line."""
    x = [point["x"] for point in points]
    time = Fit.of(x, [point["median ms"] for point in points])
    row: dict[str, Any] = {
        "over": IN_WORDS[axis],
        "values": ", ".join(f"{value:,}" for value in x),
        "time = a + b x (ms)": f"{time.a:.3g} + {time.b:.3g} x",
        "R² of time": time.r_squared,
        "farthest point": f"{time.worst_deviation:.1%}",
    }
    if all(point["peak MB"] for point in points):
        memory = Fit.of(x, [point["peak MB"] for point in points])
        row |= {
            "peak memory = a + b x (MB)": f"{memory.a:.4g} + {memory.b:.3g} x",
            "R² of memory": memory.r_squared,
        }
    return row


def measure_processes(words: Sequence[str]) -> list[dict[str, Any]]:
    """The base point in one process and in two, with one thread each: twice the rows per step on twice the cores."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    seconds = {
        1: measure(BASE, words=words, threads=1)["seconds"],
        2: measure(BASE, words=words, threads=1, launcher=launcher)["seconds"],
    }
    rows = []
    for processes, found in seconds.items():
        median = Spread.of(found).median
        rate = processes * BASE["batch"] / median
        rows.append(
            {
                "processes": processes,
                "threads each": 1,
                "rows per step": processes * BASE["batch"],
                "median ms": median * 1e3,
                "rows per second": rate,
                "share of ideal": rate / (processes * BASE["batch"] / Spread.of(seconds[1]).median),
            }
        )
    return rows


def on_paper() -> dict[str, Any]:
    """RoBERTa-base over a billion sequences, 64 processes of 256 rows: bytes, and what the program's rules choose."""
    machine = {"free_memory": 64 * 10**9, "free_disk": 4 * 10**12}
    student_parameters = 82_000_000
    sizes = sizes_on_paper(
        10**9,
        layers=12,
        hidden=768,
        batch_size=256,
        processes=64,
        student_parameters=student_parameters,
        cache_itemsize=2,
        keys="fresh",
    )
    cache = choose_cache("auto", size=sizes.cache, readings=count_readings(1.0), free_disk=machine["free_disk"])
    memory = choose_memory(
        "auto",
        num_examples=10**9,
        dim=128,
        queue_size=65_536,
        itemsize=4,
        free_memory=machine["free_memory"],
        free_disk=0,
    )
    return {
        "what": "RoBERTa-base as the teacher (12 layers x 768, cached in fp16), P = 128, a billion sequences, one "
        f"pass, 64 processes of 256 rows per step, a student of {student_parameters / 1e6:.0f} million parameters, "
        f"{decimal(machine['free_memory'])} of free memory and {decimal(machine['free_disk'])} of free "
        "disk",
        "rows": [{"what": name.replace("_", " "), "bytes": decimal(size)} for name, size in asdict(sizes).items()],
        "rules": [cache.line, memory.line],
    }


def main() -> None:
    """Measure every axis, fit, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="two points per axis, few steps, and nothing is written")
    is_smoke = parser.parse_args().smoke
    axes = {axis: values[:2] for axis, values in AXES.items()} if is_smoke else AXES
    sizes = [size for size in SIZES[: 2 if is_smoke else None] if 2 * bank_bytes(size, 128) < free_memory()]
    rows, steps = (4_000, 2) if is_smoke else (ROWS, STEPS)
    with tempfile.TemporaryDirectory(prefix="codir-scaling-") as folder:
        cached_teacher(rows, Path(folder))
        words = [f"--table={folder}", f"--rows={rows}", f"--steps={steps}"]
        found = {axis: measure_axis(axis, values, words) for axis, values in axes.items()}
        found["N"] = measure_axis("N", sizes, [f"--steps={2 * steps}"])
        processes = measure_processes(words)
    table = [fit_axis(axis, points) for axis, points in found.items()]
    linear = {axis: row["R² of time"] for axis, row in zip(found, table, strict=True) if axis in AXES}
    if is_smoke:
        print(table, processes, on_paper(), sep="\n")
        return
    write_claim(
        "scaling",
        "time per step grows linearly in student layers, rows per batch, tokens per row and negatives: the smallest "
        "R² of the four fits",
        value=min(linear.values()),
        bound=0.95,
        direction="at least",
        rows=table,
        points=[point for points in found.values() for point in points],
        processes=processes,
        on_paper=on_paper(),
        conditions={
            "dtype": str(resolve_dtype("auto")).removeprefix("torch."),
            "teacher": "MiniLM, 6 layers x 384, cached",
            "objectives": "preset codir-fresh: labels, soft targets, contrast with the student's anchor",
            "base_point": BASE,
            "training_rows": ROWS,
            "steps": STEPS,
        },
    )


if __name__ == "__main__":
    main()
