"""Sentences per second, and milliseconds for one, measured side by side.

Sees runners and batches; knows nothing of teachers and students.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from codir.errors import UserError
from codir.measure.runner import Runner, TensorBatch
from codir.system.progress import phase


@dataclass(frozen=True)
class Throughput:
    """How many sentences (rows) a model reads in a second.

    Attributes:
        sentences_per_second: the median over the repeats.
        spread: the slowest and the fastest repeat.
    """

    sentences_per_second: float
    spread: tuple[float, float]


@dataclass(frozen=True)
class Latency:
    """How long a model takes for one sentence (a batch of one row), in milliseconds.

    Attributes:
        p50: half of the sentences are faster.
        p95: 95% are.
        p99: 99% are.
        rows: how many were timed.
    """

    p50: float
    p95: float
    p99: float
    rows: int


def measure_throughputs(
    runners: Mapping[str, Runner],
    batches_of: Mapping[str, Sequence[TensorBatch]],
    *,
    warmup: int = 2,
    repeats: int = 3,
) -> dict[str, Throughput]:
    """Measure several models in turns, so that a drift of the machine affects all alike.

    Only the model is timed: batches are placed before the clock starts, and nothing is tokenized.

    Args:
        runners: by name.
        batches_of: what each model reads, by the same names.
        warmup: batches that each model reads before the clock starts.
        repeats: timed passes over all batches; the median counts.

    Raises:
        UserError: there is nothing to read.
    """
    placed = {name: [runner.place(batch) for batch in batches_of[name]] for name, runner in runners.items()}
    if not all(placed.values()):
        raise UserError("throughput", expected="at least one batch", got="none", do="give rows to read")
    rates: dict[str, list[float]] = {name: [] for name in runners}
    for name, runner in runners.items():
        _time_pass(runner, placed[name][:warmup])
    with phase("timed passes", repeats * len(runners), unit="passes") as progress:
        for _ in range(repeats):
            for name, runner in runners.items():
                sentences = sum(len(next(iter(batch.values()))) for batch in placed[name])
                rates[name].append(sentences / _time_pass(runner, placed[name]))
                progress.advance()
    return {name: Throughput(statistics.median(found), (min(found), max(found))) for name, found in rates.items()}


def measure_latencies(
    runners: Mapping[str, Runner], batches_of: Mapping[str, Sequence[TensorBatch]], *, warmup: int = 3, turns: int = 5
) -> dict[str, Latency]:
    """Time each sentence of several models, a part of the sentences at a time, the models in turns.

    Args:
        runners: by name.
        batches_of: what each model reads, a batch of one row for each sentence, by the same names.
        warmup: sentences that each model reads before the clock starts.
        turns: in how many parts.

    Raises:
        UserError: there is nothing to read.
    """
    if not all(batches_of[name] for name in runners):
        raise UserError("latency", expected="at least one sentence", got="none", do="give rows to read")
    placed = {name: [runner.place(batch) for batch in batches_of[name]] for name, runner in runners.items()}
    seconds: dict[str, list[float]] = {name: [] for name in runners}
    for name, runner in runners.items():
        _time_each(runner, placed[name][:warmup])
    for turn in range(turns):
        for name, runner in runners.items():
            seconds[name] += _time_each(runner, placed[name][turn::turns])
    return {name: _latency(found) for name, found in seconds.items()}


def _latency(seconds: Sequence[float]) -> Latency:
    p50, p95, p99 = np.percentile(seconds, [50, 95, 99]) * 1000
    return Latency(float(p50), float(p95), float(p99), len(seconds))


def _time_each(runner: Runner, placed: Sequence[TensorBatch]) -> list[float]:
    found = []
    with runner.running():
        runner.wait()
        for batch in placed:
            start = time.perf_counter()
            runner.logits(batch)
            runner.wait()
            found.append(time.perf_counter() - start)
    return found


def _time_pass(runner: Runner, placed: Sequence[TensorBatch]) -> float:
    with runner.running():
        runner.wait()
        start = time.perf_counter()
        for batch in placed:
            runner.logits(batch)
        runner.wait()
        return time.perf_counter() - start
