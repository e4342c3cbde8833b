"""What a reader has to know of a run to judge its numbers: what it was trained on and judged by, and what it took."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import Trainer

from codir.data import LoadedData
from codir.report import REPORT_NAME
from codir.store import read_json


def data_facts(data: LoadedData) -> dict[str, Any]:
    """Where rows come from, and how many there are: `train`, and each evaluation set under `evaluation`.

    Evaluation sets have a fingerprint of their texts, for `note_changed_rows`.
    """
    facts: dict[str, Any] = {}
    if data.train is not None:
        facts["train"] = {"source": data.origins.get("train", "train"), "rows": len(data.train) - data.num_unlabelled}
        if data.num_unlabelled:
            facts["train"]["unlabelled_rows"] = data.num_unlabelled
    facts["evaluation"] = {
        name: {
            "source": data.origins.get(name, name),
            "rows": len(rows),
            "fingerprint": data.fingerprints[name],
        }
        for name, rows in data.dev.items()
    }
    return facts


def note_changed_rows(run: Path | None, data: LoadedData) -> list[str]:
    """Say so where evaluation sets are not those that a run was judged by, though its recipe names them.

    Args:
        run: its output folder; without one, or without a report in it that knows its rows, nothing is said.
        data: as the run's recipe reads it now.
    """
    if run is None:
        return []
    judged_by = _evaluation_sets(read_json(run / REPORT_NAME))
    changed = [name for name, now in data.fingerprints.items() if judged_by.get(name, now) != now]
    if not changed:
        return []
    return [
        f"{', '.join(changed)}: other rows than those of the report in {run}, since the data changed; rows that the "
        "run was trained on may be among them"
    ]


def _evaluation_sets(report: Any) -> dict[str, Any]:
    """The fingerprint of each evaluation set that a report names."""
    data = report.get("data") if isinstance(report, dict) else None
    sets = data.get("evaluation") if isinstance(data, dict) else None
    known = sets.items() if isinstance(sets, dict) else ()
    return {name: one["fingerprint"] for name, one in known if isinstance(one, dict) and "fingerprint" in one}


def training_facts(trainer: Trainer, seconds: float, *, resumed: bool) -> dict[str, Any]:
    """What a training took.

    Args:
        trainer: that has trained.
        seconds: from its first step to its last, with the evaluations between them.
        resumed: whether the run began at a checkpoint, so that earlier minutes are missing.
    """
    args, state = trainer.args, trainer.state
    facts = {
        "steps": state.global_step,
        "epochs": round(float(state.epoch or 0.0), 3),
        "minutes": round(seconds / 60, 3),
        "batch_size": args.per_device_train_batch_size * args.gradient_accumulation_steps * args.world_size,
        "learning_rate": args.learning_rate,
    }
    return {**facts, "resumed": True} if resumed else facts


def note_end(trainer: Trainer) -> list[str]:
    """Say when a training ended before its last step, and which of its states was kept."""
    args, state = trainer.args, trainer.state
    is_early, best = state.global_step < state.max_steps, state.best_global_step
    stopped = f"Training stopped early, after {state.global_step:,} of {state.max_steps:,} steps."
    if args.load_best_model_at_end and best:
        kept = [f"The model of step {best:,} is kept, the best by `{args.metric_for_best_model}`."]
    else:
        kept = ["Its last model is kept; `--best` keeps the best."] if is_early else []
    return [stopped, *kept] if is_early else kept
