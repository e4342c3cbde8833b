"""What a student's bank begins with: a copy of the teacher's bank, or the student's own first pass over all rows.

The copy is what codir does. A comparison is run again with a first pass in its place, and set against its own runs,
seed by seed.

Run: python benchmarks/bank_start.py, after that comparison; it writes benchmarks/results/bank-start/.
"""

from __future__ import annotations

import argparse
import logging
import os
from pathlib import Path

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

COMPARISON, PRESET, STUDENT = "sst2-500-steps", "codir", "3-layers"
RESULTS = Path("benchmarks", "results", "bank-start")


class FirstPassKeeper(MemoryKeeper):
    """Its student's bank holds what the student itself says of every row."""

    def start(self, teacher: Teacher) -> None:
        """Begin as ever, then read all rows."""
        super().start(teacher)
        if self.bank is not None:
            self.fill_bank()


def with_first_pass(config: CompareConfig) -> Comparison:
    """The comparison's preset with two banks, run with that keeper."""
    presets = [entry for entry in config.presets if entry.label == PRESET]
    place = {"reference": PRESET, "jobs": 1, "output_dir": RESULTS / COMPARISON}
    distillation.MemoryKeeper = FirstPassKeeper  # type: ignore[attr-defined]
    return codir.compare_presets(config.model_copy(update={"presets": presets, **place}))


def scores(comparison: Comparison) -> NDArray[np.float64]:
    """The metric of each seed, in order."""
    return np.array([run.metrics[comparison.metric] for _, run in sorted(comparison.of(STUDENT, PRESET).items())])


def main() -> None:
    """Run what is not there yet, and write the difference."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    os.chdir(HERE.parent)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    config = load_comparison(COMPARISON)
    make_teacher(config)
    usual, other = read_comparison(config.output_dir), with_first_pass(config)
    copied, passed = scores(usual), scores(other)
    row = {"comparison": COMPARISON, "preset": PRESET, "metric": usual.metric, "seeds": len(copied)}
    row |= {"copy": copied.mean(), "first_pass": passed.mean(), "difference": (copied - passed).mean()}
    row |= {"p": ttest_rel(copied, passed).pvalue}
    print(row)
    write_json(RESULTS / "results.json", {"rows": [row], "conditions": other.conditions})


if __name__ == "__main__":
    main()
