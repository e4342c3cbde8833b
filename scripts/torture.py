"""Kill runs of `codir distill` at random moments, resume them, and compare how they end: `make torture KILLS=100`.

A tiny teacher, a small CSV, forty steps with evaluation and checkpoints, and its baseline. Each run is killed (SIGKILL)
and started again with `--resume` until it ends by itself. Then its files are compared with those of a run that nobody
killed: the weights of student and baseline bit for bit, and the names of all files, so that nothing is left behind.

Most lives are forked from this process, which has imported everything, uses one thread and runs no model itself: the
child calls `codir.cli.main` with its own `sys.argv`, as `python -m codir` does, without the seconds that imports take.
A few (`--processes`) are real `python -m codir` processes. Half of the kills come at a time drawn evenly over the
length of a whole run, the others a moment after a certain file appears, so that short phases are hit as well.
"""

from __future__ import annotations

import os

os.environ |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}

import argparse
import contextlib
import hashlib
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WORDS = [f"w{i}" for i in range(90)]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SETTINGS = {
    "training.save_strategy": "steps", "training.save_steps": 4, "training.save_total_limit": 2,
    "training.eval_strategy": "epoch", "training.logging_steps": 3, "training.use_cpu": "true",
    "training.disable_tqdm": "true", "baseline": "true", "objectives.contrastive.num_negatives": 8,
}  # fmt: skip
PHASES = {
    "the teacher's cache": "cache/.building-*",
    "the first file of the run": "run",
    "recipe.yaml": "run/recipe.yaml",
    "a checkpoint": "run/checkpoints/checkpoint-*/incomplete",
    "a manifest": "run/checkpoints/checkpoint-*/.drafts-*",
    "the last checkpoint": "run/checkpoints/checkpoint-{steps}",
    "the export": "run/.drafts-*",
    "the student": "run/model.safetensors",
    "the baseline": "run/baseline/checkpoints/checkpoint-*/incomplete",
    "the baseline's export": "run/baseline/.drafts-*",
    "the report": "run/report.md",
}
"""Phases by a file that appears in each."""
SCRATCH = (".drafts-", ".building-", ".run-", ".reading-", ".codir-lock", ".codir-holder", ".codir-owner")


@dataclass
class Counts:
    """What came of the torture."""

    kills: int = 0
    runs: int = 0
    lost: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    left_behind: list[str] = field(default_factory=list)
    kills_by: Counter[str] = field(default_factory=Counter)

    @property
    def is_clean(self) -> bool:
        """Whether every run ended, as it should, and left nothing."""
        return not (self.lost or self.different or self.left_behind)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        faults = {name: getattr(self, name) for name in ("lost", "different", "left_behind")}
        return {"kills": self.kills, "runs": self.runs, **faults, "kills_by": dict(self.kills_by)}


class Life:
    """A process that runs the command, until it ends or is killed."""

    def __init__(self, words: list[str], log: Path, *, is_forked: bool) -> None:
        self.began = time.monotonic()
        if is_forked:
            self.pid = os.fork()
            if not self.pid:
                run_here(words, log)
        else:
            with log.open("w") as output:
                command = [sys.executable, "-m", "codir", *words]
                self.pid = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT).pid

    def wait(self, until: Callable[[float], bool]) -> int | None:
        """Its exit code; `None` when it was killed because `until` said so of its age."""
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            if until(time.monotonic() - self.began):
                os.kill(self.pid, signal.SIGKILL)
                pid, status = os.waitpid(self.pid, 0)
                code = os.waitstatus_to_exitcode(status)
                return None if code == -signal.SIGKILL else code
            time.sleep(0.001)


def run_here(words: list[str], log: Path) -> None:
    """The command, in a child that was just forked; never returns."""
    code = 1
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.argv = ["codir", *words]
        from codir import cli

        cli.main()
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def in_child(function: Callable[[], None]) -> None:
    """Run a function without leaving its threads and models in this process."""
    pid = os.fork()
    if not pid:
        try:
            function()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


def import_everything() -> None:
    """What a run imports, so that its forks need not."""
    import torch
    import transformers

    import codir.cli.app
    import codir.runs  # noqa: F401 - what the command imports inside itself

    torch.set_num_threads(1)
    _ = transformers.BertForSequenceClassification, transformers.BertTokenizer, transformers.Trainer


def make_inputs(folder: Path) -> None:
    """A teacher with random weights, and two files of sentences whose class is written in their words."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4, "num_hidden_layers": 4}
    teacher = BertForSequenceClassification(BertConfig(vocab_size=100, max_position_embeddings=64, **shape))
    teacher.save_pretrained(folder / "teacher")
    BertTokenizer(vocab={word: i for i, word in enumerate(SPECIAL + WORDS)}).save_pretrained(folder / "teacher")
    draw = random.Random(0)
    for name, rows in (("train", 160), ("dev", 24)):
        lines = ["text,label"]
        for _ in range(rows):
            kind = draw.randrange(2)
            lines.append(f"{' '.join(draw.choices(WORDS[45 * kind : 45 * kind + 45], k=draw.randint(3, 10)))},{kind}")
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")


def words_of(inputs: Path, home: Path, steps: int) -> list[str]:
    """The command of a run that has a folder of its own, with a cache of its own."""
    words = ["distill", "--teacher", inputs / "teacher", "--data", inputs / "train.csv", "--dev", inputs / "dev.csv"]
    words += ["--student-layers", 2, "--batch-size", 16, "--max-steps", steps, "--max-length", 16, "--resume"]
    words += ["--output-dir", home / "run", "--cache-dir", home / "cache", "--precision", "fp32"]
    return [*map(str, words), *(part for key, value in SETTINGS.items() for part in ("--set", f"{key}={value}"))]


def weights_in(home: Path) -> dict[str, str]:
    """Hashes of the weights that a run ended with."""
    names = ("run/model.safetensors", "run/baseline/model.safetensors")
    return {name: hashlib.sha256((home / name).read_bytes()).hexdigest() for name in names if (home / name).exists()}


def files_in(home: Path) -> set[str]:
    """All that a run left: names of files and folders."""
    return {path.relative_to(home).as_posix() for path in home.rglob("*") if path.name != "life.log"}


def killer(draw: random.Random, home: Path, length: float, steps: int) -> tuple[str, Callable[[float], bool]]:
    """When the next kill comes, and what it is called."""
    end = 3 * length  # where the file that it waits for is there already, it comes late or not at all
    if draw.random() < 0.5:
        at = draw.uniform(0, length)
        return "at random", lambda age: age > at
    phase = draw.choice(sorted(PHASES))
    sign = PHASES[phase].format(steps=steps)
    before = set(home.glob(sign))
    delay = draw.uniform(0, 0.02)
    seen: list[float] = []

    def is_time(age: float) -> bool:
        if not seen and set(home.glob(sign)) - before:
            seen.append(age)
        return age > end or bool(seen and age > seen[0] + delay)

    return phase, is_time


def torture(folder: Path, *, kills: int, seed: int, processes: int, steps: int) -> Counts:
    """Kill runs until there were so many kills; then the last run ends in peace."""
    import_everything()
    in_child(lambda: make_inputs(folder))
    reference, counts, draw = folder / "straight", Counts(), random.Random(seed)
    reference.mkdir()
    life = Life(words_of(folder, reference, steps), reference / "life.log", is_forked=True)
    if life.wait(lambda age: False):
        raise SystemExit("a run that nobody killed failed:\n" + (reference / "life.log").read_text()[-3000:])
    length = time.monotonic() - life.began
    print(f"a run that nobody kills takes {length:.1f} s")
    while counts.kills < kills:
        home = folder / f"run-{counts.runs}"
        home.mkdir()
        fate = Fate(draw, length, steps, kills=kills, processes=processes)
        torture_one(home, words_of(folder, home, steps), counts, fate)
        judge(home, reference, counts)
        print(f"run {counts.runs}: {counts.kills} kills so far")
    return counts


@dataclass(frozen=True)
class Fate:
    """What decides when lives end.

    Attributes:
        draw: of the moments.
        length: seconds of a run that nobody kills.
        steps: of a run.
        kills: how many there are to be.
        processes: how many of the first ones are of real processes.
    """

    draw: random.Random
    length: float
    steps: int
    kills: int
    processes: int


def torture_one(home: Path, words: list[str], counts: Counts, fate: Fate) -> None:
    """One run, killed and resumed until it ends."""
    counts.runs += 1
    killed: list[str] = []
    while True:
        is_forked = counts.kills >= fate.processes
        name, is_time = killer(fate.draw, home, fate.length * (1 if is_forked else 4), fate.steps)
        if counts.kills >= fate.kills:
            name, is_time = "never", lambda age: False
        code = Life(words, home / "life.log", is_forked=is_forked).wait(is_time)
        if code is None:
            counts.kills += 1
            counts.kills_by[name if is_forked else "a real process"] += 1
            killed.append(name)
            continue
        if code:
            said = (home / "life.log").read_text()[-600:]
            counts.lost.append(f"{home.name}, killed {' then '.join(killed) or 'never'}: exit {code}: {said}")
        return


def judge(home: Path, reference: Path, counts: Counts) -> None:
    """Compare a run that ended with one that nobody killed."""
    if any(lost.startswith(f"{home.name},") for lost in counts.lost):
        return
    if weights_in(home) != weights_in(reference):
        counts.different.append(home.name)
    more, fewer = files_in(home) - files_in(reference), files_in(reference) - files_in(home)
    scratch = {name for name in files_in(home) if any(part.startswith(SCRATCH) for part in name.split("/"))}
    for name in sorted(more | scratch):
        counts.left_behind.append(f"{home.name}/{name}")
    for name in sorted(fewer):
        counts.left_behind.append(f"{home.name}/{name} is missing")


def main() -> None:
    """Torture, print the counts, exit with 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--steps", type=int, default=40, help="of each run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=3, help="kills of real `python -m codir` processes")
    parser.add_argument("--json", type=Path, help="file for the counts")
    parser.add_argument("--folder", type=Path, help="where runs are kept; a temporary folder by default")
    given = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = given.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        processes, seed = min(given.processes, given.kills), given.seed
        counts = torture(folder, kills=given.kills, seed=seed, processes=processes, steps=given.steps)
    result = {**counts.as_dict(), "seed": given.seed, "seconds": round(time.monotonic() - began)}
    if given.json:
        given.json.write_text(json.dumps(result, indent=2) + "\n")
    for fault in (*counts.lost, *counts.different, *counts.left_behind):
        print(fault)
    for name, count in sorted(counts.kills_by.items()):
        print(f"{count:4} kills: {name}")
    faults = {"runs lost": counts.lost, "ends that differ": counts.different, "left behind": counts.left_behind}
    print(
        f"{counts.kills} kills in {counts.runs} runs; {', '.join(f'{len(of)} {name}' for name, of in faults.items())}"
    )
    sys.exit(0 if counts.is_clean else 1)


if __name__ == "__main__":
    main()
