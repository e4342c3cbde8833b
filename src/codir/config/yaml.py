"""From text to nested sections: YAML files, and `section.key=value` words that are laid over them.

Knows nothing of what a recipe means; imports no torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from codir.errors import UserError

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
        UserError: the file is missing, is not YAML, or is not a mapping.
    """
    if not path.is_file():
        raise UserError("recipe", expected="a YAML file", got=f"{path}, which does not exist", do="check the path")
    try:
        content = parse_yaml(path.read_text())
    except yaml.YAMLError as error:
        raise UserError("recipe", expected="YAML", got=f"{path}: {error}", do="correct the file") from error
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
        for key in reversed(path.split(".")):
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
    return yaml.load(text, Loader=_Loader)  # a SafeLoader
