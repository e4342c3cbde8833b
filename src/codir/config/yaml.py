"""From text to nested sections: YAML files, and `section.key=value` words that are laid over them.

Knows nothing of what a recipe means; imports no torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import yaml

from codir.errors import UserError, naming

DEEPEST_KEY = 50
"""Sections in sections that are read: far more than any recipe has."""

_BOOL, _FLOAT = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:float"


def deep_merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one mapping over another, section by section; the upper one wins.

    Example:
        >>> deep_merge({"a": {"x": 1, "y": 2}}, {"a": {"y": 3}})
        {'a': {'x': 1, 'y': 3}}
    """
    merged = dict(base)
    for key, value in over.items():
        both_sections = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = deep_merge(merged[key], value) if both_sections else value
    return merged


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a recipe file into a mapping that flags can be laid over.

    Raises:
        UserError: the file is missing, cannot be read, is not YAML in UTF-8, or is not a mapping.
    """
    with naming(path):
        if not path.is_file():
            raise UserError("recipe", expected="a YAML file", got=f"{path}, which does not exist", do="check the path")
        written = path.read_bytes()
    try:
        content = parse_yaml(written.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UserError(
            "recipe",
            expected="text in UTF-8",
            got=f"{path}, with {error.reason} at {error.start}",
            do="save it in UTF-8",
        ) from error
    except yaml.YAMLError as error:
        raise UserError("recipe", expected="YAML", got=f"{path}: {in_short(error)}", do="correct the file") from error
    if not isinstance(content, dict):
        raise UserError(
            "recipe", expected="sections with keys", got=f"{path} without any", do="see `codir distill --help`"
        )
    return content


def parse_settings(settings: Sequence[str]) -> dict[str, Any]:
    """Turn `section.key=value` words into nested sections; values are read as YAML.

    Example:
        >>> parse_settings(["training.max_steps=20", "student.layers=[1, 3]"])
        {'training': {'max_steps': 20}, 'student': {'layers': [1, 3]}}
    """
    merged: dict[str, Any] = {}
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals or not path:
            raise UserError("--set", expected="section.key=value", got=setting, do="try `--set training.max_steps=20`")
        try:
            value = parse_yaml(text)
        except yaml.YAMLError:
            raise UserError(
                "--set", expected="a value in YAML", got=setting, do="quote it, or close its bracket"
            ) from None
        keys = path.split(".")
        if len(keys) > DEEPEST_KEY or "" in keys:
            raise UserError("--set", expected="section.key=value", got=setting, do="see `codir distill --help`")
        for key in reversed(keys):
            value = {key: value}
        merged = deep_merge(merged, value)
    return merged


class _Loader(yaml.SafeLoader):
    """YAML as people mean it: `no` is a word (`save_strategy: no`), and `5e-5` is a number."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in (_BOOL, _FLOAT)]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_BOOL, re.compile(r"^(?:true|false)$", re.IGNORECASE), list("tTfF"))
_Loader.add_implicit_resolver(
    _FLOAT,
    re.compile(r"^[-+]?(?:\d+\.\d*|\.\d+|\d+(?=[eE]))(?:[eE][-+]?\d+)?$|^[-+]?\.inf$|^\.nan$", re.IGNORECASE),
    list("-+.0123456789"),
)


def parse_yaml(text: str) -> Any:
    """Read YAML, with booleans and numbers as YAML 1.2 has them.

    Example:
        >>> parse_yaml("{save_strategy: no, learning_rate: 5e-5, bf16: true, layers: [1, 3]}")
        {'save_strategy': 'no', 'learning_rate': 5e-05, 'bf16': True, 'layers': [1, 3]}
    """
    if _depth_of_brackets(text) > DEEPEST_KEY:  # the loader's time grows with the square of it
        raise yaml.YAMLError(_FAULTS[RecursionError])
    try:
        content = yaml.load(text, Loader=_Loader)  # a SafeLoader
    except (ValueError, TypeError, OverflowError, RecursionError) as error:  # of its constructors, and of deep nesting
        raise yaml.YAMLError(_FAULTS.get(type(error), "a value that is not what it looks like")) from error
    if count_values(content) > MOST_VALUES:
        raise yaml.YAMLError(f"more than {MOST_VALUES:,} values, where anchors (`&`, `*`) are written out")
    return content


MOST_VALUES = 100_000
"""A recipe has hundreds; a file of a few lines can stand for billions."""
_FAULTS: dict[type[Exception], str] = {
    RecursionError: "brackets or sections nested too deep",
    ValueError: "a number or a date that cannot be read",
}


def _depth_of_brackets(text: str) -> int:
    """The deepest nesting; brackets in quotes count too, and nobody has so many of them."""
    steps = (1 if bracket in "[{" else -1 for bracket in re.findall(r"[\[{}\]]", text))
    return max(accumulate(steps), default=0)


def in_short(error: yaml.YAMLError) -> str:
    """What is wrong and where, without the lines around it."""
    problem, mark = getattr(error, "problem", None), getattr(error, "problem_mark", None)
    if not problem:
        return str(error).partition("\n")[0]
    return f"{problem} in line {mark.line + 1}, column {mark.column + 1}" if mark else str(problem)


def count_values(content: Any, counted: dict[int, float] | None = None) -> float:
    """How many values there are, with each anchor's as often as it is used; infinitely many in one that holds itself.

    Example:
        >>> count_values({"a": [1, 2], "b": 3}), count_values(parse_yaml("{a: &x [1, 2], b: [*x, *x]}"))
        (7, 13)
    """
    counted = {} if counted is None else counted
    if not isinstance(content, dict | list | set | tuple):
        return 1
    if id(content) not in counted:
        counted[id(content)] = float("inf")  # until it is counted
        parts = [*content, *content.values()] if isinstance(content, dict) else content
        counted[id(content)] = 1 + sum(count_values(part, counted) for part in parts)
    return counted[id(content)]
