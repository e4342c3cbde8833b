"""What `--help` says of a flag, read from the field of the recipe model that the flag sets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from codir.config.explain import parts_of

SHORT_SECTIONS = {"student": "students"}
"""`student` of a comparison is short for one entry of its `students`."""

TYPE_WORDS = {str: "TEXT", Path: "PATH", int: "INTEGER", float: "FLOAT"}


@dataclass(frozen=True)
class Key:
    """A recipe key in the model of a command.

    Attributes:
        field: what the model says of it.
        default: in this command, where a section may start from another preset; `PydanticUndefined` if required.
    """

    field: FieldInfo
    default: Any = None

    @property
    def description(self) -> str:
        """As the model has it, from a capital letter on."""
        text = self.field.description or ""
        return text[:1].upper() + text[1:]

    @property
    def choices(self) -> tuple[str, ...]:
        """The words among which a value is chosen."""
        return tuple(part for part in self.parts if isinstance(part, str))

    @property
    def parts(self) -> list[Any]:
        """The types and words that the annotation is made of."""
        return list(parts_of(self.field.annotation))

    @property
    def is_repeatable(self) -> bool:
        """Whether a flag is given once for each of several paths."""
        return Path in self.parts and any(get_origin(one) is list for one in _alternatives(self.field))

    @property
    def is_number(self) -> bool:
        """Whether text stands for a number."""
        return not {str, Path, bool}.intersection(self.parts) and not self.choices

    @property
    def type_word(self) -> str:
        """The choices, or a word for the type."""
        if self.choices:
            return "|".join(self.choices)
        return next((TYPE_WORDS[part] for part in self.parts if part in TYPE_WORDS), "TEXT")

    @property
    def shown_default(self) -> str | None:
        """The default as a user would type it; None where there is nothing to show."""
        has_none = self.is_required or self.default is None or self.default is False or self.default == []
        return None if has_none else str(self.default)

    @property
    def is_required(self) -> bool:
        """Whether there is no default."""
        return self.default is PydanticUndefined


def find_key(model: type[BaseModel], path: str) -> Key:
    """Look a dotted key up in the model of a command.

    Raises:
        KeyError: the model has no such key.
    """
    section, _, name = path.rpartition(".")
    start: Any = None
    for part in section.split(".") if section else ():
        field = model.model_fields.get(part) or model.model_fields[SHORT_SECTIONS[part]]
        start = _start(field) if start is None else getattr(start, part, None)
        model = next(one for one in parts_of(field.annotation) if isinstance(one, type) and issubclass(one, BaseModel))
    field = model.model_fields[name]
    return Key(field, getattr(start, name) if start is not None else field.get_default(call_default_factory=True))


def _start(field: FieldInfo) -> Any:
    """The section as it is when a recipe leaves it out; None where a recipe must have it."""
    try:
        default = field.get_default(call_default_factory=True)
    except ValueError:  # a section that cannot be empty
        return None
    return default if isinstance(default, BaseModel) else None


def _alternatives(field: FieldInfo) -> tuple[Any, ...]:
    return (field.annotation, *get_args(field.annotation))
