"""From a mapping to a checked recipe."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from codir.config.explain import explain
from codir.errors import UserError

Config = TypeVar("Config", bound=BaseModel)


def validate(
    model: type[Config],
    content: Mapping[str, Any],
    *,
    flags: Mapping[str, str] | None = None,
    offered: Mapping[str, str] | None = None,
) -> Config:
    """Check a mapping against a config model.

    Args:
        model: a section or a whole recipe.
        content: nested sections.
        flags: for keys that the command line gave, the flag as it was typed, so that messages name it.
        offered: all flags of the command, by the key that they set, for the keys that are missing.

    Raises:
        UserError: lists every mistake, with the nearest known key where one is unknown.
    """
    refuse_unwritable(content, flags or {})
    try:
        return BaseModel.model_validate.__func__(model, content)  # type: ignore[attr-defined]  # pydantic's own error
    except ValidationError as error:
        raise explain(model, error, flags, offered) from None


def refuse_unwritable(content: Any, flags: Mapping[str, str], place: tuple[str, ...] = ()) -> None:
    """Refuse texts that no file can hold or be named by: with half a character (a lone surrogate) or a null in them.

    Raises:
        UserError: names the key.
    """
    if isinstance(content, Mapping | list | tuple):
        pairs = content.items() if isinstance(content, Mapping) else enumerate(content)
        for key, value in pairs:
            refuse_unwritable(str(key), flags, place)
            refuse_unwritable(value, flags, (*place, str(key)))
    elif isinstance(content, str) and _UNWRITABLE.search(content):
        key = ".".join(part for part in place if part.isidentifier()) or "recipe"
        where = flags.get(key, key)
        expected = "text that can be written in UTF-8, without null characters"
        raise UserError(where, expected=expected, got=repr(content), do=f"correct `{where}`")


_UNWRITABLE = re.compile("[\0\ud800-\udfff]")
