"""What a run reads, and that it lies apart from what it writes. Paths are compared where links lead to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from codir.config import AnyRun, CompareConfig, EvaluateConfig, ExportConfig, SweepConfig
from codir.errors import UserError

INPUTS = (
    "teacher.model",
    "teacher",
    "model",
    "against",
    "student.checkpoint",
    "data.source",
    "data.data_dir",
    "data.dev",
    "data.unlabelled",
    "corpus.source",
)
"""Keys of a recipe that may name a file or folder."""


def inputs_of(config: AnyRun | CompareConfig | EvaluateConfig | ExportConfig | SweepConfig) -> dict[str, list[str]]:
    """The files and folders that a recipe reads, by key; names that are not on this disk count for nothing."""
    content = config.model_dump(mode="json")
    for name, student in content.pop("students", {}).items():
        content[f"students.{name}"] = student
    keys = [*INPUTS, *(f"{name}.checkpoint" for name in content if name.startswith("students."))]
    return {key: named for key in keys if (named := list(_named(content, key)))}


def _named(content: Mapping[str, object], key: str) -> Iterator[str]:
    """The words under a key of nested sections."""
    section, _, last = key.rpartition(".")
    holder = content.get(section) if section else content
    value = holder.get(last) if isinstance(holder, Mapping) else None
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        yield from (one for one in value if isinstance(one, str))


def check_apart(
    output: Path, inputs: Mapping[str, Sequence[str]], *, inside: Sequence[str] = (), key: str = "output_dir"
) -> None:
    """Refuse an output that is an input, lies in one, or holds one.

    Args:
        output: folder or file that will be written.
        inputs: from `inputs_of`.
        inside: inputs that may lie in the output, since the caller put them there.
        key: what the output is called in the recipe.
    """
    place = output.resolve()
    for name, words in inputs.items():
        for word in words:
            path = Path(word).expanduser()
            if not path.exists():
                continue
            there = path.resolve()
            is_allowed = word in inside and there != place and there.is_relative_to(place)
            if not is_allowed and (there.is_relative_to(place) or place.is_relative_to(there)):
                raise _not_apart(key, output, name, path)


def _not_apart(key: str, output: Path, name: str, path: Path) -> UserError:
    return UserError(
        key,
        expected=f"a place apart from all that is read, such as `{name}`",
        got=f"{output}, where `{name}` is {path}",
        otherwise="what is read could have been written over",
        do=f"choose another with `--{key.replace('_', '-')}`",
    )
