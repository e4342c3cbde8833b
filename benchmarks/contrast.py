"""Claim (c): the contrastive term costs a fraction of two-bank NCE, and the same whatever the number of rows.

One repeat is all that the term adds to a step: drawing negatives, looking them up, both heads, the loss, the backward
pass to the heads and to the student's pooled layers, and the update of the memory. No model runs.

Run: python benchmarks/contrast.py; it writes benchmarks/results/performance/contrast-*.json.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from common import Spread, paired_ratio, time_in_turns, write_claim
from numpy.typing import NDArray
from rich.filesize import decimal
from two_bank_nce import TwoBankNCE

from codir.data import build_negative_sampler
from codir.memory import MemoryBank, bank_bytes
from codir.objectives import Contrastive
from codir.signals import Batch, Drawn, ModelShape, Negatives, Representation, StudentSignal, TeacherSignal, Unprojected
from codir.system import free_memory
from codir.teacher import CachedTeacher

BATCH_SIZE, DIM, HIDDEN, TEACHER_LAYERS, STUDENT_LAYERS = 32, 128, 384, 6, 3
MEMORY_SHARE = 0.8
TEACHER_VIEW = Representation()
NCE, BANK, KEYS = "NCE, two banks", "codir, anchor teacher, bank", "codir, anchor student, cached keys"
CONDITIONS = {
    "batch_size": BATCH_SIZE,
    "P": DIM,
    "teacher": f"{TEACHER_LAYERS} layers x {HIDDEN}",
    "student": f"{STUDENT_LAYERS} layers x {HIDDEN}",
    "classes": 2,
    "dtype": "fp32",
}


@dataclass(frozen=True)
class Plan:
    """What is measured."""

    counts: tuple[int, ...] = (100, 1_024, 4_096, 16_384)
    sizes: tuple[int, ...] = (10_000, 67_349, 1_000_000, 10_000_000)
    count: int = 4_096
    size: int = 67_349
    rounds: int = 40
    slow_rounds: int = 12
    table_bytes: int = 4_000_000_000

    def rounds_at(self, size: int, count: int) -> int:
        """Fewer where NCE takes a second or more per repeat."""
        if (size, count) == (self.size, self.count) or size * count < self.size * self.count:
            return self.rounds
        return self.slow_rounds if size < 10_000_000 else 5


SMOKE = Plan(counts=(16, 64), sizes=(1_000, 4_000), count=64, size=4_000, rounds=3, slow_rounds=2)


class PooledLayers:
    """Pooled layers of one batch, as a student and a teacher would give them, and fresh batches of row numbers."""

    def __init__(self, size: int, *, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.teacher = torch.randn(BATCH_SIZE, TEACHER_LAYERS, HIDDEN)
        self.student = torch.randn(BATCH_SIZE, STUDENT_LAYERS, HIDDEN, requires_grad=True)
        self.index: Iterator[NDArray[np.int64]] = _row_numbers(size, seed)


class CodirTerm:
    """codir's contrast as the trainer runs it; the teacher's anchor where there is a bank, else the student's."""

    def __init__(
        self,
        sampler: Any,
        size: int,
        count: int,
        *,
        bank: MemoryBank | None = None,
        teacher: CachedTeacher | None = None,
    ) -> None:
        self.sampler, self.bank, self.cache = sampler, bank, teacher
        self.pooled = PooledLayers(size)
        self.contrast = Contrastive(
            anchor="student" if bank is None else "teacher", num_negatives=count, projection_dim=DIM
        )
        self.contrast.build(
            teacher=ModelShape(TEACHER_LAYERS, HIDDEN, heads=0, classes=0),
            student=ModelShape(STUDENT_LAYERS, HIDDEN, heads=0, classes=0),
        )

    def draw_rows(self) -> object:
        """Row numbers of the next batch's negatives, and nothing else."""
        return self.sampler.sample(next(self.pooled.index))

    def look_up(self) -> tuple[Batch, Negatives]:
        """The next batch, and its negatives drawn and looked up."""
        index = next(self.pooled.index)
        drawn = self.sampler.sample(index)
        rows = torch.from_numpy(drawn.index)
        negatives = Negatives(
            group=torch.from_numpy(drawn.group),
            student=Drawn(self.bank.lookup(rows)) if self.bank is not None else None,
            teacher=Unprojected(self.cache.pooled(rows, TEACHER_VIEW)) if self.cache is not None else None,
        )
        return Batch({}, torch.from_numpy(index)), negatives

    def __call__(self) -> None:
        """One step."""
        batch, negatives = self.look_up()
        no_logits = torch.zeros(BATCH_SIZE, 0)
        student = StudentSignal(no_logits, {self.contrast.student_representation: self.pooled.student})
        teacher = TeacherSignal(no_logits, {self.contrast.teacher_representation: self.pooled.teacher})
        loss = self.contrast(student, teacher, batch, negatives)
        _backward(loss, self.contrast, self.pooled)
        if self.bank is not None:
            with torch.no_grad():
                self.bank.update(batch.example_index, self.contrast.embed_student(student))


class NceTerm:
    """The same step of two-bank NCE."""

    def __init__(self, labels: NDArray[np.int64], count: int) -> None:
        np.random.seed(0)
        self.pooled = PooledLayers(len(labels))
        self.nce = TwoBankNCE(
            labels,
            num_negatives=count,
            teacher_width=TEACHER_LAYERS * HIDDEN,
            student_width=STUDENT_LAYERS * HIDDEN,
            dim=DIM,
        )

    def draw_rows(self) -> object:
        """Row numbers of the next batch's negatives, and nothing else."""
        return self.nce.draw(next(self.pooled.index))

    def __call__(self) -> None:
        """One step."""
        loss = self.nce(self.pooled.teacher, self.pooled.student, next(self.pooled.index))
        _backward(loss, self.nce, self.pooled)


def make_labels(size: int) -> NDArray[np.int64]:
    """Two classes, about even."""
    return np.random.default_rng(0).integers(0, 2, size)


def make_sampler(labels: NDArray[np.int64], count: int) -> Any:
    """codir's sampler of other classes."""
    return build_negative_sampler(labels, num_examples=len(labels), count=count, batch_size=BATCH_SIZE)


def filled_bank(size: int, *, dtype: torch.dtype = torch.float32, folder: Path | None = None) -> MemoryBank:
    """A bank whose every page was written."""
    bank = MemoryBank(size, DIM, dtype=dtype, folder=folder)
    noise = F.normalize(torch.randn(min(size, 65_536), DIM), dim=1)
    for start in range(0, size, len(noise)):
        rows = torch.arange(start, min(start + len(noise), size))
        bank.fill(rows, noise[: len(rows)])
    return bank


def cached_teacher(size: int, folder: Path) -> CachedTeacher:
    """The cache of a teacher that says noise: the program's own reader over a memory-mapped table."""
    folder.mkdir(parents=True, exist_ok=True)
    shape = (size, TEACHER_LAYERS, HIDDEN)
    table = np.lib.format.open_memmap(folder / "pooled.npy", mode="w+", dtype=np.float32, shape=shape)
    noise = np.random.default_rng(0).standard_normal((1_000, *shape[1:]), np.float32)
    for start in range(0, size, len(noise)):
        table[start : start + len(noise)] = noise[: size - start]
    table.flush()
    np.save(folder / "logits.npy", np.zeros((size, 2), np.float32))
    return CachedTeacher(folder, {TEACHER_VIEW: "pooled"})


def against_nce(plan: Plan, folder: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows of the first claim, and what else is worth keeping: quartiles of its ratio and what was left out."""
    rows: list[dict[str, Any]] = []
    details: dict[str, Any] = {"not_measured": []}
    for size in plan.sizes:
        if _refuses(size, banks=3, details=details, what=f"{NCE} at N = {size:,}"):
            continue
        labels = make_labels(size)
        bank, teacher = filled_bank(size), _teacher_of(size, plan, folder, details)
        for count in plan.counts if size == plan.size else (plan.count,):
            sampler = make_sampler(labels, count)
            systems: dict[str, Callable[[], object]] = {
                NCE: NceTerm(labels, count),
                BANK: CodirTerm(sampler, size, count, bank=bank),
            }
            if teacher is not None:
                systems[KEYS] = CodirTerm(sampler, size, count, teacher=teacher)
            rounds = plan.rounds_at(size, count)
            seconds = time_in_turns(systems, rounds=rounds, warmup=3 if rounds > 5 else 1)
            drawing = _time_drawing(systems, rounds=min(rounds, 10))
            rows += [_row(size, count, name, found, seconds[NCE], drawing[name]) for name, found in seconds.items()]
            if (size, count) == (plan.size, plan.count):
                ratio = paired_ratio(seconds[NCE], seconds[BANK])
                details |= {"value": ratio.median, "quartiles": [ratio.lower_quartile, ratio.upper_quartile]}
            del systems
            gc.collect()
        del bank, teacher
        gc.collect()
    return rows, details


def flat_in_size(plan: Plan, folder: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows of the second claim: one kind of memory after the other, all its sizes in turns."""
    rows: list[dict[str, Any]] = []
    details: dict[str, Any] = {"not_measured": []}
    samplers = {size: make_sampler(make_labels(size), plan.count) for size in plan.sizes}
    kinds: dict[str, dict[str, Any]] = {
        "bank, fp32": {},
        "bank, fp16": {"dtype": torch.float16},
        "bank, fp32, in a file": {"folder": folder},
    }
    for kind, storage in kinds.items():
        systems: dict[int, Callable[[], object]] = {}
        for size in plan.sizes:
            if not _refuses(size, banks=1, details=details, what=f"{kind} at N = {size:,}"):
                bank = filled_bank(size, **storage)
                systems[size] = CodirTerm(samplers[size], size, plan.count, bank=bank)
        found = _rows_over_size(kind, systems, plan, bytes_per_row=bank.bytes_per_example)
        rows += found
        if not storage:
            details |= {"value": found[-1]["over smallest N"], "largest_size": found[-1]["N"]}
        del systems, bank
        gc.collect()
    readers = {size: _teacher_of(size, plan, folder, details) for size in plan.sizes}
    systems = {
        size: CodirTerm(samplers[size], size, plan.count, teacher=teacher)
        for size, teacher in readers.items()
        if teacher is not None
    }
    rows += _rows_over_size("teacher cache, fp32, in a file", systems, plan, TEACHER_LAYERS * HIDDEN * 4)
    return rows, details


def _rows_over_size(
    kind: str, systems: Mapping[int, Callable[[], object]], plan: Plan, bytes_per_row: int
) -> list[dict[str, Any]]:
    seconds = time_in_turns({str(size): system for size, system in systems.items()}, rounds=plan.rounds)
    smallest = seconds[str(min(systems))]
    rows = []
    for size in systems:
        spread = Spread.of(seconds[str(size)])
        rows.append(
            {
                "memory": kind,
                "N": size,
                "median ms": spread.median * 1e3,
                "quartiles ms": _quartiles(spread),
                "over smallest N": paired_ratio(seconds[str(size)], smallest).median,
                "repeats": spread.repeats,
                "bytes per row": bytes_per_row,
                "bytes": decimal(size * bytes_per_row),
            }
        )
    return rows


def _row(
    size: int, count: int, name: str, seconds: Sequence[float], of_nce: Sequence[float], drawing: Sequence[float]
) -> dict[str, Any]:
    spread = Spread.of(seconds)
    return {
        "N": size,
        "K": count,
        "system": name,
        "median ms": spread.median * 1e3,
        "quartiles ms": _quartiles(spread),
        "of which drawing": Spread.of(drawing).median * 1e3,
        "NCE over it": paired_ratio(of_nce, seconds).median,
        "repeats": spread.repeats,
    }


def _quartiles(spread: Spread) -> str:
    return f"{spread.lower_quartile * 1e3:.2f} to {spread.upper_quartile * 1e3:.2f}"


def _time_drawing(systems: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of drawing row numbers alone."""
    draws = {name: term.draw_rows for name, term in systems.items() if isinstance(term, CodirTerm | NceTerm)}
    return time_in_turns(draws, rounds=rounds, warmup=1)


def _teacher_of(size: int, plan: Plan, folder: Path, details: dict[str, Any]) -> CachedTeacher | None:
    needed = size * TEACHER_LAYERS * HIDDEN * 4
    if needed > plan.table_bytes:
        details["not_measured"].append(f"{KEYS} at N = {size:,}: its table would take {decimal(needed)} of disk")
        return None
    return cached_teacher(size, folder / f"teacher-{size}")


def _refuses(size: int, *, banks: int, details: dict[str, Any], what: str) -> bool:
    needed = banks * bank_bytes(size, DIM)
    if needed <= MEMORY_SHARE * free_memory():
        return False
    details["not_measured"].append(f"{what}: {decimal(needed)} is more than the memory has free")
    return True


def _row_numbers(size: int, seed: int) -> Iterator[NDArray[np.int64]]:
    generator = np.random.default_rng(seed)
    while True:
        yield generator.choice(size, BATCH_SIZE, replace=False)


def _backward(loss: torch.Tensor, heads: torch.nn.Module, pooled: PooledLayers) -> None:
    heads.zero_grad(set_to_none=True)
    pooled.student.grad = None
    loss.backward()  # type: ignore[no-untyped-call]


def main() -> None:
    """Measure both claims."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="small sizes, and nothing is written")
    is_smoke = parser.parse_args().smoke
    plan = SMOKE if is_smoke else Plan()
    with tempfile.TemporaryDirectory(prefix="codir-contrast-") as scratch:
        nce_rows, nce_details = against_nce(plan, Path(scratch))
        flat_rows, flat_details = flat_in_size(plan, Path(scratch))
    if is_smoke:
        print(nce_rows, nce_details, flat_rows, flat_details, sep="\n")
        return
    write_claim(
        "contrast-against-nce",
        f"time of two-bank NCE over codir's contrast (teacher's anchor, bank), K = {plan.count:,}, N = {plan.size:,}, "
        "median of ratios of repeats in turns",
        value=nce_details.pop("value"),
        bound=30.0,
        direction="at least",
        rows=nce_rows,
        conditions=CONDITIONS,
        **nce_details,
    )
    write_claim(
        "contrast-flat-in-n",
        f"time of codir's contrast (teacher's anchor, fp32 bank) at N = {flat_details.pop('largest_size'):,} over "
        f"N = {min(plan.sizes):,}, K = {plan.count:,}, median of ratios of repeats in turns; flat means at most 1.5",
        value=flat_details.pop("value"),
        bound=1.5,
        direction="at most",
        rows=flat_rows,
        conditions={**CONDITIONS, "K": plan.count},
        **flat_details,
    )


if __name__ == "__main__":
    main()
