"""`codir benchmark`: models beside one another on the same texts, in turns."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import datasets
import torch

from codir.config import BenchmarkConfig, DataConfig
from codir.config.words import BATCH_SIZES, BENCHMARK_ROUNDS
from codir.data import RowCollator, as_read, encode
from codir.errors.shown import counted
from codir.measure import (
    PACKAGES,
    Exam,
    Runner,
    TensorBatch,
    engine_of,
    exported_file,
    gather_conditions,
    measure_latencies,
    measure_throughputs,
    peak_bytes,
)
from codir.models import Reader
from codir.report import BenchmarkResult, Cost, Timing, write_benchmark
from codir.runs.build import load, open_reader, open_runner
from codir.runs.facts import note_changed_rows
from codir.runs.inputs import check_apart
from codir.runs.output import check_writable
from codir.runs.preflight import check_labels, check_reader, has_pairs
from codir.runs.processes import refuse_processes, said
from codir.system import resolve_dtype
from codir.system.progress import phase
from codir.tasks import Task, kind_of
from codir.tasks.order import check_permutation

MEMORY_BATCH = 32


@dataclass(frozen=True)
class Entrant:
    """One model in one number format."""

    name: str
    reader: Reader
    dtype: torch.dtype

    def runner(self, threads: int) -> Runner:
        """The model, computing with so many threads."""
        return open_runner(self.reader, self.dtype, threads=threads)


def benchmark(config: BenchmarkConfig, *, of_run: Path | None = None) -> BenchmarkResult:
    """Measure models side by side: the same texts, the models in turns, each with one thread and with all.

    Quality is scored on all rows of the first evaluation set, speed on the first `rows` of them. Only the model is
    timed: texts are tokenised before. Memory is the peak of a fresh process that loads the model and reads a batch.

    Args:
        config: models, data and how.
        of_run: the output folder of a run whose recipe names this data: its evaluation sets are read, with the rows
            that it holds out of a single file. By default, all rows of such a file are read.

    Raises:
        UserError: a path that is no model, models that do not fit the data, or an engine that is not installed.
    """
    refuse_processes("benchmark", "start it without `torchrun`")
    if config.output_dir is not None:
        check_apart(config.output_dir, {"models": [str(path) for path in config.models]})
        check_writable(config.output_dir)
    readers = {name: open_reader(str(path), config.data.task) for name, path in _named(config.models).items()}
    first = next(iter(readers.values()))
    data = load(config.data, first, evaluation_only=of_run is None)
    notes = said([*data.notes, *note_changed_rows(of_run, data)])
    for name, reader in readers.items():
        notes += said(check_labels(reader.model, data.task, role=name))
        check_reader(reader, config.data.max_length, pairs=has_pairs(data), role=name)
    exam = Exam(data.dev, data.task, config.data.max_length)
    entrants = _entrants(readers, bf16=config.bf16)
    all_threads = torch.get_num_threads()
    opened = {
        one.name: one.runner(all_threads) for one in entrants
    }  # all, so that a damaged one is found before any runs
    scores: dict[str, dict[str, float]] = {}
    for one in entrants:
        answers = exam.answers(opened[one.name])
        check_permutation(answers[exam.first], exam.labels(exam.first), data.task, whose=one.name)
        scores[one.name] = exam.score(answers)
    del opened

    rows = read_at_once(data.dev[exam.first], config.rows, data.task)
    timings = [
        timing
        for threads in config.threads or sorted({1, all_threads})
        for timing in time_in_turns(
            {one.name: one.runner(threads) for one in entrants},
            rows,
            threads,
            max_length=config.data.max_length,
            batch_sizes=config.batch_sizes,
            rounds=config.rounds,
        )
    ]
    result = BenchmarkResult(
        title=config.data.source,
        metric=data.task.metrics[0],
        costs=[_cost(one, scores[one.name], rows, config.data) for one in entrants],
        timings=timings,
        rows=len(rows),
        scored_rows=len(data.dev[exam.first]),
        notes=tuple(notes),
        conditions=gather_conditions(dtype="float32", seed=0),
    )
    if config.output_dir is not None:
        write_benchmark(result, config.output_dir)
    return result


def _named(paths: Sequence[Path]) -> dict[str, Path]:
    """Each path under its own name; where two share one, under as much of the path as tells them apart."""
    places = {Path(os.path.normpath(path.absolute())): path for path in reversed(paths)}  # one given twice counts once
    by_place = dict(reversed(places.items()))
    for depth in range(1, max(len(place.parts) for place in by_place)):
        names = ["/".join(place.parts[-depth:]) for place in by_place]
        if len(set(names)) == len(names):
            return dict(zip(names, by_place.values(), strict=True))
    return {str(place): path for place, path in by_place.items()}


def _entrants(readers: dict[str, Reader], *, bf16: bool) -> list[Entrant]:
    found = []
    for name, reader in readers.items():
        found.append(Entrant(name, reader, torch.float32))
        is_torch = reader.folder is None or exported_file(reader.folder) is None
        if bf16 and is_torch and resolve_dtype("auto") == torch.bfloat16:
            found.append(Entrant(f"{name} bf16", reader, torch.bfloat16))
    return found


def read_at_once(rows: datasets.Dataset, most: int, task: Task) -> datasets.Dataset:
    """As many of the first rows as are timed; of pairs that a model reads apart, as many texts."""
    first = rows.select(range(min(len(rows), most)))
    return as_read(first, kind_of(task)).select(range(len(first)))


def time_in_turns(
    runners: Mapping[str, Runner],
    rows: datasets.Dataset,
    threads: int,
    *,
    max_length: int,
    batch_sizes: Sequence[int] = BATCH_SIZES,
    rounds: int = BENCHMARK_ROUNDS,
) -> list[Timing]:
    """Time models one after the other, in rounds; nothing of another model runs meanwhile.

    Args:
        runners: models by name, which compute with so many threads.
        rows: that each reads.
        threads: that torch computes with meanwhile.
        max_length: tokens per row at most.
        batch_sizes: of the throughputs.
        rounds: how often each row is read.
    """
    with _threads(threads), phase(counted(threads, "thread")):
        collate = {
            name: RowCollator(encode(rows, one.tokenizer, max_length=max_length), one.tokenizer)
            for name, one in runners.items()
        }

        def batches(size: int) -> dict[str, list[TensorBatch]]:
            starts = range(0, len(rows), size)
            return {
                name: [one(list(range(start, min(start + size, len(rows))))) for start in starts]
                for name, one in collate.items()
            }

        latencies = measure_latencies(runners, batches(1), turns=rounds)
        rates = {size: measure_throughputs(runners, batches(size), repeats=rounds) for size in batch_sizes}
    return [
        Timing(name, threads, latencies[name], {size: found[name] for size, found in rates.items()}) for name in runners
    ]


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _cost(one: Entrant, scores: dict[str, float], rows: datasets.Dataset, data: DataConfig) -> Cost:
    runner, texts = one.runner(torch.get_num_threads()), rows.select(range(min(len(rows), MEMORY_BATCH)))
    file = exported_file(str(one.reader.folder))
    engine = [PACKAGES[engine_of(file)]] if file is not None else []
    with phase(f"{one.name}: memory"):
        ask = partial(_load_and_ask, str(one.reader.folder), data.task, one.dtype, texts, data.max_length)
        peak = peak_bytes(ask, engine)
    return Cost(one.name, scores, runner.parameters, runner.bytes, peak)


def _load_and_ask(path: str, task: str, dtype: torch.dtype, rows: datasets.Dataset, max_length: int) -> object:
    """In a process of its own."""
    reader = open_reader(path, task)
    runner = open_runner(reader, dtype)
    batch = RowCollator(encode(rows, reader.tokenizer, max_length=max_length), reader.tokenizer)(list(range(len(rows))))
    with runner.running():
        runner.logits(runner.place(batch))
    return runner
