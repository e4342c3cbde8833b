"""Recipes: what is read, what is refused, and what a typing mistake is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from codir.config import ObjectivesConfig, Recipe, preset_names, validate
from codir.errors import UserError
from codir.recipe import build_objectives, preset
from codir.settings import deep_merge, parse_settings, parse_yaml

SMALLEST = {"teacher": {"model": "t"}, "data": {"source": "d"}, "student": {"layers": 3}, "output_dir": "o"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("off", "off"),
        ("true", True),
        ("False", False),
        ("5e-5", 5e-5),
        ("1E3", 1000.0),
        ("1.5", 1.5),
        ("-.5", -0.5),
        ("3", 3),
        ("1,3", "1,3"),
        ("null", None),
        ("[1, 3]", [1, 3]),
        ("e5", "e5"),
        ("bert-base", "bert-base"),
    ],
)
def test_a_word_read_as_something_else(text, value):
    read = parse_yaml(text)
    assert read == value
    assert type(read) is type(value)


def test_a_setting_that_forgets_its_neighbours():
    merged = deep_merge({"training": {"seed": 1}}, parse_settings(["training.max_steps=2", "training.bf16=false"]))
    assert merged == {"training": {"seed": 1, "max_steps": 2, "bf16": False}}


@pytest.mark.parametrize("setting", ["training.max_steps", "=3"])
def test_a_setting_without_a_value(setting):
    with pytest.raises(UserError, match=r"section\.key=value"):
        parse_settings([setting])


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"training": {"seed": -1}}, "greater than or equal to 0"),
        ({"training": {"bf16": True}}, "training.precision"),
        ({"objectives": 3}, "name of a preset"),
        ({"objectives": ["kd"]}, "name of a preset"),
        ({"objectives": {"preset": "kd", "hard_label": None, "soft_target": None}}, "at least one term"),
        ({"student": {"layers": [0]}}, r"student\.layers: expected"),
    ],
)
def test_a_mistake_that_becomes_a_traceback(section, said):
    with pytest.raises(UserError, match=said):
        validate(Recipe, {**SMALLEST, **section})


def test_an_open_bracket_that_becomes_a_traceback():
    with pytest.raises(UserError, match="a value in YAML"):
        parse_settings(["a=[1"])


def test_a_tilde_that_becomes_a_folder():
    recipe = validate(Recipe, {**SMALLEST, "output_dir": "~/student", "teacher": {"model": "~/teacher"}})
    assert recipe.output_dir == Path.home() / "student"
    assert recipe.teacher.model == str(Path.home() / "teacher")
    assert recipe.teacher.cache_dir.is_absolute()


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_that_does_not_build(name):
    objectives = preset(name)
    assert set(objectives.weights) == set(objectives.objectives)
    assert all(weight > 0 for weight in objectives.weights.values())


def test_a_preset_that_is_not_listed():
    assert preset_names() == [
        "codir",
        "codir-paper",
        "crd",
        "fine-tune",
        "in-batch",
        "instance-bank",
        "jsd",
        "kd",
        "moco",
        "supcon",
    ]


def test_a_term_that_null_does_not_switch_off():
    config = ObjectivesConfig.model_validate({"preset": "codir", "hard_label": None})
    assert set(build_objectives(config).weights) == {"soft_target", "contrastive"}


def test_an_override_that_resets_the_rest_of_a_section():
    objectives = preset("codir", contrastive={"num_negatives": 7})
    assert objectives.needs.negatives.count == 7
    assert objectives.weights["contrastive"] == preset("codir").weights["contrastive"]


def test_a_recipe_that_changes_after_it_was_read():
    recipe = validate(Recipe, SMALLEST)
    with pytest.raises(ValidationError, match="frozen"):
        recipe.baseline = True


def test_a_value_out_of_range_that_says_nothing():
    with pytest.raises(UserError, match=r"training\.learning_rate.*greater than 0"):
        validate(Recipe, {**SMALLEST, "training": {"learning_rate": -1}})


def test_two_kinds_of_student_at_once():
    with pytest.raises(UserError, match=r"exactly one.*layers and checkpoint"):
        validate(Recipe, {**SMALLEST, "student": {"layers": 3, "checkpoint": "x"}})
