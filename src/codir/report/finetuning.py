"""What a fine-tuning found, as JSON for programs; people read the model card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from codir.errors.shown import redacted
from codir.measure import Judgement
from codir.report.judgement import to_json, warnings_of
from codir.report.words import REPORT_NAME, in_json
from codir.store import files_added_whole


def write_finetuning_report(
    folder: Path,
    *,
    metrics: Mapping[str, float],
    judgement: Judgement | None,
    facts: Mapping[str, Any],
    notes: Sequence[str],
    conditions: Mapping[str, Any],
) -> None:
    """Write `report.json`.

    Args:
        folder: of the run.
        metrics: of the model, by name; none where it was not scored.
        judgement: what must stand beside them.
        facts: as `training_facts` and `data_facts` give them: `training`, and the rest of the data.
        notes: of the run.
        conditions: as `gather_conditions` gives them.
    """
    data = {name: value for name, value in facts.items() if name != "training"}
    content = {
        "metrics": dict(metrics),
        "warnings": list(warnings_of(judgement)) if judgement else [],
        "notes": list(notes),
        "data": data,
        "training": dict(facts["training"]),
        **(to_json(judgement) if judgement else {}),
        "conditions": dict(conditions),
    }
    with files_added_whole(folder) as drafts:
        (drafts / REPORT_NAME).write_text(in_json(redacted(content)), "utf-8")
