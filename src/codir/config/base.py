"""What all sections of a recipe have in common: unknown keys are errors, and so are values that do not fit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from codir.config.explain import explain


def _is_named(path: Any) -> Any:
    if path == "":  # `Path("")` is the current folder
        raise ValueError("Input should be the name of a file or folder")
    return path


UserPath = Annotated[Path, BeforeValidator(_is_named), AfterValidator(Path.expanduser)]
PathOrName = Annotated[str, AfterValidator(os.path.expanduser)]
OutputDir = Annotated[UserPath, Field(description="folder for the model, the report and the checkpoints")]
Overwrite = Annotated[bool, Field(description="replace an earlier run in the output folder")]
Resume = Annotated[bool, Field(description="go on with an interrupted run in the output folder")]


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

    @classmethod
    def model_validate(cls, obj: Any, **kwargs: Any) -> Self:
        """Pydantic's own, with errors for people."""
        try:
            return super().model_validate(obj, **kwargs)
        except ValidationError as error:
            raise explain(cls, error) from None
