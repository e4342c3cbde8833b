"""Options of training are refused before anything is loaded, and they are those that `transformers` has."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Any, Literal, get_args, get_origin

import pytest
from transformers import TrainingArguments
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK
from transformers.trainer_utils import IntervalStrategy, SaveStrategy, SchedulerType
from transformers.training_args import OptimizerNames, trainer_log_levels

import codir
from codir.config import FinetuneConfig, PretrainingConfig, Recipe, TrainingConfig, validate
from codir.config.training import OWNED
from codir.config.words import PRETRAINING, TRAINING
from codir.errors import UserError

SMALLEST = {"teacher": {"model": "t"}, "data": {"source": "d"}, "student": {"layers": 1}, "output_dir": "o"}
OF_CODIR = {"precision", "head_learning_rate", "early_stopping_patience"}


def words_of(annotation: Any) -> set[Any]:
    if get_origin(annotation) is Literal:
        return set(get_args(annotation))
    parts = get_args(annotation)[:1] if get_origin(annotation) is Annotated else get_args(annotation)
    return set().union(*(words_of(part) for part in parts)) if parts else set()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("max_steps", "abc"),
        ("max_steps", -5),
        ("weight_decay", -5),
        ("weight_decay", float("nan")),
        ("max_grad_norm", float("nan")),
        ("max_grad_norm", float("inf")),
        ("gradient_accumulation_steps", 0),
        ("seed", 2**32),
        ("seed", -1),
        ("data_seed", 2**32),
        ("report_to", "bogus"),
        ("report_to", ["wandb", "bogus"]),
        ("learning_rate", float("inf")),
        ("learning_rate", 0),
        ("warmup_steps", -1),
        ("lr_scheduler_type", "bogus"),
        ("optim", "bogus"),
        ("eval_strategy", "sometimes"),
        ("save_steps", 0),
        ("adam_beta1", 2),
        ("dataloader_num_workers", -1),
        ("num_train_epochs", "three"),
        ("per_device_train_batch_size", 1.5),
        ("logging_steps", float("nan")),
    ],
)
def test_a_value_that_training_cannot_have(option, value):
    with pytest.raises(UserError, match=rf"training\.{option}: expected"):
        validate(Recipe, {**SMALLEST, "training": {option: value}})


@pytest.mark.parametrize("option", sorted(OWNED))
def test_an_option_that_codir_decides(option):
    with pytest.raises(UserError, match=rf"training\.{option}: expected .*What to do"):
        validate(Recipe, {**SMALLEST, "training": {option: "x"}})


def test_an_option_that_transformers_has_and_a_recipe_does_not():
    theirs = {field.name for field in fields(TrainingArguments) if field.init}
    assert theirs - OWNED.keys() == TrainingConfig.model_fields.keys() - OF_CODIR


def test_choices_that_transformers_has_and_a_recipe_does_not():
    theirs = {
        "lr_scheduler_type": {one.value for one in SchedulerType},
        "optim": {one.value for one in OptimizerNames},
        "logging_strategy": {one.value for one in IntervalStrategy},
        "eval_strategy": {one.value for one in IntervalStrategy},
        "save_strategy": {one.value for one in SaveStrategy},
        "log_level": set(trainer_log_levels),
        "report_to": {"none", "all", *INTEGRATION_TO_CALLBACK},
    }
    for name, words in theirs.items():
        assert words_of(TrainingConfig.model_fields[name].annotation) == words, name


def test_an_option_left_open_that_is_recorded_as_a_choice():
    said = TrainingConfig(max_grad_norm=0.5).model_dump()
    assert said.keys() == {*TRAINING, *OF_CODIR, "max_grad_norm"}
    assert PretrainingConfig().model_dump().keys() == {*TRAINING, *PRETRAINING, *OF_CODIR}


def test_python_that_trains_otherwise_than_a_recipe():
    args, recipe = codir.DistillationArguments("runs"), TrainingConfig().trainer_arguments()
    del recipe["report_to"]  # which transformers turns into a list
    assert {name: getattr(args, name) for name in recipe} == recipe
    args, recipe = codir.PretrainingArguments("runs"), PretrainingConfig().trainer_arguments()
    del recipe["report_to"]
    assert {name: getattr(args, name) for name in recipe} == recipe


def test_mistakes_told_one_at_a_time():
    content = {"data": {"source": "d", "max_length": 0}, "training": {"max_steps": "x"}, "output_dir": "o", "lr": 1}
    with pytest.raises(UserError) as caught:
        validate(Recipe, content, flags={"data.max_length": "--max-length"})
    told = str(caught.value)
    assert told.startswith("5 mistakes:")
    for subject in ("teacher", "student", "--max-length", "training.max_steps", "lr"):
        assert f"- {subject}: expected" in told


def test_a_key_without_its_section_that_nobody_recognises():
    with pytest.raises(UserError, match=r"did you mean `training\.max_steps`"):
        validate(Recipe, {**SMALLEST, "max_steps": 3})


@pytest.mark.parametrize(
    "make",
    [
        lambda: codir.Recipe(teacher={"model": "t"}),
        lambda: codir.Recipe.model_validate({**SMALLEST, "data": {"source": "d", "max_length": -1}}),
        lambda: FinetuneConfig(model="m", data={"source": "d"}, output_dir="o", training={"seed": -1}),
        lambda: codir.PretrainRecipe(corpus={}, output_dir="o"),
        lambda: codir.CompareConfig(teacher={"model": "t"}),
    ],
)
def test_a_recipe_made_in_python_that_fails_in_pydantics_words(make):
    with pytest.raises(UserError, match="What to do"):
        make()
