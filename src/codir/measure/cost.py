"""Sentences per second, measured side by side. Sees runners and batches; knows nothing of teachers and students."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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


def measure_throughput(
    runner: Runner, batches: Sequence[TensorBatch], *, warmup: int = 2, repeats: int = 3
) -> Throughput:
    """Measure one model; see `measure_throughputs`."""
    return measure_throughputs({"model": runner}, {"model": batches}, warmup=warmup, repeats=repeats)["model"]


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


def _time_pass(runner: Runner, placed: Sequence[TensorBatch]) -> float:
    with runner.running():
        runner.wait()
        start = time.perf_counter()
        for batch in placed:
            runner.logits(batch)
        runner.wait()
        return time.perf_counter() - start
