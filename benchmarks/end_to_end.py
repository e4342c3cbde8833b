"""Whole trainings, start-up and cache included, against TextBrewer, torchdistill and a plain Trainer loop.

Run: make bench-peers; it writes benchmarks/results/performance/end-to-end-*.json. About ten minutes on two cores.
`--whole` really runs three epochs of every system as well and shows them beside the totals; some 45 minutes more.
`--smoke` runs a few rows and steps to see that everything works, and writes nothing.

Each system is a process of its own, in its own environment, under `benchmarks/peers/`; it trains with its library's own
loop and waits whenever it is not its turn. Knows processes, plans and seconds; nothing of how any system trains.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import Spread, table_of, write_claim
from rich.console import Console

from codir.data import EpochLengthGroupedSampler, encode, find_minilm, load_movie_reviews
from codir.models import load_model, load_tokenizer
from codir.student import build_student, student_origin

HERE = Path(__file__).parent
CODIR, TEXTBREWER, TORCHDISTILL, TRAINER = "codir", "TextBrewer", "torchdistill", "Trainer + teacher"
SYSTEMS = {
    CODIR: (Path(sys.executable), "codir_worker.py"),
    TEXTBREWER: (HERE.parent / ".venv-textbrewer" / "bin" / "python", "textbrewer_worker.py"),
    TORCHDISTILL: (HERE.parent / ".venv-torchdistill" / "bin" / "python", "torchdistill_worker.py"),
    TRAINER: (Path(sys.executable), "hf_worker.py"),
}
BATCH_SIZE, MAX_LENGTH, STUDENT_LAYERS = 32, 128, 3
TOLERANCE = 1e-4
"""Of each of the first losses, relative. They agree ten times better; a teacher left in fp32 shows by the third."""


@dataclass(frozen=True)
class Setting:
    """One way to compare: how every system is set up, and what codir is to reach against each, by number of epochs."""

    name: str
    claim: str
    bounds: Mapping[int, float]
    conditions: Mapping[str, str]


SETTINGS = (
    Setting(
        "equal",
        "KD on logits, losses, precision, batches and optimiser equal: time of the nearest peer over codir's",
        {3: 1.3, 10: 1.5},
        {
            "dtype": "bf16",
            "loss": "0.5 cross-entropy + 0.5 KD on logits at T=2, times T^2; five steps' losses were compared",
            "batches": "length-grouped, padded to their longest row, collated beforehand, the same for every system",
            "optimiser": "AdamW (fused), constant 1e-4, no weight decay, gradients clipped at 1.0",
            "codir": "preset kd, teacher cached",
            "textbrewer": "is_caching_logits off, as it is by default",
        },
    ),
    Setting(
        "defaults",
        "Default settings of each tool: time of the closest competitor divided by that of codir distill",
        {3: 3.0, 10: 3.5},
        {
            "dtype": "codir: bf16; peers: fp32",
            "loss": "codir: cross-entropy + KD + contrast (preset codir); peers: KD + squared error of 3 hidden states",
            "batches": "codir: length-grouped; peers: random order; padded to their longest row in the loop",
            "optimiser": "codir and Trainer: Trainer's defaults; others: torch.optim.AdamW's defaults, no clipping",
            "codir": "teacher cached",
        },
    ),
)


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    rows: int | None = None
    sampled: int = 40
    chunk: int = 10
    start_ups: int = 3
    check_steps: int = 5


SMOKE = Scale(rows=256, sampled=4, chunk=2, start_ups=1, check_steps=3)


# ---- What the systems are given ----


@dataclass(frozen=True)
class Material:
    """A folder with teacher, student and rows, and what has to be known of it to plan batches."""

    folder: Path
    lengths: list[int]
    layer_map: tuple[int, ...]

    @property
    def steps_per_epoch(self) -> float:
        """Full batches and the fraction that the last one is."""
        return len(self.lengths) / BATCH_SIZE

    def epoch(self, *, grouped: bool, number: int = 0) -> list[list[int]]:
        """Rows of the full batches of an epoch: of like lengths as codir orders them, or at random."""
        if grouped:
            sampler = EpochLengthGroupedSampler(BATCH_SIZE, self.lengths, seed=0)
            sampler.set_epoch(number)
            order = list(sampler)
        else:
            order = np.random.default_rng(number).permutation(len(self.lengths)).tolist()
        return [order[start : start + BATCH_SIZE] for start in range(0, len(order) - BATCH_SIZE + 1, BATCH_SIZE)]

    def sample(self, count: int, *, grouped: bool) -> list[list[int]]:
        """Batches that stand for an epoch: the middle ones of `count` equal parts, from short to long; shuffled."""
        by_width = sorted(self.epoch(grouped=grouped), key=lambda batch: max(self.lengths[row] for row in batch))
        chosen = [by_width[int((part + 0.5) * len(by_width) / count)] for part in range(count)]
        random.Random(0).shuffle(chosen)
        return chosen


def prepare(folder: Path, scale: Scale) -> Material:
    """Write the folder that every system reads; the teacher's head is drawn, which costs no step more or less."""
    tokenizer = load_tokenizer(find_minilm())
    torch.manual_seed(0)
    teacher = load_model(find_minilm(), tokenizer, head={"num_labels": 2})
    torch.nn.init.normal_(teacher.classifier.weight, std=0.2)  # so that the teacher has opinions to compare
    student = build_student(teacher, layers=STUDENT_LAYERS)
    for name, model in (("teacher", teacher), ("student", student)):
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    data = load_movie_reviews(max_train_rows=scale.rows)
    assert data.train is not None
    for name, part in (("train", data.train), ("dev", data.dev["dev"])):
        lines = [json.dumps({"text": row["text"], "label": row["label"]}) for row in part]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    origin = student_origin(student)
    assert origin is not None
    assert origin.teacher_layers is not None
    return Material(folder, list(encode(data.train, tokenizer, max_length=MAX_LENGTH)["length"]), origin.teacher_layers)


# ---- The systems ----


class Worker:
    """A system in its own process, waiting for its first step once this returns.

    Args:
        system: one of `SYSTEMS`.
        setting: name of the setting.
        material: what it reads.
        batches: what it trains on, in this order.
        check: without dropout, and with losses told.

    Attributes:
        start_up: seconds from the launch to the first step.
        versions: of the packages that it runs.
    """

    def __init__(
        self, system: str, setting: str, material: Material, batches: Sequence[list[int]], *, check: bool = False
    ) -> None:
        self.scratch = tempfile.TemporaryDirectory(prefix="codir-peer-")
        folder = Path(self.scratch.name)
        plan = {
            "setting": setting,
            "folder": str(material.folder),
            "scratch": str(folder / "scratch"),
            "batches": [*batches, batches[0]],  # the last one is asked for and never run
            "layer_map": material.layer_map,
            "batch_size": BATCH_SIZE,
            "max_length": MAX_LENGTH,
            "check": check,
        }
        (folder / "plan.json").write_text(json.dumps(plan))
        python, script = SYSTEMS[system]
        self.system, self._log = system, folder / "log"
        environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads()), "HF_HUB_OFFLINE": "1"}
        start = time.perf_counter()
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [python, HERE / "peers" / script, folder / "plan.json"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment,
            )
        self.versions: dict[str, str] = self._hear()["versions"]
        self.start_up = time.perf_counter() - start

    def run(self, steps: int) -> tuple[list[float], list[float]]:
        """Let it train; returns the seconds of each step, and the losses of a check."""
        assert self._process.stdin is not None
        print(steps, file=self._process.stdin, flush=True)
        answer = self._hear()
        return answer["seconds"], answer["losses"]

    def stop(self) -> None:
        """Hang up; the worker ends itself."""
        self._process.communicate()
        self.scratch.cleanup()

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.system} ended early:\n{self._log.read_text()[-3000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer


@dataclass
class Measured:
    """What was seen of one system in one setting."""

    start_ups: list[float] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    whole: float | None = None
    versions: dict[str, str] = field(default_factory=dict)

    def total(self, epochs: int, steps_per_epoch: float) -> float:
        """Seconds of a training, cache and start-up included."""
        return statistics.median(self.start_ups) + epochs * steps_per_epoch * statistics.mean(self.steps)


def is_grouped(setting: Setting, system: str) -> bool:
    """Whether a system reads rows of like length together."""
    return setting.name == "equal" or system == CODIR


def compare_losses(setting: Setting, material: Material, scale: Scale) -> dict[str, list[float]]:
    """Losses of the first steps without dropout; ends the program where any differs, be it by loss or by optimiser."""
    losses = {}
    for system in SYSTEMS:
        batches = material.sample(scale.sampled, grouped=is_grouped(setting, system))[: scale.check_steps]
        worker = Worker(system, setting.name, material, batches, check=True)
        _, losses[system] = worker.run(len(batches))
        worker.stop()
    expected = np.array(losses[CODIR])
    if any((abs(np.array(found) / expected - 1) > TOLERANCE).any() for found in losses.values()):
        raise SystemExit(f"The systems do not compute the same losses, so their times cannot be compared: {losses}")
    return losses


def measure(setting: Setting, material: Material, scale: Scale) -> dict[str, Measured]:
    """Start-ups one after another, then steps in turns; whoever waits computes nothing."""
    seen = {system: Measured() for system in SYSTEMS}
    if setting.name == "equal":
        for system, losses in compare_losses(setting, material, scale).items():
            seen[system].losses = losses
    sampled = {system: material.sample(scale.sampled, grouped=is_grouped(setting, system)) for system in SYSTEMS}
    workers: dict[str, Worker] = {}
    for repeat in range(scale.start_ups):
        for system, batches in sampled.items():
            worker = Worker(system, setting.name, material, [*batches, *batches])
            seen[system].start_ups.append(worker.start_up)
            seen[system].versions = worker.versions
            if repeat < scale.start_ups - 1:
                worker.stop()
            else:
                workers[system] = worker
    for worker in workers.values():
        worker.run(scale.sampled)  # warm up: every length is seen once before the clock counts
    for _ in range(0, scale.sampled, scale.chunk):
        for system, worker in workers.items():
            seen[system].steps += worker.run(scale.chunk)[0]
    for worker in workers.values():
        worker.stop()
    return seen


def run_whole(setting: Setting, material: Material, epochs: int) -> dict[str, float]:
    """Seconds of real trainings from launch to the last step, one system after another."""
    seconds = {}
    for system in SYSTEMS:
        grouped = is_grouped(setting, system)
        batches = [batch for number in range(epochs) for batch in material.epoch(grouped=grouped, number=number)]
        start = time.perf_counter()
        worker = Worker(system, setting.name, material, batches)
        worker.run(len(batches))
        seconds[system] = time.perf_counter() - start
        worker.stop()
    return seconds


# ---- What came out ----


def rows_of(seen: Mapping[str, Measured], epochs: int, steps_per_epoch: float) -> list[dict[str, Any]]:
    """The table: one row per system, with its total over codir's."""
    shortest = seen[CODIR].total(epochs, steps_per_epoch)
    rows: list[dict[str, Any]] = []
    for system, measured in seen.items():
        spread, total = Spread.of(measured.steps), measured.total(epochs, steps_per_epoch)
        row = {
            "system": system,
            "start-up s": statistics.median(measured.start_ups),
            "step ms": statistics.mean(measured.steps) * 1e3,
            "median ms": spread.median * 1e3,
            "quartiles ms": f"{spread.lower_quartile * 1e3:.0f} to {spread.upper_quartile * 1e3:.0f}",
            f"{epochs} epochs s": total,
            "times codir": total / shortest,
        }
        if measured.whole is not None:
            row["whole run s"] = measured.whole
        rows.append({name: round(value, 3) if isinstance(value, float) else value for name, value in row.items()})
    return rows


def conditions_of(setting: Setting, material: Material, seen: Mapping[str, Measured]) -> dict[str, Any]:
    """What a reader has to know to believe the totals."""
    return {
        **setting.conditions,
        "totals": "start-up + epochs x steps x mean step: what is measured is start-ups and a sample of an epoch",
        "start_up": "launch to first step: imports, models, tokenising all rows, and codir's cache from nothing",
        "left_out": "evaluation, checkpoints and reports, of every system",
        "steps": f"{len(seen[CODIR].steps)} of each, spread evenly over the batch lengths of an epoch, timed in turns",
        "start_ups": f"{len(seen[CODIR].start_ups)} of each in turns; the median counts",
        "data": f"Rotten Tomatoes, {len(material.lengths)} training rows, max_length {MAX_LENGTH}",
        "batch_size": BATCH_SIZE,
        "models": f"MiniLM, 6 layers x 384, its head drawn at random, to {STUDENT_LAYERS} of its layers",
        "peers": {system: measured.versions for system, measured in seen.items() if system != CODIR},
    }


def write(setting: Setting, material: Material, seen: Mapping[str, Measured]) -> None:
    """One claim per number of epochs; its value is the ratio to the peer that comes nearest."""
    for epochs, bound in setting.bounds.items():
        rows = rows_of(seen, epochs, material.steps_per_epoch)
        write_claim(
            f"end-to-end-{setting.name}-{epochs}-epochs",
            f"{setting.claim}, {epochs} epochs",
            value=min(row["times codir"] for row in rows if row["system"] != CODIR),
            bound=bound,
            direction="at least",
            rows=rows,
            conditions=conditions_of(setting, material, seen),
            start_up_seconds={system: measured.start_ups for system, measured in seen.items()},
            step_seconds={system: measured.steps for system, measured in seen.items()},
            first_losses={system: measured.losses for system, measured in seen.items() if measured.losses},
        )


def main(arguments: Iterable[str] | None = None) -> None:
    """Prepare, measure and write each setting."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--whole", action="store_true", help="also run three epochs of every system to their end")
    parser.add_argument("--smoke", action="store_true", help="a few rows and steps; writes nothing")
    parser.add_argument("--setting", choices=[setting.name for setting in SETTINGS], help="only this one")
    options = parser.parse_args(None if arguments is None else list(arguments))
    missing = [str(python) for python, _ in SYSTEMS.values() if not python.exists()]
    if missing:
        parser.error(f"no {' and no '.join(missing)}: run `make bench-peers`, which builds them")
    scale = SMOKE if options.smoke else Scale()
    with tempfile.TemporaryDirectory(prefix="codir-peers-") as folder:
        material = prepare(Path(folder), scale)
        for setting in SETTINGS:
            if options.setting not in (None, setting.name):
                continue
            seen = measure(setting, material, scale)
            if options.whole:
                for system, seconds in run_whole(setting, material, epochs=min(setting.bounds)).items():
                    seen[system].whole = seconds
            if options.smoke:
                Console().print(table_of(rows_of(seen, min(setting.bounds), material.steps_per_epoch)))
                Console().print({system: measured.losses for system, measured in seen.items()})
            else:
                write(setting, material, seen)


if __name__ == "__main__":
    main()
