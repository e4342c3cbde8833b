"""What one model was found to do on evaluation sets: JSON for programs, tables for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codir.errors.shown import redacted, short_paths
from codir.measure import Interval, Judgement, ModelResult
from codir.report.judgement import (
    MOST_CONFUSED,
    Rows,
    calibration_rows,
    certainty_rows,
    class_rows,
    latency_sentence,
    length_rows,
    show_interval,
    speed_rows,
    to_json,
    warnings_of,
)
from codir.report.words import NOT_MEASURED, in_words, show_metric, stacked, to_terminal
from codir.tasks import kind_of_metric

if TYPE_CHECKING:
    from rich.console import Group

MODEL, AGAINST = "model", "against"
"""What the models are called where there are several."""


@dataclass(frozen=True)
class SecondModel:
    """What the model was compared with.

    Attributes:
        name: its folder, or its name on the hub.
        result: its scores and costs.
        agreement: on each evaluation set, the share of rows with the same answer; for scores, their correlation.
    """

    name: str
    result: ModelResult
    agreement: Mapping[str, Interval]

    def to_json(self) -> dict[str, Any]:
        """All of it, for programs."""
        agreement = {name: asdict(interval) for name, interval in self.agreement.items()}
        return {"model": short_paths(self.name), "agreement": agreement, **asdict(self.result)}


@dataclass(frozen=True)
class EvaluationResult:
    """What one model was found to do.

    Attributes:
        title: what stands above the table.
        model: its scores and costs.
        judgement: what must stand beside the scores.
        speed: how speeds were measured: `batch_size`, `rows`, `latency_rows`.
        data: the evaluation sets, with numbers of rows.
        dtype: number format of the matrix products.
        against: what it was compared with; `None` where it was not.
        files: that were written.
    """

    title: str
    model: ModelResult
    judgement: Judgement
    speed: Mapping[str, int]
    data: Mapping[str, Any]
    dtype: str
    against: SecondModel | None = None
    files: tuple[Path, ...] = ()

    @property
    def metrics(self) -> dict[str, float]:
        """Its scores by name."""
        return self.model.metrics

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader has to hear before any number."""
        return tuple(warnings_of(self.judgement))

    def to_json(self) -> dict[str, Any]:
        """The metrics by name, and beside them all the rest."""
        content = {
            **self.metrics,
            "warnings": list(self.warnings),
            "data": dict(self.data),
            **to_json(self.judgement),
            "parameters": self.model.parameters,
            "bytes": self.model.bytes,
            "sentences_per_second": self.model.sentences_per_second,
            "latency": None if self.model.latency is None else asdict(self.model.latency),
            "speed": dict(self.speed),
            **({} if self.against is None else {AGAINST: self.against.to_json()}),
        }
        return dict(redacted(content))


def evaluation_table(result: EvaluationResult) -> Group:
    """Build what `codir evaluate` prints: warnings, metrics with intervals, classes, and lengths."""
    judgement = result.judgement
    alone = latency_sentence({MODEL: result.model}, result.speed, result.dtype)
    caption = alone if result.against is None else f"Scores and speeds in {result.dtype}."
    tables = [to_terminal(_metric_rows(result), title=short_paths(result.title), caption=caption)]
    if result.against is not None:
        both = {MODEL: result.model, AGAINST: result.against.result}
        tables.append(to_terminal(speed_rows(both, result.speed), title="Speed"))
        metric, meaning = kind_of_metric(judgement.primary).agreement
        rows, what = _agreement_rows(result.against, metric), f"Agreement: {meaning}."
        tables.append(to_terminal(rows, title=f"Against {short_paths(result.against.name)}", caption=what))
    if judgement.calibration:
        rows = calibration_rows(judgement.calibration)
        tables.append(to_terminal(rows if result.against else _without_model(rows), title="Calibration"))
    if judgement.by_class and len(judgement.by_class[MODEL].classes) <= MOST_CONFUSED:
        tables.append(to_terminal(class_rows(judgement.by_class, MODEL), title="By class"))
    if len(judgement.by_length) > 1:
        title = f"{in_words(judgement.primary).capitalize()} by length"
        tables.append(to_terminal(length_rows(judgement), title=title))
    return stacked(result.warnings, *tables)


def _metric_rows(result: EvaluationResult) -> Rows:
    """Each metric with its interval, of the model, of the second one and of their difference, beside the floor."""
    judgement = result.judgement
    rows = []
    for metric, floor in judgement.floor.items():
        for place, row in enumerate(certainty_rows(judgement, [metric])):
            shown = {key: row[key] for key in ("metric", "model", "value", "95% interval", "rows")}
            is_difference = place >= len(judgement.intervals)
            rows.append({**shown, judgement.floor_name: NOT_MEASURED if is_difference else show_metric(metric, floor)})
    return rows if result.against else _without_model(rows)


def _agreement_rows(against: SecondModel, metric: str) -> Rows:
    """How far the two models answer alike on each evaluation set."""
    return [
        {
            "evaluation set": name,
            "agreement": show_metric(metric, found.value),
            "95% interval": show_interval(metric, found),
            "rows": f"{found.rows:,}",
        }
        for name, found in against.agreement.items()
    ]


def _without_model(rows: Rows) -> Rows:
    """Where there is one model, its name says nothing."""
    return [{column: cell for column, cell in row.items() if column != "model"} for row in rows]
