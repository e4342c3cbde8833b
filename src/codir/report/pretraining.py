"""What a pre-training found, in words: the table, the page and the curves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codir.errors.shown import redacted
from codir.report.curves import LogHistory, plot_training_curves
from codir.report.words import NOT_MEASURED, REPORT_NAME, in_json, in_thousands, render_page, to_markdown
from codir.store import files_added_whole

COLUMNS = {
    "loss": "loss",
    "perplexity": "perplexity",
    "kl": "KL to teacher",
    "alignment": "alignment",
    "uniformity": "uniformity",
}
"""What tables call scores of language models, by what `examine_language_models` calls them."""
LOWER_IS_BETTER = (
    "On held-out documents. Loss and KL are means over predicted tokens. Alignment and uniformity (Wang & Isola "
    "2020) are of the last layer's mean vectors. For every column, lower is better."
)


@dataclass(frozen=True)
class PretrainingResult:
    """What one pre-training found.

    Attributes:
        title: what stands above the report.
        scores: from `examine_language_models`, by model.
        parameters: of each model.
        conditions: as `gather_conditions` gives them.
        notes: what a reader has to know, one sentence each.
        log_history: of the student's training.
        output_dir: where the student was saved.
    """

    title: str
    scores: dict[str, dict[str, float]]
    parameters: dict[str, int]
    conditions: dict[str, Any]
    notes: tuple[str, ...]
    log_history: LogHistory
    output_dir: Path

    def rows(self) -> list[dict[str, str]]:
        """A row of words for each model."""
        return language_rows(self.scores, self.parameters)

    def to_json(self) -> dict[str, Any]:
        """What `report.json` holds."""
        reported = ("title", "scores", "parameters", "notes", "conditions")
        return dict(redacted({name: getattr(self, name) for name in reported}))


def language_rows(scores: Mapping[str, Mapping[str, float]], parameters: Mapping[str, int]) -> list[dict[str, str]]:
    """A row of words for each model, from its scores and its number of parameters; a column for what any was asked."""
    shown = [key for key in COLUMNS if any(key in of for of in scores.values())]
    return [
        {
            "model": name,
            **{COLUMNS[key]: f"{of[key]:.3f}" if key in of else NOT_MEASURED for key in shown},
            "params": in_thousands(parameters[name]),
        }
        for name, of in scores.items()
    ]


def write_pretraining_report(result: PretrainingResult) -> None:
    """Write `report.json`, `report.md` and `training_curves.png`, none of them ever half-written."""
    with files_added_whole(result.output_dir) as drafts:
        numbers, page, curves = (drafts / name for name in (REPORT_NAME, "report.md", "training_curves.png"))
        numbers.write_text(in_json(result.to_json()), "utf-8")
        page.write_text(_page(result), "utf-8")
        plot_training_curves(result.log_history, curves, title="Pre-training of the student")


def _page(result: PretrainingResult) -> str:
    blocks = [
        to_markdown(result.rows()),
        LOWER_IS_BETTER,
        "![The loss and each of its terms over training steps](training_curves.png)",
    ]
    return render_page(result.title, blocks, notes=result.notes, conditions=result.conditions)
