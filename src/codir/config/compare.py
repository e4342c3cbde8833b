"""What `codir compare` is given: contestants, students, seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import (
    Field,
    PositiveInt,
    field_validator,
    model_validator,
)

from codir.config.base import FileName, Room, UserPath
from codir.config.check import validate
from codir.config.objectives import ObjectivesConfig, refuse_pretraining
from codir.config.sections import DataConfig, StudentConfig, TeacherConfig
from codir.config.trainer_options import Seed
from codir.config.training import NEED_EVALUATION, TrainingConfig
from codir.config.yaml import deep_merge
from codir.errors import UserError, nearest

SAME_FOR_ALL = frozenset(
    {
        "seed",
        "data_seed",
        "num_train_epochs",
        "max_steps",
        "per_device_train_batch_size",
        "gradient_accumulation_steps",
        "train_sampling_strategy",
        "precision",
    }
)
"""Keys of `training` that one entry of a comparison cannot have for itself."""


class Contestant(Room):
    """One entry of a comparison: a preset, and what is different from it."""

    name: FileName | None = Field(None, description="its name in the table; the preset's own by default")
    preset: str = Field(description="whose objectives these are")
    objectives: dict[str, Any] = Field({}, description="settings laid over the preset's, as in a recipe")
    training: dict[str, Any] = Field({}, description="settings laid over the comparison's")
    labelled_only: bool = Field(
        False,
        description="train on the rows with a label alone, for as many steps: what rows without one add; "
        "so does what learns from labels alone, such as `fine-tune`",
    )

    @field_validator("preset")
    @classmethod
    def _known_preset(cls, preset: str) -> str:
        refuse_pretraining(validate(ObjectivesConfig, {"preset": preset}))
        return preset

    @model_validator(mode="before")
    @classmethod
    def _preset_alone(cls, given: Any) -> Any:
        return {"preset": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _sees_what_the_others_see(self) -> Contestant:
        for key in sorted(SAME_FOR_ALL & self.training.keys()):
            raise UserError(
                f"presets.training.{key}",
                expected="the same batches and steps for every preset",
                got=f"another `{key}` for {self.label}",
                otherwise="more data or more steps would have been taken for a better objective",
                do="set it for all, in `training` of the comparison",
            )
        return self

    @property
    def label(self) -> str:
        """What stands in the table."""
        return self.name or self.preset


class CompareConfig(Room):
    """`codir compare`: presets x kinds of student x seeds, on one teacher and data set."""

    teacher: TeacherConfig = Field(description=TeacherConfig.__doc__)
    data: DataConfig = Field(description=DataConfig.__doc__)
    students: dict[FileName, StudentConfig] = Field(
        min_length=1, description="kinds of student by name; `student` stands for one"
    )
    presets: list[Contestant] = Field(
        min_length=1, description="which presets: names such as `kd,pkd,codir`, or sections"
    )
    seeds: PositiveInt | Annotated[list[Seed], Field(min_length=1)] = Field(
        5, description="how many, such as `5`, or which, such as `0,3,7`"
    )
    reference: str | None = Field(
        None, description="preset that the others are compared with; `fine-tune` or the first by default"
    )
    objectives: dict[str, Any] = Field({}, description="settings for every preset that has such terms")
    training: TrainingConfig = Field(default_factory=TrainingConfig, description=TrainingConfig.__doc__)
    jobs: PositiveInt = Field(1, description="runs side by side, in processes that share the threads")
    keep_students: bool = Field(False, description="save every student")
    output_dir: UserPath = Field(description="folder for the runs, the tables and the report")
    overwrite: bool = Field(False, description="do finished runs again")

    @model_validator(mode="before")
    @classmethod
    def _one_student(cls, given: Any) -> Any:
        """`student`, as a recipe has it, is one kind of student."""
        if not isinstance(given, Mapping) or "student" not in given:
            return given
        if "students" in given:
            raise UserError(
                "students",
                expected="`student` or `students`",
                got="both",
                do="write the one student among the others, under a name",
            )
        rest = {key: value for key, value in given.items() if key != "student"}
        return {"students": {"student": given["student"]}, **rest}

    @model_validator(mode="before")
    @classmethod
    def _preset_of_a_recipe(cls, given: Any) -> Any:
        """`objectives` of a recipe name a preset, in whose place there are `presets` here."""
        if not isinstance(given, Mapping) or not isinstance(given.get("objectives", {}), str | Mapping):
            return given
        objectives = given.get("objectives", {})
        terms = {} if isinstance(objectives, str) else dict(objectives)
        terms.pop("preset", None)
        if terms.get("stages") is None:  # as the record of a run has it
            terms.pop("stages", None)
        return {**given, "objectives": terms}

    @model_validator(mode="after")
    def _objectives_of_all(self) -> CompareConfig:
        for contestant in self.presets:
            refuse_pretraining(self.objectives_of(contestant))
        known = set(ObjectivesConfig.model_fields) - {"preset", "stages"}
        for name in sorted(self.objectives.keys() - known):
            raise UserError(
                f"objectives.{name}", expected="a term that codir knows", got=f"'{name}'", do=nearest(name, known)
            )
        return self

    @model_validator(mode="after")
    def _training_of_each(self) -> CompareConfig:
        for contestant in self.presets:
            self.training_of(contestant)
        return self

    @model_validator(mode="after")
    def _rows_of_each(self) -> CompareConfig:
        alone = next((one.label for one in self.presets if self.is_labelled_only(one)), None)
        if alone is None:
            return self
        if not self._has_unlabelled:
            raise UserError(
                "presets.labelled_only",
                expected="rows without a label that the other presets train on",
                got=f"neither `data.unlabelled` nor `data.unlabelled_rows`, for {alone}",
                otherwise="it would have had no effect",
                do="leave it out, or add such rows",
            )
        if (self.training.max_steps or 0) < 1:
            raise UserError(
                "training.max_steps",
                expected=f"a number of steps, where {alone} trains on the labelled rows alone and others on all",
                got=f"{self.training.num_train_epochs:g} epochs, of fewer rows for {alone}",
                otherwise="it would have been trained for fewer steps than the others",
                do="set `training.max_steps`",
            )
        return self

    @model_validator(mode="after")
    def _seeds_that_differ(self) -> CompareConfig:
        if len(set(self.seed_list)) < len(self.seed_list):
            raise UserError(
                "seeds",
                expected="different numbers",
                got=f"{self.seeds}",
                otherwise="one run would have counted twice",
                do="leave the second one out",
            )
        return self

    @model_validator(mode="after")
    def _names_that_tell_apart(self) -> CompareConfig:
        labels = [contestant.label for contestant in self.presets]
        if len(set(labels)) < len(labels) or (self.reference is not None and self.reference not in labels):
            raise UserError(
                "presets",
                expected="different names, with `reference` among them",
                got=f"{', '.join(labels)}; reference {self.reference or 'not given'}",
                do="give a second entry of a preset a `name`",
            )
        return self

    def training_of(self, contestant: Contestant) -> TrainingConfig:
        """What is said for one contestant over what is said for all."""
        try:
            training = validate(TrainingConfig, {**self.training.model_dump(), **contestant.training})
        except UserError as error:
            raise error.of(contestant.label) from None
        for key in NEED_EVALUATION:
            if getattr(training, key):
                raise UserError(
                    f"training.{key}",
                    expected="nothing: the runs of a comparison are trained to their end, and judged once",
                    got=repr(getattr(training, key)),
                    otherwise="runs would have had different numbers of steps",
                    do="leave it out",
                )
        return training

    def objectives_of(self, contestant: Contestant) -> ObjectivesConfig:
        """A preset's terms under what is said for all that have such terms, under what is said for it alone."""
        plain = validate(ObjectivesConfig, {"preset": contestant.preset})
        parts: Sequence[ObjectivesConfig] = plain.stages or [plain]
        terms = {name for part in parts for name in part.terms()}
        for_all = {name: section for name, section in self.objectives.items() if name in terms}
        own = {**contestant.objectives, "preset": contestant.preset}
        return validate(ObjectivesConfig, deep_merge(for_all, own))

    def is_labelled_only(self, contestant: Contestant) -> bool:
        """Whether one trains on the rows with a label alone: it says so, or labels are all that it learns from."""
        return contestant.labelled_only or (self._has_unlabelled and self.objectives_of(contestant).learns_labels_alone)

    @property
    def _has_unlabelled(self) -> bool:
        return bool(self.data.unlabelled) or self.data.unlabelled_rows is not None

    @property
    def reference_label(self) -> str:
        """The contestant that the others are compared with."""
        labels = [contestant.label for contestant in self.presets]
        return self.reference or ("fine-tune" if "fine-tune" in labels else labels[0])

    @property
    def seed_list(self) -> list[int]:
        """The seeds."""
        return list(range(self.seeds)) if isinstance(self.seeds, int) else self.seeds
