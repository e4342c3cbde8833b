"""From a mapping to a checked recipe, with errors for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar, get_args

from pydantic import (
    BaseModel,
    ValidationError,
)

from codir.errors import UserError, nearest

Config = TypeVar("Config", bound=BaseModel)


def validate(model: type[Config], content: Mapping[str, Any]) -> Config:
    """Check a mapping against a config model, with errors for people.

    Raises:
        UserError: names the first key at fault, and the nearest known one where it is unknown.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        cause = first.get("ctx", {}).get("error")
        if isinstance(cause, UserError):
            raise cause from None
        path = [part for part in map(str, first["loc"]) if part.isidentifier()]  # the rest are pydantic's own words
        where = ".".join(path) or "recipe"
        if first["type"] == "extra_forbidden":
            known = _known_keys(model, path[:-1])
            raise UserError(
                where, expected="a key that codir knows", got=f"'{path[-1]}'", do=nearest(path[-1], known)
            ) from None
        if first["type"] == "missing":
            raise UserError(
                where, expected="a value", got="none", do=f"add `{where}` to the recipe or give its flag"
            ) from None
        raise UserError(
            where,
            expected=first["msg"].removeprefix("Input should be "),
            got=repr(first["input"]),
            do=f"mend `{where}`",
        ) from None


def _known_keys(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    """Keys of the section that a path leads to."""
    for part in path:
        model = next(section for section in _sections_in(model.model_fields[part].annotation))
    return list(model.model_fields)


def _sections_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that an annotation is made of, such as `list[StageConfig] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _sections_in(part)
