"""The presets that ship with codir, as files."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

from codir.config.words import PresetCommand
from codir.config.yaml import parse_yaml
from codir.errors import UserError, nearest


def preset_names(command: PresetCommand | None = None) -> list[str]:
    """Names of the presets that ship with codir, or of those for one command.

    Example:
        >>> "mlm" in preset_names("pretrain"), "mlm" in preset_names("distill")
        (True, False)
    """
    folder = resources.files("codir") / "presets"
    names = sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))
    return [name for name in names if command is None or _command_of(name) == command]


def read_preset(name: str) -> dict[str, Any]:
    """A preset's file: `source`, `summary`, `objectives`, and `command`: `distill`, or `pretrain` where it says so.

    Raises:
        UserError: there is no preset of that name.

    Example:
        >>> read_preset("kd")["objectives"]["soft_target"]
        {'weight': 0.5, 'kd_temperature': 2.0}
    """
    names = preset_names()
    if name not in names:  # a path such as `../mine` names none
        raise UserError("preset", expected="the name of a preset", got=repr(name), do=nearest(str(name), names))
    file = resources.files("codir") / "presets" / f"{name}.yaml"
    return {"command": "distill", **parse_yaml(file.read_text("utf-8"))}


@cache
def _command_of(name: str) -> PresetCommand:
    """Kept, since every check of a recipe asks it of all presets."""
    command: PresetCommand = read_preset(name)["command"]
    return command
