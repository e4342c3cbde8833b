"""What `codir sweep` is given: one teacher, students of several sizes, and how far below it they may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, PositiveInt, model_validator

from codir.config.base import FileName, ReportTexts, Room, UserPath
from codir.config.export import CalibrationRows, InInt8, MaxLoss, Threads, WhichEngine
from codir.config.objectives import ObjectivesConfig, TaskObjectives
from codir.config.sections import DataConfig, StudentConfig, TeacherConfig
from codir.config.training import TrainingConfig
from codir.config.words import (
    CALIBRATION_ROWS,
    ENGINE,
    EXPORTED_TEACHER,
    LAYER_SELECTION,
    MAX_LOSS,
    TEACHER,
    TOLERATE,
    LayerSelection,
)
from codir.errors import UserError


class SweepConfig(Room):
    """`codir sweep`: students of several sizes from one teacher, each distilled, exported and measured."""

    teacher: TeacherConfig = Field(description="the model that teaches, and whether its features are kept on disk")
    data: DataConfig = Field(description=DataConfig.__doc__)
    depths: list[PositiveInt] = Field(
        [], description="a student for each of these numbers of the teacher's layers, such as `1,2,3`"
    )
    selection: LayerSelection = Field(LAYER_SELECTION, description="which layers the students of `depths` get")
    students: dict[FileName, StudentConfig] = Field({}, description="further students by name, such as narrow ones")
    objectives: TaskObjectives = Field(default_factory=ObjectivesConfig)
    training: TrainingConfig = Field(default_factory=TrainingConfig, description=TrainingConfig.__doc__)
    engine: WhichEngine = ENGINE
    int8: InInt8 = False
    max_loss: MaxLoss = MAX_LOSS
    calibration_rows: CalibrationRows = CALIBRATION_ROWS
    export_teacher: bool = Field(False, description="export the teacher too, and show it beside the students")
    tolerate: float = Field(
        TOLERATE, ge=0, le=100, description="points of the metric that the student may lose to the teacher"
    )
    threads: Threads = None
    report_texts: ReportTexts = True
    output_dir: UserPath = Field(description="folder for the students, their exports, the tables and the report")
    overwrite: bool = Field(False, description="make finished students again")

    @model_validator(mode="before")
    @classmethod
    def _student_of_a_recipe(cls, given: Any) -> Any:
        """`student` of a recipe names one number of layers, in whose place there are `depths` here."""
        if not isinstance(given, Mapping) or "student" not in given:
            return given
        student, rest = given["student"], {key: value for key, value in given.items() if key != "student"}
        given_keys = student.items() if isinstance(student, Mapping) else ()
        named = {key: value for key, value in given_keys if value is not None and value is not False}
        if not isinstance(named.get("layers", 1), int) or named.keys() - {"layers", "selection"}:
            raise UserError(
                "student",
                expected="a number of layers, which `depths` replaces",
                got=", ".join(f"`{key}`" for key in named),
                do="write this student among `students`, under a name, and leave `student` out",
            )
        return {**({"selection": named["selection"]} if "selection" in named else {}), **rest}

    @model_validator(mode="after")
    def _students_that_differ(self) -> SweepConfig:
        names = [*map(name_of_depth, self.depths), *self.students]
        if not names:
            raise UserError("depths", expected="at least one student", got="none", do="pass `--depths 1,2,3`")
        if self.selection != LAYER_SELECTION and not self.depths:
            raise UserError(
                "selection",
                expected="`depths`, whose layers it chooses",
                got=f"`{self.selection}` for {', '.join(self.students)}",
                otherwise="it would have had no effect",
                do="leave it out, or write it with each of the `students` that names a number of layers",
            )
        if len(set(names)) < len(names) or {TEACHER, EXPORTED_TEACHER} & {*names}:
            raise UserError(
                "depths",
                expected=f"students with different names, none of them `{TEACHER}`",
                got=", ".join(names),
                do="leave the second one out, or give it another name in `students`",
            )
        return self

    @property
    def all_students(self) -> dict[str, StudentConfig]:
        """The students by name, those of `depths` first."""
        of_depths = {
            name_of_depth(depth): StudentConfig(layers=depth, selection=self.selection) for depth in self.depths
        }
        return of_depths | self.students


def name_of_depth(depth: int) -> str:
    """What a student of that many layers is called.

    Example:
        >>> name_of_depth(1), name_of_depth(3)
        ('1-layer', '3-layers')
    """
    return f"{depth}-layer{'' if depth == 1 else 's'}"
