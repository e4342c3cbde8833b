"""From a mapping to a checked recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from codir.config.explain import explain

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
    try:
        return BaseModel.model_validate.__func__(model, content)  # type: ignore[attr-defined]  # pydantic's own error
    except ValidationError as error:
        raise explain(model, error, flags, offered) from None
