"""What every benchmark shares: systems timed in turns, results as files, and a claim written down with its conditions.

Knows nothing of any one claim. A claim is one JSON file under `results/performance/` with `claim`, `value`, `bound`,
`holds` and `conditions`, whatever else it wants to show beside them, and a table that is printed and kept.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rich.console import Console
from rich.table import Table

from codir.measure import gather_conditions

RESULTS = Path(__file__).parent / "results" / "performance"


@dataclass(frozen=True)
class Spread:
    """Timed repeats in short: median, quartiles and how many there were; seconds unless said otherwise."""

    median: float
    lower_quartile: float
    upper_quartile: float
    repeats: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarise values."""
        lower, median, upper = np.quantile(values, (0.25, 0.5, 0.75)).tolist()
        return cls(median, lower, upper, len(values))


def time_in_turns(
    systems: Mapping[str, Callable[[], object]], *, rounds: int, warmup: int = 3
) -> dict[str, list[float]]:
    """Time several systems alternately, so that a drift of the machine hits all alike.

    Args:
        systems: by name; each call is one timed repeat. On an accelerator it has to end with a synchronisation.
        rounds: timed repeats of each.
        warmup: repeats of each before the clock counts.

    Returns:
        Seconds of each repeat, by system, in order.
    """
    seconds: dict[str, list[float]] = {name: [] for name in systems}
    for turn in range(-warmup, rounds):
        for name, run in systems.items():
            start = time.perf_counter()
            run()
            if turn >= 0:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def paired_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> Spread:
    """Spread of the ratios of repeats that were timed side by side."""
    return Spread.of([above / below for above, below in zip(numerators, denominators, strict=True)])


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """A result that a reader, or a later run, finds; what is not a number is no result and raises a ValueError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", "utf-8")


def write_claim(
    name: str,
    claim: str,
    *,
    value: float,
    bound: float,
    direction: Literal["at most", "at least"],
    rows: Sequence[Mapping[str, Any]],
    conditions: Mapping[str, Any],
    **details: Any,
) -> None:
    """Write `results/performance/<name>.json`, and print the claim with its table.

    Args:
        name: of the file.
        claim: one sentence that says what `value` is.
        value: what was measured.
        bound: what it was to reach.
        direction: on which side of the bound the claim holds.
        rows: the table beside it, one mapping of column to value per row.
        conditions: sizes and settings of this benchmark; versions, cores, threads, commit and command are added.
        **details: anything else worth keeping.
    """
    holds = value <= bound if direction == "at most" else value >= bound
    content = {
        "claim": claim,
        "value": float(f"{value:.4g}"),
        "bound": bound,
        "direction": direction,
        "holds": holds,
        "rows": list(rows),
        **details,
        "conditions": {**gather_conditions(dtype=str(conditions.get("dtype", "fp32")), seed=0), **conditions},
    }
    write_json(RESULTS / f"{name}.json", content)
    console = Console()
    console.print(table_of(rows))
    verdict = "[green]holds[/green]" if holds else "[red]does not hold[/red]"
    console.print(f"{claim}: [bold]{value:.3g}[/bold], {direction} {bound:g} — {verdict}")
    console.print({key: content["conditions"][key] for key in ("versions", "cores", "threads", "device", *conditions)})


def table_of(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Rows as a table for the terminal."""
    table = Table()
    for column in rows[0]:
        table.add_column(column)
    for row in rows:
        table.add_row(*(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()))
    return table
