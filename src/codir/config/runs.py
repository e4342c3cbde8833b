"""Whole recipes, one for each command that trains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from pydantic import (
    Field,
    field_validator,
    model_validator,
)

from codir.config.base import KeepCheckpoints, OutputDir, Overwrite, PathOrName, PushToHub, ReportTexts, Resume, Room
from codir.config.objectives import ObjectivesConfig, TaskObjectives
from codir.config.presets import preset_names
from codir.config.sections import CorpusConfig, DataConfig, MaskingConfig, StudentConfig, TeacherConfig
from codir.config.training import PretrainingConfig, TrainingConfig
from codir.errors import UserError, nearest


def to_be_named() -> StudentConfig:
    """An empty section, which validation refuses together with all other mistakes."""
    return cast(StudentConfig, {})


class FinetuneConfig(Room):
    """`codir finetune`: a pre-trained model becomes a task model."""

    model: PathOrName = Field(description="folder or hub name of a pre-trained model")
    data: DataConfig = Field(description=DataConfig.__doc__)
    training: TrainingConfig = Field(default_factory=TrainingConfig, description=TrainingConfig.__doc__)
    output_dir: OutputDir
    overwrite: Overwrite = False
    resume: Resume = False
    keep_checkpoints: KeepCheckpoints = False
    push_to_hub: PushToHub = None


class PretrainRecipe(Room):
    """`codir pretrain`: a language model and a corpus become a task-agnostic student."""

    teacher: PathOrName | None = Field(None, description="folder or hub name of a model with a language-model head")
    corpus: CorpusConfig = Field(description=CorpusConfig.__doc__)
    masking: MaskingConfig = Field(default_factory=MaskingConfig, description=MaskingConfig.__doc__)
    student: StudentConfig = Field(default_factory=to_be_named, description=StudentConfig.__doc__)
    objectives: ObjectivesConfig = Field(
        default_factory=lambda: ObjectivesConfig.model_validate("codir-pre"), description=ObjectivesConfig.__doc__
    )
    training: PretrainingConfig = Field(default_factory=PretrainingConfig, description=PretrainingConfig.__doc__)
    output_dir: OutputDir
    overwrite: Overwrite = False
    resume: Resume = False
    keep_checkpoints: KeepCheckpoints = False
    push_to_hub: PushToHub = None

    @model_validator(mode="before")
    @classmethod
    def _presets_of_this_command(cls, given: Any) -> Any:
        """`codir-pre` where no preset is named; and `distilbert`, here, is `distilbert-pre`."""
        if not isinstance(given, Mapping):
            return given
        section = given.get("objectives") or {}
        section = {"preset": section} if isinstance(section, str) else section
        if not isinstance(section, Mapping) or section.get("stages"):
            return given
        name = section.get("preset", "codir-pre")
        own = preset_names("pretrain")
        name = f"{name}-pre" if f"{name}-pre" in own else name
        return {**given, "objectives": {**section, "preset": name}}

    @field_validator("objectives")
    @classmethod
    def _no_preset_of_the_other_stage(cls, objectives: ObjectivesConfig) -> ObjectivesConfig:
        name, own = objectives.preset, preset_names("pretrain")
        if name is not None and name not in own:
            raise UserError(
                "preset", expected="a preset of the pre-training stage", got=repr(name), do=nearest(name, own)
            )
        return objectives

    @model_validator(mode="after")
    def _something_to_start_from(self) -> PretrainRecipe:
        if self.teacher is None and self.student.checkpoint is None:
            raise UserError(
                "student",
                expected="`checkpoint`, where there is no teacher to cut the student from",
                got="`layers`" if self.student.layers is not None else "`config`",
                do="name a `teacher`, whose objectives may still need none (preset `mlm`), or a `--student`",
            )
        return self


class Recipe(Room):
    """`codir distill`: a teacher and a data set become a student."""

    teacher: TeacherConfig = Field(description=TeacherConfig.__doc__)
    data: DataConfig = Field(description=DataConfig.__doc__)
    student: StudentConfig = Field(default_factory=to_be_named, description=StudentConfig.__doc__)
    objectives: TaskObjectives = Field(default_factory=ObjectivesConfig)
    training: TrainingConfig = Field(default_factory=TrainingConfig, description=TrainingConfig.__doc__)
    output_dir: OutputDir
    baseline: bool = Field(False, description="also train the same student without a teacher, for comparison")
    report_texts: ReportTexts = True
    overwrite: Overwrite = False
    resume: Resume = False
    keep_checkpoints: KeepCheckpoints = False
    push_to_hub: PushToHub = None


AnyRun = Recipe | FinetuneConfig | PretrainRecipe
"""What leaves a model in a folder that it claims for itself, and can go on where it was interrupted."""
