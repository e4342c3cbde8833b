"""How hard the contrast stays while a student learns, by anchor and negatives. One seed: no comparison of students.

Run: python benchmarks/anchors.py; it writes benchmarks/results/anchors/results.json.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from common import write_json

from codir.config import FinetuneConfig, Recipe, validate
from codir.data import DEMO_SOURCE, find_minilm
from codir.runs import distill, finetune

RESULTS = Path(__file__).parent / "results" / "anchors" / "results.json"
DATA = {"source": DEMO_SOURCE, "max_train_rows": 1000, "max_length": 64}
TRAINING = {"num_train_epochs": 2, "save_strategy": "no", "eval_strategy": "no", "logging_steps": 12}


def follow(anchor: str, strategy: str, teacher: Path, folder: Path) -> tuple[list[float], dict[str, Any]]:
    """Distil once; the contrastive term at every log line, and the conditions."""
    recipe = {
        "teacher": {"model": str(teacher)},
        "data": DATA,
        "student": {"layers": 3},
        "objectives": {"contrastive": {"anchor": anchor, "strategy": strategy}},
        "training": TRAINING,
        "output_dir": folder / f"{anchor}-{strategy}",
    }
    result = distill(validate(Recipe, recipe))
    terms = [entry["loss/contrastive"] for entry in result.log_history if "loss/contrastive" in entry]
    return terms, result.conditions


def main() -> None:
    """Fine-tune a teacher, follow the term in four runs, write what was seen."""
    folder = Path(tempfile.mkdtemp())
    teacher = folder / "teacher"
    settings = {"model": str(find_minilm()), "data": DATA, "training": TRAINING, "output_dir": teacher}
    finetune(validate(FinetuneConfig, settings))
    runs: list[dict[str, Any]] = []
    conditions: dict[str, Any] = {}
    for anchor in ("teacher", "student"):
        for strategy in ("other_class", "any"):
            terms, conditions = follow(anchor, strategy, teacher, folder)
            runs.append({"anchor": anchor, "negatives": strategy, "contrastive": [round(term, 4) for term in terms]})
            print(runs[-1])
    write_json(RESULTS, {"data": DATA, "training": TRAINING, "runs": runs, "conditions": conditions})


if __name__ == "__main__":
    main()
