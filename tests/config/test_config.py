"""Recipes: what is read, what is refused, and what a typing mistake is told."""

from __future__ import annotations

import inspect
import json
import os
from pathlib import Path
from typing import get_args

import pytest
import yaml
from pydantic import ValidationError

import codir.config.objectives
from codir.config import (
    CompareConfig,
    CorpusConfig,
    ObjectivesConfig,
    Recipe,
    deep_merge,
    parse_settings,
    parse_yaml,
    preset_names,
    read_preset,
    validate,
)
from codir.config.words import keys_for
from codir.data import load_corpus
from codir.errors import UserError
from codir.objectives import Contrastive, Stage, StagedObjectives
from codir.runs import output, preset
from codir.runs.objectives import OBJECTIVES, build_objectives
from codir.signals import ModelShape

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
    stages = objectives.stages if isinstance(objectives, StagedObjectives) else [Stage(objectives)]
    for stage in stages:
        assert set(stage.objectives.weights) == set(stage.objectives.objectives)
        assert all(weight > 0 for weight in stage.objectives.weights.values())


def test_a_preset_that_is_not_listed():
    assert preset_names("pretrain") == ["codir-pre", "distilbert-pre", "kd-pre", "minilm-pre", "mlm", "tinybert-pre"]
    assert preset_names("distill") == [
        "codir",
        "codir-fresh",
        "codir-paper",
        "codir-soft",
        "crd",
        "distilbert",
        "embed-cosine",
        "embed-layers",
        "embed-leaf",
        "embed-mse",
        "embed-nce",
        "embed-soft",
        "fine-tune",
        "in-batch",
        "instance-bank",
        "internal",
        "internal-stacked",
        "jsd",
        "kd",
        "logit-mse",
        "minilm",
        "minilm-v1",
        "mobilebert",
        "moco",
        "pkd",
        "pkd-last",
        "pooled-mse",
        "rerank-listwise",
        "rerank-margin",
        "rerank-mse",
        "supcon",
        "tinybert",
    ]


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_section_that_differs_from_what_its_objective_takes(name):
    section = get_args(ObjectivesConfig.model_fields[name].annotation)[0]()
    taken = {key: taken.default for key, taken in inspect.signature(OBJECTIVES[name]).parameters.items()}
    said = {key: tuple(value) if isinstance(value, list) else value for key, value in section.model_dump().items()}
    assert said.pop("weight") > 0
    if name == "contrastive":
        assert taken.pop("keys") is None  # both sides name them by `keys_for`
        assert said.pop("keys") == keys_for(said["anchor"], said["source"], said["memory"], per_layer=False)
    assert said == {key: value for key, value in taken.items() if key not in ("args", "kwargs")}


def test_a_contrast_without_arguments_that_is_not_the_presets():
    of_preset = preset("codir").contrast
    assert Contrastive().needs == of_preset.needs
    assert (Contrastive().sides, Contrastive().projection_dim) == (of_preset.sides, of_preset.projection_dim)


def test_a_layer_map_that_does_not_reach_its_objective():
    pairs = preset("pkd", pooled_mse={"layer_map": [[1, 2], [2, 4]]}).objectives["pooled_mse"].layer_map
    assert pairs == ((1, 2), (2, 4))


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


# ---- Stages ----

TWO_STAGES = {
    "stages": [
        {"soft_target": {"weight": 2.0}, "epochs": 2, "learning_rate": 5e-5},
        {"preset": "codir", "hard_label": None, "layers": "stacked"},
        "fine-tune",
    ]
}


def test_stages_that_come_out_otherwise():
    objectives = build_objectives(validate(ObjectivesConfig, TWO_STAGES))
    assert isinstance(objectives, StagedObjectives)
    assert [stage.objectives.weights for stage in objectives.stages] == [
        {"soft_target": 2.0},
        {"soft_target": 0.5, "contrastive": 0.3},
        {"hard_label": 1.0},
    ]
    assert [stage.share for stage in objectives.stages] == [2.0, 1.0, 1.0]
    assert [stage.learning_rate for stage in objectives.stages] == [5e-5, None, None]
    assert objectives.first_steps(40) == (0, 20, 30)


@pytest.mark.parametrize(("layers", "expected"), [("one-by-one", [(1,), (2,)]), ("stacked", [(1,), (1, 2)])])
def test_layers_that_a_recipe_opens_otherwise(layers, expected):
    stages = [{"preset": "codir", "layers": layers}, {"preset": "codir", "contrastive": {"student_layers": "last"}}]
    objectives = build_objectives(validate(ObjectivesConfig, {"stages": stages}))
    objectives.build(teacher=ModelShape(4, 8, 2, classes=2), student=ModelShape(2, 8, 2, classes=2))
    looked_at = [stage.objectives.contrast.student_representation.layers for stage in objectives.stages]
    assert looked_at == [*expected, "last"]
    assert objectives.first_steps(40) == (0, 10, 20)


@pytest.mark.parametrize(
    ("objectives", "said"),
    [
        ({"stages": [{"preset": "kd"}], "hard_label": {}}, "terms or stages, got `stages` beside `hard_label`"),
        ({"stages": [{"preset": "kd"}], "preset": "codir"}, "terms or stages"),
        ({"stages": [{}]}, "at least one term"),
        ({"stages": [{"stages": [{"preset": "kd"}]}]}, "stages inside a stage"),
        ({"stages": [{"preset": "kd", "layers": "one-by-one"}]}, "a term with `student_layers: all`.*`hard_label` and"),
        ({"stages": [{"preset": "kd", "epochs": 0}]}, r"objectives\.stages\.epochs.*greater than 0"),
        ({"stages": [{"preset": "kd", "epoch": 1}]}, r"objectives\.stages\.epoch.*did you mean 'epochs'"),
        ({"stages": [{"soft_target": {"wieght": 1}}]}, r"stages\.soft_target\.wieght.*did you mean 'weight'"),
        ({"stages": [{"preset": "kdd"}]}, "did you mean 'kd'"),
        ({"stages": ["kdd"]}, "did you mean 'kd'"),
        ({"stages": [3]}, "name of a preset"),
        ({"stages": []}, "at least 1 item"),
        ({"preset": None}, "at least one term"),
    ],
)
def test_stages_that_become_a_traceback(objectives, said):
    with pytest.raises(UserError, match=said):
        validate(Recipe, {**SMALLEST, "objectives": objectives})


def test_a_record_of_stages_that_reads_otherwise():
    recipe = validate(Recipe, {**SMALLEST, "objectives": TWO_STAGES})
    record = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)
    assert validate(Recipe, parse_yaml(record)) == recipe


@pytest.fixture
def staged_preset(monkeypatch):
    """A preset with stages, one of which names a preset itself."""
    content = {"objectives": {"stages": [{"contrastive": {"weight": 1.0}, "epochs": 3}, {"preset": "kd"}]}}
    read = codir.config.objectives.read_preset
    monkeypatch.setattr(
        codir.config.objectives, "read_preset", lambda name: content if name == "staged" else read(name)
    )


@pytest.mark.usefixtures("staged_preset")
def test_a_preset_with_stages_that_cannot_be_named_or_changed():
    objectives = preset("staged", soft_target={"kd_temperature": 7.0}, contrastive={"num_negatives": 9})
    first, second = (stage.objectives for stage in objectives.stages)
    assert objectives.stages[0].share == 3.0
    assert first.weights == {"contrastive": 1.0}
    assert first.needs.negatives.count == 9
    assert second.weights == {"hard_label": 0.5, "soft_target": 0.5}
    assert second.objectives["soft_target"].kd_temperature == 7.0


@pytest.mark.usefixtures("staged_preset")
def test_a_preset_with_stages_whose_record_reads_otherwise():
    for objectives in ("staged", {"preset": "staged", "hard_label": None}):
        recipe = validate(Recipe, {**SMALLEST, "objectives": objectives})
        assert recipe.objectives.stages[1].terms().keys() - {"hard_label"} == {"soft_target"}
        assert (recipe.objectives.stages[1].hard_label is None) == (objectives != "staged")
        assert validate(Recipe, recipe.model_dump(mode="json")) == recipe


@pytest.mark.usefixtures("staged_preset")
def test_a_section_that_no_stage_of_the_preset_has():
    with pytest.raises(UserError, match=r"objectives\.contrast: expected a term of one of the preset's stages"):
        preset("staged", contrast={"weight": 1.0})
    with pytest.raises(UserError, match="preset without stages, got stages inside a stage"):
        validate(ObjectivesConfig, {"stages": ["staged"]})


def test_a_key_or_default_of_a_corpus_that_loading_it_does_not_have():
    taken = {key: taken.default for key, taken in inspect.signature(load_corpus).parameters.items()}
    keys = CorpusConfig.model_fields
    assert taken.keys() - {"tokenizer"} == keys.keys() - {"heldout_fraction"}
    for key in taken.keys() - {"source", "tokenizer", "cache_dir"}:
        assert keys[key].default == taken[key], key
    corpus = validate(CorpusConfig, {"source": "~/wiki", "cache_dir": "~/corpora"})
    assert Path(corpus.source).is_absolute()
    assert corpus.cache_dir.is_absolute()


@pytest.mark.parametrize(
    ("key", "value"), [("documents", "page"), ("max_length", 0), ("heldout_fraction", 1.0), ("num_proc", 0)]
)
def test_a_corpus_that_cannot_be_meant(key, value):
    with pytest.raises(UserError, match=key):
        validate(CorpusConfig, {"source": "a.txt", key: value})


@pytest.mark.parametrize(
    ("changed", "keys"),
    [({}, "banked"), ({"anchor": "student"}, "fresh"), ({"source": "batch"}, "fresh"), ({"memory": "queue"}, "fresh")],
    ids=str,
)
def test_an_option_of_the_default_preset_that_drags_another_along(changed, keys):
    contrast = ObjectivesConfig.model_validate({"preset": "codir", "contrastive": changed}).contrastive
    assert contrast.keys == keys


# ---- Names that are no paths, files that are no recipes, secrets ----

PATHS = ["..", ".", "../kd", "/etc/passwd", "a/b", "a\\b", "", ".hidden", "x" * 101, "a\n", "-rf"]


@pytest.mark.parametrize("name", PATHS)
def test_a_name_that_is_a_path(name):
    entry = {"preset": "kd", "name": name}
    base = {key: value for key, value in SMALLEST.items() if key != "student"}
    for content in (
        {**base, "students": {name: {"layers": 3}}, "presets": ["kd"]},
        {**SMALLEST, "presets": [entry, "pkd"]},
        {**SMALLEST, "presets": [name]},
    ):
        with pytest.raises(UserError):
            validate(CompareConfig, content)
    with pytest.raises(UserError, match="preset"):
        read_preset(name)


def test_a_preset_read_from_any_file(tmp_path, monkeypatch):
    (tmp_path / "mine.yaml").write_text("objectives: {hard_label: {weight: 1}}")
    there = os.path.relpath(tmp_path / "mine", Path(codir.config.objectives.__file__).parents[1] / "presets")
    with pytest.raises(UserError, match="preset"):
        read_preset(there)
    with pytest.raises(UserError, match="preset"):
        validate(Recipe, {**SMALLEST, "objectives": {"stages": [{"preset": there}]}})


@pytest.mark.parametrize("path", ["", " ", "n" * 256, "d/" * 2100, "~/" + "n" * 300])
def test_a_path_that_no_system_opens(path):
    for content in ({**SMALLEST, "output_dir": path}, {**SMALLEST, "teacher": {"model": path}}):
        with pytest.raises(UserError, match=r"path|name"):
            validate(Recipe, content)


def test_a_home_that_nobody_has():
    assert validate(Recipe, {**SMALLEST, "output_dir": "~nobody-here/x"}).output_dir == Path("~nobody-here/x")


def test_a_record_with_a_secret_or_one_that_cannot_be_resumed(tmp_path):
    """What is hidden compares equal; what is not still differs."""

    def recipe(token: str, seed: int = 0) -> Recipe:
        options = {"hub_token_of_mine": token}
        training = {"lr_scheduler_kwargs": options, "seed": seed, "use_cpu": True}
        data = {"source": f"https://me:{token}@host/x.csv"}
        return validate(
            Recipe, {**SMALLEST, "data": data, "training": training, "output_dir": tmp_path, "resume": True}
        )

    record = tmp_path / "recipe.yaml"
    record.write_text(output.record_of(recipe("s3cr3t")))
    assert "s3cr3t" not in record.read_text()
    output.refuse_other_recipe(output.read_record(record), parse_yaml(output.record_of(recipe("s3cr3t"))), record)
    with pytest.raises(UserError, match="training"):
        output.refuse_other_recipe(
            output.read_record(record), parse_yaml(output.record_of(recipe("s3cr3t", seed=1))), record
        )


def test_a_secret_in_a_mistake():
    with pytest.raises(UserError) as raised:
        validate(Recipe, {**SMALLEST, "training": {"hub_private_token": "s3cr3t", "optim": {"api_key": "s3cr3t"}}})
    assert "s3cr3t" not in str(raised.value)


def test_a_list_of_mistakes_that_names_a_key_of_nobody():
    """A key that is no identifier, under a name of the user's."""
    for content in ({**SMALLEST, "a b": 1}, {**SMALLEST, "training": {"[x]": 1}}, {**SMALLEST, "\x1b[31m": 1}):
        with pytest.raises(UserError, match="a key that codir knows"):
            validate(Recipe, content)
    base = {key: value for key, value in SMALLEST.items() if key != "student"}
    with pytest.raises(UserError, match="layrs"):
        validate(CompareConfig, {**base, "students": {"small": {"layrs": 3}}, "presets": ["kd"]})


def test_a_recipe_in_json_that_raises_pydantics_errors():
    text = json.dumps({**SMALLEST, "output_dir": "o"})
    assert Recipe.model_validate_json(text) == Recipe.model_validate(json.loads(text))
    for wrong, said in (("{", "JSON"), (text.replace('"layers"', '"layerz"'), "layerz")):
        with pytest.raises(UserError, match=said):
            Recipe.model_validate_json(wrong)
