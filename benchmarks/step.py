"""Claim (a): a CoDIR step with a cached teacher costs what a plain fine-tuning step of the same student costs.

Run: python benchmarks/step.py; it writes benchmarks/results/performance/step.json.
"""

from __future__ import annotations

import argparse
from typing import Any

from common import Spread, paired_ratio, write_claim
from training import SETTING, Setting, time_steps

SYSTEMS: dict[str, dict[str, Any]] = {
    "fine-tune, no teacher": {"preset": "fine-tune"},
    "codir, cached teacher": {"preset": "codir"},
    "codir-fresh, cached teacher": {"preset": "codir-fresh"},
    "codir-paper, cached teacher and bank": {"preset": "codir-paper"},
    "kd, cached teacher": {"preset": "kd"},
    "kd, live teacher": {"preset": "kd", "live": True},
    "codir-paper, live teacher and bank": {"preset": "codir-paper", "live": True},
    "codir, live teacher": {"preset": "codir", "live": True},
    "codir-fresh, live teacher": {"preset": "codir-fresh", "live": True},
}
PLAIN, CODIR = "fine-tune, no teacher", "codir, cached teacher"
ROUNDS_FOR_THE_RECORD = {name: 4 for name in SYSTEMS if name not in (PLAIN, CODIR)}
ROUNDS_FOR_THE_RECORD["codir-fresh, live teacher"] = 1  # it reads the negatives too, and takes seconds a step


def main() -> None:
    """Train each system for a few steps in turns, over the same batches; compare step by step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=18, help="per turn, the first not counted")
    parser.add_argument("--rounds", type=int, default=14, help="many short turns: the machine drifts within minutes")
    parser.add_argument("--smoke", action="store_true", help="a few steps, and nothing is written")
    options = parser.parse_args()
    steps, rounds = (4, 1) if options.smoke else (options.steps, options.rounds)
    setting = Setting()
    seconds: dict[str, list[float]] = {name: [] for name in SYSTEMS}
    for turn in range(rounds):
        for name, system in list(SYSTEMS.items())[:: 1 if turn % 2 == 0 else -1]:  # who is first changes
            if turn < ROUNDS_FOR_THE_RECORD.get(name, rounds):
                seconds[name] += time_steps(setting.trainer(steps=steps, **system))
    ratios = {name: paired_ratio(found, seconds[PLAIN][: len(found)]) for name, found in seconds.items()}
    rows = []
    for name, found in seconds.items():
        times, ratio = Spread.of(found), ratios[name]
        row = {"step of": name, "steps": times.repeats, "median ms": times.median * 1e3}
        row["mean ratio to plain"] = sum(found) / sum(seconds[PLAIN][: len(found)])
        quartiles = f"{ratio.lower_quartile:.3f} to {ratio.upper_quartile:.3f}"
        row |= {"median ratio": ratio.median, "quartiles": quartiles}
        rows.append(row)
    if options.smoke:
        print(rows)
        return
    write_claim(
        "step",
        "a CoDIR step with a cached teacher over a plain fine-tuning step of the same student, median of paired steps",
        value=ratios[CODIR].median,
        bound=1.05,
        direction="at most",
        rows=rows,
        conditions={**SETTING, "dtype": "bf16", "steps_per_turn": steps, "turns": rounds},
    )


if __name__ == "__main__":
    main()
