"""What one model was found to do on evaluation sets: JSON for programs, tables for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from codir.errors.shown import plain, redacted, short_paths
from codir.measure import Judgement, ModelResult
from codir.report.judgement import (
    MOST_CONFUSED,
    certainty_rows,
    class_rows,
    latency_sentence,
    length_rows,
    to_json,
    warnings_of,
)
from codir.report.words import LONGEST_TEXT, in_words, show_metric, to_terminal

if TYPE_CHECKING:
    from rich.console import Group

MODEL = "model"
"""What tables call the one model."""


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
    """

    title: str
    model: ModelResult
    judgement: Judgement
    speed: Mapping[str, int]
    data: Mapping[str, Any]
    dtype: str

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
        alone = self.model.latency
        content = {
            **self.metrics,
            "warnings": list(self.warnings),
            "data": dict(self.data),
            **to_json(self.judgement),
            "parameters": self.model.parameters,
            "bytes": self.model.bytes,
            "sentences_per_second": self.model.sentences_per_second,
            "latency": None if alone is None else {"p50": alone.p50, "p95": alone.p95, "rows": alone.rows},
            "speed": dict(self.speed),
        }
        return dict(redacted(content))


def evaluation_table(result: EvaluationResult) -> Group:
    """Build what `codir evaluate` prints: warnings, metrics with intervals, classes, and lengths."""
    from rich.console import Group
    from rich.text import Text

    judgement = result.judgement
    warnings = [Text(plain(warning, longest=LONGEST_TEXT), style="bold red") for warning in result.warnings]
    rows = [
        {"metric": row["metric"], **{key: row[key] for key in ("value", "95% interval", "rows")}}
        | {judgement.floor_name: show_metric(metric, judgement.floor[metric])}
        for metric, row in zip(judgement.floor, certainty_rows(judgement, list(judgement.floor)), strict=True)
    ]
    tables = [
        to_terminal(
            rows,
            title=short_paths(result.title),
            caption=latency_sentence({MODEL: result.model}, result.speed, result.dtype),
        )
    ]
    if judgement.by_class and len(judgement.by_class[MODEL].classes) <= MOST_CONFUSED:
        tables.append(to_terminal(class_rows(judgement.by_class, MODEL), title="By class"))
    if len(judgement.by_length) > 1:
        title = f"{in_words(judgement.primary).capitalize()} by length"
        tables.append(to_terminal(length_rows(judgement), title=title))
    spaced = [part for table in tables for part in (table, Text())]
    return Group(*warnings, *spaced[:-1])
