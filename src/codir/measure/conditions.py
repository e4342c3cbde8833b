"""Conditions: what a number needs beside it so that someone else can get it again.

Asks the interpreter, the machine and git; knows nothing else of the run.
"""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from codir.errors.shown import redacted_words, short_paths, shorten
from codir.system import instruction_sets

LONGEST_WORD = 300
PACKAGES = ("torch", "transformers", "datasets", "codir")


def gather_conditions(*, dtype: str, seed: int, command: Sequence[str] | None = None) -> dict[str, Any]:
    """Gather versions, machine, dtype, seed, commit, command and date, ready for JSON.

    Args:
        dtype: what the run computed in, such as `"bf16"`.
        seed: the run's seed.
        command: the words on the command line; those of this process where none are given.
    """
    return {
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
        "cores": _count_cores(),
        "threads": torch.get_num_threads(),
        "device": _device_name(),
        "instruction_sets": instruction_sets(),
        "dtype": dtype,
        "seed": seed,
        "commit": _commit(),
        "command": _command_line(sys.argv if command is None else command),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # run from a source tree that was never installed
        return None


def _count_cores() -> int | None:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))  # what this process may use, which in a container is less than there is
    return os.cpu_count()


def _device_name() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return _cpu_name(Path("/proc/cpuinfo"))


def _cpu_name(cpuinfo: Path) -> str:
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _commit() -> str | None:
    """The full hash of HEAD in the working directory, with `+dirty` where tracked files differ from it."""
    describe = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+dirty"]
    try:
        return subprocess.run(describe, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):  # no git, no repository, or one without a commit
        return None


def _command_line(words: Sequence[str]) -> str:
    """As it was typed, without secrets, and with paths from here or from home on."""
    program, *arguments = redacted_words([shorten(word, LONGEST_WORD) for word in words])
    path = Path(program)
    start = ["python", "-m", path.parent.name] if path.name == "__main__.py" else [path.name]
    return shlex.join([*start, *map(short_paths, arguments)])
