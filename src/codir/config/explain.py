"""From pydantic's errors to errors for people: every mistake, by the name that the user gave it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from codir.errors import UserError, nearest, together
from codir.errors.shown import HIDDEN, as_literal, is_secret

SYNONYMS = {
    "lr": "training.learning_rate",
    "epochs": "training.num_train_epochs",
    "batch_size": "training.per_device_train_batch_size",
    "bs": "training.per_device_train_batch_size",
    "steps": "training.max_steps",
    "layers": "student.layers",
}
"""What other tools call a key."""


def explain(
    model: type[BaseModel],
    error: ValidationError,
    flags: Mapping[str, str] | None = None,
    offered: Mapping[str, str] | None = None,
) -> UserError:
    """All mistakes of a recipe as one error.

    Args:
        model: what the recipe was checked against.
        error: what pydantic found.
        flags: for keys that the command line gave, the flag as it was typed, such as `{"data.max_length":
            "--max-length"}`.
        offered: all flags of the command, by the key that they set.
    """
    found = [
        one
        for detail in error.errors(include_url=False)
        for one in _explain_one(model, detail, flags or {}, offered or {})
    ]
    return together(list({str(one): one for one in found}.values()))


def _explain_one(
    model: type[BaseModel], detail: ErrorDetails, flags: Mapping[str, str], offered: Mapping[str, str]
) -> Iterator[UserError]:
    cause = detail.get("ctx", {}).get("error")
    if isinstance(cause, UserError):
        for one in getattr(cause, "errors", [cause]):
            yield one.named(
                next((flag for key, flag in flags.items() if f".{key}".endswith(f".{one.subject}")), one.subject)
            )
        return
    path = [part for part in map(str, detail["loc"]) if part.isidentifier()]  # the rest are pydantic's own words
    key = ".".join(path) or "recipe"
    where = flags.get(key, key)
    if detail["type"] == "extra_forbidden":
        wrong = str(detail["loc"][-1])  # which may be no identifier
        section = path[:-1] if wrong.isidentifier() else path
        do = _suggest(model, [*section, wrong])
        yield UserError(where, expected="a key that codir knows", got=f"'{wrong}'", do=do)
        return
    if detail["type"] == "missing":
        flag = offered.get(key) or next((flag for one, flag in offered.items() if one.startswith(f"{key}.")), None)
        do = f"set `{key}` in the recipe" if flag is None else f"pass `{flag}`"
        do += f", or set `{key}` in the recipe" if flag and "output_dir" in model.model_fields else ""
        yield UserError(where, expected="a value", got="none", do=do)
        return
    expected = str(cause) if cause is not None else detail["msg"].removeprefix("Input should be ")
    got = HIDDEN if any(map(is_secret, path)) else as_literal(detail["input"])
    yield UserError(where, expected=expected, got=got, do=f"change `{where}`")


def _suggest(model: type[BaseModel], path: Sequence[str]) -> str:
    """The nearest key of the section; at the top, the nearest key of any section."""
    wrong = path[-1]
    known = list(section_at(model, path[:-1]).model_fields)
    if len(path) == 1 and (meant := key_meant(model, wrong)) is not None:
        return f"did you mean `{meant}`?"
    meant = SYNONYMS.get(wrong, "").rpartition(".")[2]
    return f"did you mean '{meant}'?" if meant in known else nearest(wrong, known)


def key_meant(model: type[BaseModel], word: str, *, near: bool = True) -> str | None:
    """The key of a recipe that a word without a section stands for: its name, another name for it, or a near miss.

    Args:
        model: of the recipe.
        word: as it was typed.
        near: whether a near miss counts.

    Example:
        >>> from codir.config import Recipe
        >>> key_meant(Recipe, "max_steps"), key_meant(Recipe, "lr"), key_meant(Recipe, "max_step")
        ('training.max_steps', 'training.learning_rate', 'training.max_steps')
    """
    paths = sorted(keys_of(model, depth=2), key=lambda path: path.count("."))  # the model's own come first
    keys = {path.rpartition(".")[2]: path for path in reversed(paths)}
    known = {path: path for path in keys.values()} | keys
    synonym = SYNONYMS.get(word)
    if word in known or synonym in known:
        return known.get(word) or synonym
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.75) if near else []
    return known[close[0]] if close else None


def section_at(model: type[BaseModel], path: Sequence[str]) -> type[BaseModel]:
    """The section that a path of keys leads to; a part that is a name of the user's, or a place in a list, is none."""
    for part in path:
        if part in model.model_fields:
            model = next(sections_in(model.model_fields[part].annotation), model)
    return model


def keys_of(model: type[BaseModel], *, depth: int = 3) -> Iterator[str]:
    """All dotted keys of a model, down to a depth: stages may hold terms, which hold keys."""
    for name, field in model.model_fields.items():
        yield name
        if depth > 1:
            for section in sections_in(field.annotation):
                yield from (f"{name}.{key}" for key in keys_of(section, depth=depth - 1))


def sections_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that an annotation is made of, such as `list[StageConfig] | None`."""
    yield from (part for part in parts_of(annotation) if isinstance(part, type) and issubclass(part, BaseModel))


def parts_of(annotation: Any) -> Iterator[Any]:
    """Classes, and the words of every `Literal`, that an annotation is made of."""
    annotation = getattr(annotation, "__value__", annotation)  # of a `type` statement
    if get_origin(annotation) is Literal:
        yield from get_args(annotation)
    elif get_origin(annotation) is Annotated:
        yield from parts_of(get_args(annotation)[0])
    elif args := get_args(annotation):
        for part in args:
            yield from parts_of(part)
    else:
        yield annotation
