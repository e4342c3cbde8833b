"""What all sections of a recipe have in common: unknown keys are errors, and so are values that do not fit."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from codir.config.explain import explain, parts_of
from codir.errors import UserError

LONGEST_NAME, LONGEST_PATH = 255, 4096
"""Bytes that a file's name and a path may have on the usual systems."""


def usable_path(path: str) -> str:
    """A path with `~` written out; what no system could open is refused."""
    written_out = os.path.expanduser(path)
    if not path.strip():
        raise ValueError("the name of a file or folder")
    if len(os.fsencode(written_out)) >= LONGEST_PATH or any(
        len(os.fsencode(part)) > LONGEST_NAME for part in Path(written_out).parts
    ):
        raise ValueError(f"a path of names of at most {LONGEST_NAME} bytes, {LONGEST_PATH} in all")
    return written_out


UserPath = Annotated[
    Path,
    BeforeValidator(lambda path: usable_path(path) if isinstance(path, str) else path),  # `Path("")` is the folder here
    AfterValidator(lambda path: Path(usable_path(str(path)))),
]
PathOrName = Annotated[str, AfterValidator(usable_path)]
FileName = Annotated[str, Field(pattern=r"^\w[\w.-]*$", max_length=100)]
"""A name that files and folders are called by: no path, and neither `.` nor `..`."""
OutputDir = Annotated[UserPath, Field(description="folder for the model, the report and the checkpoints")]
Overwrite = Annotated[bool, Field(description="replace an earlier run in the output folder")]
Resume = Annotated[bool, Field(description="go on with an interrupted run in the output folder")]
ReportTexts = Annotated[
    bool, Field(description="show the texts of up to ten evaluation rows in report.html and report.json")
]
PushToHub = Annotated[
    str | None, Field(min_length=1, description="hub name, such as `me/student`, that gets the finished model")
]
KeepCheckpoints = Annotated[bool, Field(description="keep the checkpoints when the run is complete")]


class Room(BaseModel):
    """Base of all sections: an unknown key is an error, and nothing changes after it was read.

    Raises:
        UserError: on construction, in place of pydantic's own error; it lists every mistake.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    def __init__(self, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise explain(type(self), error) from None

    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]  # nested sections are validated without it

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_in_place_of_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Python counts `true` as 1, so `max_steps: true` would train for one step."""
        parts = set(parts_of(cls.model_fields[str(info.field_name)].annotation))
        if isinstance(value, bool) and parts & {int, float} and bool not in parts:
            raise ValueError("a number")
        return value

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **kwargs: Any) -> Self:
        """From JSON text, as from a recipe file.

        Raises:
            UserError: lists every mistake.
        """
        try:
            content = json.loads(json_data)
        except ValueError as error:
            raise UserError("recipe", expected="JSON", got=str(error), do="correct the text") from None
        return cls.model_validate(content, **kwargs)

    @classmethod
    def model_validate(cls, obj: Any, **kwargs: Any) -> Self:
        """Pydantic's own, with errors for people."""
        try:
            return super().model_validate(obj, **kwargs)
        except ValidationError as error:
            raise explain(cls, error) from None
