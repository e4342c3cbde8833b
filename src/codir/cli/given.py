"""What was typed: a recipe file, flags and `--set`, laid over one another and checked."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from codir.config import deep_merge, parse_settings, read_yaml, validate
from codir.errors import UserError, together

if TYPE_CHECKING:
    from pydantic import BaseModel

Config = TypeVar("Config", bound="BaseModel")

RECORD_NAME = "recipe.yaml"
"""What a run calls its recipe in its output folder."""
FIRST_KEYS = {"teacher": "model", "data": "source", "corpus": "source", "objectives": "preset"}
"""`data: file` in a recipe is short for `data: {source: file}`, and so on."""


@dataclass(frozen=True)
class Given:
    """What was typed.

    Attributes:
        recipe: content of the recipe file.
        values: what flags say, by recipe key.
        flags: how those flags are spelled, by recipe key.
        settings: words of `--set`.
        mistakes: found so far; reported together with those of the recipe.
        offered: how all flags of the command are spelled, by recipe key.
        file: the recipe file.
        quiet: show results and errors only.
        log_file: gets what is shown.
        dry_run: stop before training, and write nothing.
    """

    recipe: Mapping[str, Any]
    values: Mapping[str, Any]
    flags: Mapping[str, str]
    settings: Sequence[str] = ()
    mistakes: Sequence[UserError] = field(default=())
    offered: Mapping[str, str] = field(default_factory=dict)
    file: Path | None = None
    quiet: bool = False
    log_file: Path | None = None
    dry_run: bool = False

    def laid_over_recipe(self) -> dict[str, Any]:
        """The recipe under the flags, without `--set`."""
        content = dict(self.recipe)
        for path, value in self.values.items():
            for key in reversed(path.split(".")):
                value = {key: value}
            content = deep_merge(content, value)
        return content

    def config(self, model: type[Config]) -> Config:
        """The checked recipe: the file, under the flags, under `--set`.

        Raises:
            UserError: says all mistakes of the command line and the recipe at once.
        """
        content, mistakes = self.laid_over_recipe(), [*self.mistakes]
        names = dict(self.flags)
        for setting in self.settings:
            key = setting.partition("=")[0]
            try:
                content = deep_merge(content, _parse(model, setting))
                names[key] = f"--set {key}"
            except UserError as error:
                mistakes.append(error)
        try:
            config = validate(model, content, flags={**_of_one_student(names), **names}, offered=self.offered)
        except UserError as error:
            mistakes += getattr(error, "errors", [error])
        if mistakes:
            raise together(mistakes)
        return config


def read_recipe(path: Path | None, *, teacher_is_a_section: bool = True) -> dict[str, Any]:
    """The content of a recipe file, with its short forms written out; nothing without a file."""
    content = read_yaml(path) if path else {}
    first_keys = {name: key for name, key in FIRST_KEYS.items() if name != "teacher" or teacher_is_a_section}
    return {
        name: {first_keys[name]: value} if name in first_keys and isinstance(value, str) else value
        for name, value in content.items()
    }


READ_BY_ADAPTATION = {
    "model": "student.checkpoint",
    "data.source": "corpus.source",
    "data.text_column": "corpus.text_column",
    "data.max_length": "corpus.max_length",
}
"""Keys of `codir finetune --task mlm`, and what they are called in pre-training."""


def as_adaptation(given: Given, *, epochs: float) -> Given:
    """`codir finetune --task mlm` is pre-training without a teacher, of a model that may have no head yet.

    Keys and flags of labelled data are mistakes.
    """
    content = given.laid_over_recipe()
    data, model = content.pop("data", {}), content.pop("model", None)
    settings = [setting for setting in given.settings if not setting.startswith("data.task=")]
    parted = [setting.partition("=") for setting in settings]
    settings = [READ_BY_ADAPTATION.get(key, key) + equals + value for key, equals, value in parted]
    strays = [key for key in data if key != "task" and f"data.{key}" not in READ_BY_ADAPTATION]
    mistakes = [
        UserError(
            given.flags.get(f"data.{key}", f"data.{key}"),
            expected="nothing, with `--task mlm`, which reads text without labels",
            got=str(data[key]),
            do="leave it out",
        )
        for key in strays
    ]
    content["corpus"] = {key: data[key] for key in data if f"data.{key}" in READ_BY_ADAPTATION}
    content["student"] = {"checkpoint": model} if model is not None else {}
    content["objectives"] = "mlm"
    training = content.get("training", {})
    content["training"] = {"num_train_epochs": epochs, **training} if isinstance(training, Mapping) else training
    flags = {READ_BY_ADAPTATION.get(key, key): flag for key, flag in given.flags.items()}
    mistakes = [*given.mistakes, *mistakes]
    return replace(given, recipe=content, values={}, flags=flags, settings=settings, mistakes=mistakes)


def is_adaptation(given: Given) -> bool:
    """Whether `codir finetune` is to train a language-model head."""
    data = given.laid_over_recipe().get("data")
    is_in_recipe = isinstance(data, Mapping) and data.get("task") == "mlm"
    return is_in_recipe or "data.task=mlm" in given.settings


def recipe_of_evaluation(given: Given) -> dict[str, Any]:
    """The recipe of a run says what `codir evaluate` scores: the model in its `output_dir`, on its data.

    Raises:
        UserError: the run has left no model there.
    """
    recipe = given.recipe
    if "output_dir" not in recipe:
        return dict(recipe)
    model = f"{recipe['output_dir']}/config.json"
    if "model" not in _keys_given(given) and not os.path.isfile(model):  # false, whatever the path is
        raise UserError(
            "recipe",
            expected=f"the recipe of a run that left its model in {recipe['output_dir']}",
            got="none there",
            do="do that run first, or name a model with `--model`",
        )
    return {"model": recipe["output_dir"], **{key: recipe[key] for key in ("data",) if key in recipe}}


def with_data_of_run(given: Given) -> tuple[Given, Path | None]:
    """A model that a run left has the run's recipe beside it: where no data was named, it is the run's.

    Returns:
        What was given, and the folder of the run whose data it is; `None` where data was named.
    """
    models = [*filter(None, [given.values.get("model")]), *given.values.get("models", ())]
    records = [record for model in models if os.path.isfile(record := Path(str(model)) / RECORD_NAME)]
    if "data.source" in given.values or not records:
        return given, None
    recipe = read_recipe(records[0])
    data = {key: recipe[key] for key in ("data",) if key in recipe}
    return replace(given, recipe=data), records[0].parent if data else None


def run_of_data(given: Given) -> Path | None:
    """The folder of the run whose recipe `codir evaluate` was given, with no other data beside it."""
    is_of_run = "output_dir" in given.recipe and not _keys_given(given) & {"data", "data.source"}
    return Path(str(given.recipe["output_dir"])) if is_of_run else None


def _keys_given(given: Given) -> set[str]:
    return {*given.flags, *(setting.partition("=")[0] for setting in given.settings)}


def _of_one_student(flags: Mapping[str, str]) -> dict[str, str]:
    """`student` of a comparison is checked as the entry of that name in its `students`."""
    return {f"students.{key}": flag for key, flag in flags.items() if key.startswith("student.")}


def _parse(model: type[BaseModel], setting: str) -> dict[str, Any]:
    """One word of `--set`.

    Raises:
        UserError: it is not `section.key=value`, or has no section, as in `max_steps=3`.
    """
    from codir.config.explain import key_meant, keys_of

    key, equals, value = setting.partition("=")
    alike = [path for path in keys_of(model) if path.endswith(f".{key}")]
    meant = min(alike, key=lambda path: (path.count("."), path), default=None) or key_meant(model, key)
    if equals and "." not in key and key not in model.model_fields and meant is not None:
        do = f"did you mean `--set {meant}={value}`?"
        raise UserError(f"--set {setting}", expected="section.key=value", got=f"`{key}` without a section", do=do)
    return parse_settings([setting])
