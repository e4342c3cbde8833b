"""The floors in pyproject.toml are the versions that `make test-lowest` installs."""

from __future__ import annotations

import tomllib
from itertools import chain
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = ("openvino", "sentencepiece", "test")


def versions(requirements: list[str], operator: str) -> dict[str, Version]:
    found = {}
    for requirement in map(Requirement, requirements):
        (specifier,) = requirement.specifier
        assert specifier.operator == operator, str(requirement)
        found[requirement.name] = Version(specifier.version)
    return found


def test_a_floor_that_is_never_tried():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = chain.from_iterable(project["optional-dependencies"][extra] for extra in EXTRAS)
    lines = [line.partition("#")[0].strip() for line in (ROOT / "constraints-lowest.txt").read_text().splitlines()]
    assert versions([*project["dependencies"], *extras], ">=") == versions([line for line in lines if line], "==")
