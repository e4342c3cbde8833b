"""codir as a worker: the parts of `codir distill`, built by `codir.runs.build`, with a new teacher cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from worker import (
    CE_WEIGHT,
    KD_WEIGHT,
    LEARNING_RATE,
    TEMPERATURE,
    Baton,
    Plan,
    feed_trainer,
    trainer_arguments,
    without_dropout,
)

from codir.config import Recipe, validate
from codir.runs.build import build_trainer, load, load_reader, make_student


def recipe_of(plan: Plan) -> Recipe:
    """Setting `equal` spells out what all systems share; `defaults` gives no more than `codir distill` demands."""
    folder, scratch = Path(plan.folder), Path(plan.scratch)
    content: dict[str, Any] = {
        "teacher": {"model": str(folder / "teacher"), "cache_dir": scratch / "cache"},
        "data": {"source": str(folder / "train.jsonl"), "dev": str(folder / "dev.jsonl")},
        "student": {"checkpoint": str(folder / "student")},
        "training": trainer_arguments(plan),
        "output_dir": scratch / "student",
    }
    if plan.is_equal:
        content["teacher"]["cache"] = True
        content["data"]["max_length"] = plan.max_length
        content["training"] |= {
            "precision": "bf16",
            "per_device_train_batch_size": plan.batch_size,
            "learning_rate": LEARNING_RATE,
        }
        content["objectives"] = {
            "preset": "kd",
            "hard_label": {"weight": CE_WEIGHT},
            "soft_target": {"weight": KD_WEIGHT, "kd_temperature": TEMPERATURE},
        }
    return validate(Recipe, content)


def main() -> None:
    """Build the trainer as `codir.runs.distill.distill` does, and train when told to."""
    baton = Baton("codir")
    recipe = recipe_of(baton.plan)
    teacher = load_reader(recipe.teacher.model)
    data = load(recipe.data, teacher)
    student = make_student(recipe.student, teacher, seed=recipe.training.seed)
    trainer: Any = build_trainer(recipe, recipe.objectives, data, student, teacher, recipe.output_dir / "checkpoints")
    if baton.plan.check:
        without_dropout(student.model)
    own_loss = trainer.compute_loss

    def compute_loss(*args: Any, **kwargs: Any) -> Any:
        loss = own_loss(*args, **kwargs)
        baton.note_loss(loss)
        return loss

    trainer.compute_loss = compute_loss
    feed_trainer(trainer, baton)
    trainer.train()


if __name__ == "__main__":
    main()
