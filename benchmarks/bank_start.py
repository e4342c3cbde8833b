"""What a student's bank begins with: a copy of the teacher's bank, or the student's own first pass over all rows.

The copy is what codir does. Comparisons named here are run again with a first pass in its place, and set against their
own runs, seed by seed.

Run: python benchmarks/bank_start.py, after those comparisons; it writes benchmarks/results/bank-start/.
"""

from __future__ import annotations

import argparse
import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
from common import write_json
from comparison import HERE, load_comparison, make_teacher
from numpy.typing import NDArray
from scipy.stats import ttest_rel

import codir
import codir.trainer.trainer as distillation
from codir.config import CompareConfig
from codir.measure import Comparison, read_comparison
from codir.teacher import Teacher
from codir.trainer.memories import MemoryKeeper

COMPARISONS = ("sst2-500-steps",)
PRESETS, STUDENT = ("codir",), "3-layers"
RESULTS = HERE / "results"


class FirstPassKeeper(MemoryKeeper):
    """Its student's bank holds what the student itself says of every row."""

    def start(self, teacher: Teacher) -> None:
        """Begin as ever, then read all rows."""
        super().start(teacher)
        if self.bank is not None:
            self.fill_bank()


def with_first_pass(config: CompareConfig) -> Comparison:
    """The comparison's presets with two banks, run with that keeper."""
    presets = [entry for entry in config.presets if entry.label in PRESETS]
    changed = config.model_copy(
        update={"presets": presets, "reference": PRESETS[0], "jobs": 1, "output_dir": _folder(config)}
    )
    distillation.MemoryKeeper = FirstPassKeeper  # type: ignore[attr-defined]
    return codir.compare_presets(changed)


def _scores(comparison: Comparison, preset: str) -> NDArray[np.float64]:
    """The metric of each seed, in order."""
    return np.array([run.metrics[comparison.metric] for _, run in sorted(comparison.of(STUDENT, preset).items())])


def _folder(config: CompareConfig) -> Path:
    return Path("benchmarks", "results", "bank-start", config.output_dir.name)


def main() -> None:
    """Run what is not there yet, and write the differences."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    os.chdir(HERE.parent)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    rows: list[dict[str, Any]] = []
    conditions: dict[str, Any] = {}
    for name in COMPARISONS:
        config = load_comparison(name)
        make_teacher(config)
        usual, other = read_comparison(config.output_dir), with_first_pass(config)
        for preset in (one for one in PRESETS if other.of(STUDENT, one)):
            copied, passed = (_scores(comparison, preset) for comparison in (usual, other))
            row = {"comparison": name, "preset": preset, "metric": usual.metric, "seeds": len(copied)}
            row |= {"copy": copied.mean(), "first_pass": passed.mean(), "difference": (copied - passed).mean()}
            rows.append({**row, "p": ttest_rel(copied, passed).pvalue})
            print(rows[-1])
        conditions = other.conditions
    write_json(RESULTS / "bank-start" / "results.json", {"rows": rows, "conditions": conditions})


if __name__ == "__main__":
    main()
