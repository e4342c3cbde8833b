"""What a sweep makes: students, each distilled and exported, and perhaps the teacher's own export."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from codir.config import ExportConfig, Recipe, StudentConfig, SweepConfig, validate
from codir.config.words import TEACHER
from codir.report import REPORT_NAME
from codir.runs.compare.entries import digest
from codir.runs.export import export_model
from codir.runs.output import RunFolder
from codir.store import Damage, find_damage, fingerprint_files, read_sealed, seal, write_whole

EXPORTING = {"engine", "int8", "max_loss", "calibration_rows"}
"""Keys of a sweep that say how models are exported."""


def exporting_of(config: SweepConfig, model: str, name: str) -> ExportConfig:
    """What `codir export` would be given for one model."""
    sections = {
        **config.model_dump(include={"data", *EXPORTING}),
        "model": model,
        "output_dir": config.output_dir / "exported" / name,
        "overwrite": True,
    }
    return validate(ExportConfig, sections)


# ---- Exports ----


def stamp_of(exporting: ExportConfig) -> Path:
    """Says what an export was made from; written once it is whole."""
    return exporting.output_dir.with_name(f".{exporting.output_dir.name}.json")


def is_exported(exporting: ExportConfig, weights: str) -> bool:
    """Whether a model with these weights is exported as it now would be."""
    stamp = read_sealed(stamp_of(exporting))
    if isinstance(stamp, Damage) or stamp.get("made_from") != _made_from(exporting, weights):
        return False
    return find_damage(exporting.output_dir) is None


def export_once(exporting: ExportConfig, weights: str) -> None:
    """Export a model, unless that was done.

    Raises:
        UserError: no export passes.
    """
    if not is_exported(exporting, weights):
        export_model(exporting)
        write_whole(stamp_of(exporting), json.dumps(seal({"made_from": _made_from(exporting, weights)})) + "\n")


def _made_from(exporting: ExportConfig, weights: str) -> str:
    """What decides an export: the model's weights, and how it is exported."""
    return digest({"how": exporting.model_dump(mode="json", include=EXPORTING), "weights": weights})


def teacher_export(config: SweepConfig) -> ExportConfig | None:
    """What `codir export` would be given for the teacher, where that was asked for."""
    return exporting_of(config, config.teacher.model, TEACHER) if config.export_teacher else None


# ---- Students ----


@dataclass(frozen=True, eq=False)
class Entry:
    """One student of a sweep: where it is distilled to, where it is exported to, and how."""

    name: str
    recipe: Recipe
    exporting: ExportConfig

    @property
    def stamp(self) -> Path:
        """Says what its export was made from."""
        return stamp_of(self.exporting)

    @property
    def weights(self) -> str:
        """Of its files."""
        return fingerprint_files(sorted(self.recipe.output_dir.glob("*.safetensors")))

    def is_distilled(self) -> bool:
        """Whether its run came to its end."""
        return RunFolder(self.recipe).is_complete()

    def is_made(self) -> bool:
        """Whether it is distilled, and exported as it now would be."""
        return self.is_distilled() and is_exported(self.exporting, self.weights)

    def notes(self) -> list[str]:
        """What its own report says that a reader has to know."""
        report = json.loads((self.recipe.output_dir / REPORT_NAME).read_text("utf-8"))
        return list(report["notes"])


def entry_of(config: SweepConfig, name: str, student: StudentConfig) -> Entry:
    """What `codir distill` and `codir export` would be given.

    All students read the teacher from one cache, unless it is to run live.
    """
    place = config.output_dir / "students" / name
    sections = {
        "teacher": {**config.teacher.model_dump(), "cache": config.teacher.cache is not False},
        "data": config.data.model_dump(),
        "student": student.model_dump(),
        "objectives": config.objectives.model_dump(),
        "training": config.training.model_dump(),
        "report_texts": config.report_texts,
        "output_dir": place,
    }
    return Entry(name, validate(Recipe, sections), exporting_of(config, str(place), name))
