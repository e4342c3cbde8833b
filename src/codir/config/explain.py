"""From pydantic's errors to errors for people: every mistake, by the name that the user gave it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from codir.errors import UserError, nearest, together
from codir.errors.shown import HIDDEN, as_literal, is_secret


def explain(model: type[BaseModel], error: ValidationError, flags: Mapping[str, str] | None = None) -> UserError:
    """All mistakes of a recipe as one error.

    Args:
        model: what the recipe was checked against.
        error: what pydantic found.
        flags: for keys that the command line gave, the flag as it was typed, such as `{"data.max_length":
            "--max-length"}`.
    """
    found = [_explain_one(model, detail, flags or {}) for detail in error.errors(include_url=False)]
    return together(list({str(one): one for one in found}.values()))


def _explain_one(model: type[BaseModel], detail: ErrorDetails, flags: Mapping[str, str]) -> UserError:
    cause = detail.get("ctx", {}).get("error")
    if isinstance(cause, UserError):
        return cause
    path = [part for part in map(str, detail["loc"]) if part.isidentifier()]  # the rest are pydantic's own words
    key = ".".join(path) or "recipe"
    where = flags.get(key, key)
    if detail["type"] == "extra_forbidden":
        wrong = str(detail["loc"][-1])  # which may be no identifier
        section = path[:-1] if wrong.isidentifier() else path
        return UserError(
            where, expected="a key that codir knows", got=f"'{wrong}'", do=_suggest(model, [*section, wrong])
        )
    if detail["type"] == "missing":
        return UserError(where, expected="a value", got="none", do=f"add `{where}` to the recipe or give its flag")
    expected = detail["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    got = HIDDEN if any(map(is_secret, path)) else as_literal(detail["input"])
    return UserError(where, expected=expected, got=got, do=f"change `{where}`")


def _suggest(model: type[BaseModel], path: Sequence[str]) -> str:
    """The nearest key of the section, or the section that has a key of this very name."""
    wrong = path[-1]
    homes = sorted({".".join([*place, wrong]) for place, keys in keys_of(model) if wrong in keys})
    known = list(section_at(model, path[:-1]).model_fields)
    if homes and len(path) == 1:
        return f"did you mean `{homes[0]}`?"
    return nearest(wrong, known)


def section_at(model: type[BaseModel], path: Sequence[str]) -> type[BaseModel]:
    """The section that a path of keys leads to; a part that is a name of the user's, or a place in a list, is none."""
    for part in path:
        if part in model.model_fields:
            model = next(sections_in(model.model_fields[part].annotation), model)
    return model


def keys_of(model: type[BaseModel], place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """Every section under a model with its keys, the model's own first; terms of objectives are not opened."""
    yield place, list(model.model_fields)
    for name, field in model.model_fields.items():
        section = next(sections_in(field.annotation), None)
        if section is not None and len(place) < 1:
            yield from keys_of(section, (*place, name))


def sections_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that an annotation is made of, such as `list[StageConfig] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from sections_in(part)
