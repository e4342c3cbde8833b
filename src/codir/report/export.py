"""What exporting a model came to: what was tried, what each candidate keeps and costs, and which one is shipped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codir.errors.shown import redacted
from codir.measure import Candidate, Interval, ModelResult
from codir.report.words import NOT_MEASURED, in_megabytes, in_threads, in_words, show_metric, to_terminal

if TYPE_CHECKING:
    from rich.table import Table

PYTORCH = "PyTorch fp32"


@dataclass(frozen=True)
class ExportResult:
    """What exporting a model came to.

    Attributes:
        title: what stands above the table.
        chosen: what was written.
        candidates: all that were tried.
        models: scores and costs of PyTorch and of all candidates, by name.
        speed: how speeds were measured.
        notes: what a reader has to know.
        conditions: under which numbers were measured.
        output_dir: where the chosen one is.
        usage: what its `infer.py` is given, as it would be typed.
    """

    title: str
    chosen: Candidate
    candidates: Sequence[Candidate]
    models: Mapping[str, ModelResult]
    speed: Mapping[str, int]
    notes: tuple[str, ...]
    conditions: Mapping[str, Any]
    output_dir: Path
    usage: str

    def to_json(self) -> dict[str, Any]:
        """All numbers, for the folder's record."""
        return dict(
            redacted(
                {
                    "engine": self.chosen.engine,
                    "precision": self.chosen.precision,
                    "left_in_fp32": list(self.chosen.left),
                    "parameters": self.models[PYTORCH].parameters,
                    "gate": {
                        one.name: asdict(one.verdict) | {"left_in_fp32": list(one.left)} for one in self.candidates
                    },
                    "models": {name: asdict(model) for name, model in self.models.items()},
                    "speed": dict(self.speed),
                    "notes": list(self.notes),
                    "conditions": dict(self.conditions),
                }
            )
        )


def export_table(result: ExportResult) -> Table:
    """Build what `codir export` prints: one row for PyTorch and for each candidate."""
    metric = result.chosen.verdict.metric
    base = result.models[PYTORCH]
    verdicts = {one.name: one.verdict for one in result.candidates}

    def row(name: str, model: ModelResult) -> dict[str, str]:
        verdict, latency = verdicts.get(name), model.latency
        return {
            "runs": name,
            in_words(metric): show_metric(metric, model.metrics[metric]),
            "points lost": in_points(verdict.loss) if verdict else NOT_MEASURED,
            "MB": in_megabytes(model.bytes).removesuffix(" MB"),
            "sent./s": f"{model.sentences_per_second or 0:,.0f}",
            "faster": _times(model.sentences_per_second, base.sentences_per_second),
            "1 row": f"{latency.p50:.1f} ms" if latency else NOT_MEASURED,
        }

    speed = result.speed
    caption = (
        f"{result.chosen.verdict.rows:,} rows; sentences per second in batches of {speed['batch_size']}, the median "
        f"milliseconds of one row, {in_threads(result.conditions['threads'])}."
    )
    rows = [row(name, model) for name, model in result.models.items()]
    return to_terminal(rows, title=result.title, caption=caption, bold=result.chosen.name)


def in_points(loss: Interval) -> str:
    """A loss in points, with its interval.

    Example:
        >>> in_points(Interval(0.82, -0.04, 1.5, 1000))
        '0.8 (0.0 to 1.5)'
    """
    value, low, high = (round(number, 1) + 0.0 for number in (loss.value, loss.low, loss.high))  # no minus zero
    return f"{value:.1f} ({low:.1f} to {high:.1f})"


def _times(rate: float | None, base: float | None) -> str:
    return f"{rate / base:.1f}x" if rate and base else NOT_MEASURED
