"""Laws over the whole table of flags: a flag, its help and its recipe key cannot drift apart."""

from __future__ import annotations

import importlib
import inspect
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml
from pydantic_core import PydanticUndefined
from test_cli import bad, run

from codir.cli import app
from codir.cli.advice import after_finetuning
from codir.cli.fields import find_key
from codir.cli.flags import COMMANDS, Flag
from codir.cli.given import Given, run_of_data, with_data_of_run
from codir.cli.sizes import PlanConfig
from codir.config import FinetuneConfig, Recipe, parse_settings
from codir.errors import JointUserError, UserError
from codir.runs.plan import plan_on_paper, sizes_on_paper

ALL = [(command, flag) for command in COMMANDS for flag in COMMANDS[command].flags]
NAMES = [f"{command} {flag.shown}" for command, flag in ALL]


@pytest.fixture
def codir(monkeypatch, capsys):
    """The command, run in this process: `codir("distill", "--teacher", ...)` gives exit code and output."""
    return lambda *words: run(monkeypatch, capsys, *words)


def model_of(command: str):
    return COMMANDS[command].load_model()


def option_of(command: str, flag: Flag):
    """The option as the command line has it."""
    built = typer.main.get_command(app).commands[command]
    context = built.context_class(built)
    return next(one for one in built.get_params(context) if flag.shown in one.opts)


def test_a_law_over_too_few_flags():
    known = {"finetune", "distill", "pretrain", "evaluate", "export", "benchmark", "compare", "sweep", "plan"}
    assert set(COMMANDS) == known
    assert len(ALL) >= 90
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize(("command", "flag"), ALL, ids=NAMES)
def test_a_flag_whose_help_differs_from_the_recipe(command, flag):
    key, option = find_key(model_of(command), flag.key), option_of(command, flag)
    assert key.field.description, f"{flag.key} has no description"
    assert (flag.help or key.field.description).casefold() in option.help.casefold()
    if flag.value is not None:
        return
    for choice in (*key.choices, *flag.also):
        assert choice in option.metavar.split("|")
    default = key.field.default
    if flag.key == "objectives.preset" and command == "pretrain":
        default = "codir-pre"
    if default is PydanticUndefined:
        assert "[required" in option.help
    elif default is None or default == []:
        assert "[default" not in option.help
    else:
        assert f"[default: {default}]" in option.help


@pytest.mark.parametrize("command", COMMANDS)
def test_a_help_page_that_leaves_a_flag_out(codir, command):
    code, page = codir(command, "--help")
    assert code == 0
    assert f"Example: codir {command} " in page
    for flag in COMMANDS[command].flags:
        assert all(re.search(rf"(?<![\w-]){name}(?![\w-])", page) for name in flag.name.split()), flag.name
    assert ("RECIPE" in page) == ("--set" in page) == COMMANDS[command].has_recipe


def test_a_flag_of_data_that_comparing_lacks():
    of = {
        command: {flag.shown for flag in COMMANDS[command].flags if flag.key.startswith("data.")}
        for command in COMMANDS
    }
    assert of["compare"] == of["sweep"] == of["distill"]
    assert of["evaluate"] == of["finetune"] == of["distill"] - {"--unlabelled"}


def test_a_command_too_long_to_read():
    commands = importlib.import_module("codir.cli.app")
    lengths = {}
    for name in COMMANDS:
        source = inspect.getsource(getattr(commands, name))
        lengths[name] = len(re.sub(r'""".*?"""', "", source, flags=re.DOTALL).strip().splitlines())
    assert max(lengths.values()) <= 20, lengths


@pytest.mark.parametrize("module", ["torch", "transformers", "pydantic", "codir.config"])
def test_a_first_help_that_loads_what_it_does_not_show(module):
    script = "import sys; sys.argv = ['codir', '--help']\nfrom codir.cli import main\n"
    script += f"try: main()\nexcept SystemExit: pass\nassert {module!r} not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, timeout=60)


# ---- From words to a recipe ----


@pytest.fixture
def read(codir, monkeypatch):
    """What a command hands to its run: `read("distill", "--teacher", ...)` gives the checked recipe."""
    taken = []

    class TakenError(Exception):
        pass

    def take(self, model):
        taken.append(original(self, model))
        raise TakenError

    original = Given.config
    monkeypatch.setattr(Given, "config", take)

    def reading(*words):
        code, output = codir(*words)
        assert code == 1, output
        assert taken, output
        return taken.pop()

    return reading


DISTILL = ["--teacher", "t", "--data", "d.csv", "--student-layers", "3", "--output-dir", "o"]


def test_words_that_become_another_value(read):
    found = read(
        *("distill", *DISTILL, "--student-layers", "1,3,5", "--labels", "no,yes", "--learning-rate", "3e-3"),
        *("--epochs", "2", "--max-steps", "7", "--unlabelled", "a.csv", "--unlabelled", "b.csv", "--no-cache"),
        *("--overwrite", "--text-column", "12", "--set", "training.weight_decay=0.5"),
    )
    assert isinstance(found, Recipe)
    assert found.student.layers == [1, 3, 5]
    assert found.data.labels == ["no", "yes"]
    assert found.data.unlabelled == [Path("a.csv"), Path("b.csv")]
    assert found.data.text_column == "12"
    assert found.training.learning_rate == 3e-3
    assert found.training.trainer_arguments()["max_steps"] == 7
    assert found.training.weight_decay == 0.5
    assert found.teacher.cache is False
    assert (found.overwrite, found.resume, found.baseline) == (True, False, False)
    assert found.training.num_train_epochs == 2


def test_a_flag_that_was_not_given_but_overrides_the_recipe(read, tmp_path):
    path = tmp_path / "recipe.yaml"
    content = {"model": "m", "data": "d.csv", "training": {"seed": 3}, "output_dir": "o", "overwrite": True}
    path.write_text(yaml.safe_dump(content))
    found = read("finetune", path, "--epochs", "1")
    assert isinstance(found, FinetuneConfig)
    assert (found.overwrite, found.training.seed, found.training.num_train_epochs) == (True, 3, 1)
    assert found.data.source == "d.csv"
    assert read("finetune", path, "--set", "overwrite=false", "--seed", "0").training.seed == 0
    assert read("finetune", path, "--set", "overwrite=false").overwrite is False


def test_an_evaluation_of_a_run_that_scores_another_model(read, tmp_path):
    path = tmp_path / "recipe.yaml"
    out = tmp_path / "out"
    out.mkdir()
    (out / "config.json").write_text("{}")
    path.write_text(
        yaml.safe_dump({"model": "bert", "data": {"source": "d.csv"}, "training": {}, "output_dir": str(out)})
    )
    assert read("evaluate", path).model == str(out)
    assert read("evaluate", path, "--model", "other").model == "other"
    assert read("evaluate", path, "--set", "data.max_length=7").data.max_length == 7


@pytest.mark.parametrize(
    ("flags", "settings", "is_of_run"),
    [
        ({"data.max_length": "--max-length", "model": "--model"}, ["data.dev=x.csv"], True),
        ({"data.source": "--data"}, [], False),
        ({}, ["data.source=x.csv"], False),
    ],
)
def test_an_evaluation_that_holds_rows_out_of_other_data(flags, settings, is_of_run):
    given = Given({"data": "d.csv", "output_dir": "out"}, {}, flags, settings)
    assert run_of_data(given) == (Path("out") if is_of_run else None)
    assert run_of_data(Given({"data": "d.csv", "model": "out"}, {}, {})) is None


def test_presets_that_lose_the_recipes_own_entries(read, tmp_path):
    path = tmp_path / "recipe.yaml"
    own = {"name": "sharp", "preset": "kd", "training": {"weight_decay": 0.0}}
    path.write_text(yaml.safe_dump({"presets": [own], "baseline": True, "resume": True}))
    found = read("compare", path, *DISTILL, "--presets", "sharp, codir", "--seeds", "0,3", "--task", "classification")
    assert [one.label for one in found.presets] == ["sharp", "codir"]
    assert found.presets[0].training == {"weight_decay": 0.0}
    assert found.seeds == [0, 3]
    assert found.data.task == "classification"
    assert found.students["student"].layers == 3


def test_an_adaptation_by_recipe_that_is_fine_tuned(read, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({"model": "m", "data": {"source": "d.txt", "task": "mlm"}, "output_dir": "o"}))
    found = read("finetune", path, "--max-length", "16")
    assert found.objectives.preset == "mlm"
    assert (found.student.checkpoint, found.corpus.source, found.corpus.max_length) == ("m", "d.txt", 16)
    assert (found.training.num_train_epochs, found.training.max_steps) == (3, -1)
    assert read("finetune", path, "--max-steps", "5").training.max_steps == 5


@pytest.mark.parametrize("name", ["--steps", "--max-steps"])
def test_a_name_of_the_steps_that_pretraining_refuses(read, name):
    words = ["--teacher", "t", "--corpus", "c.txt", "--student-layers", "2", "--output-dir", "o"]
    assert read("pretrain", *words, name, "4").training.max_steps == 4


# ---- Mistakes ----


def test_a_mistake_that_hides_the_next(codir):
    said = bad(codir, "distill", *DISTILL, "--lr", "3", "--set", "max_steps=3", "--set", "nothing", "--epochs", "many")
    for mistake in ("--lr", "--set training.max_steps=3", "got nothing", "many"):
        assert mistake in said, mistake


@pytest.mark.parametrize(
    ("command", "typed", "meant"),
    [
        ("distill", "--lr", "--learning-rate"),
        ("distill", "--num-train-epochs", "--epochs"),
        ("distill", "--per-device-train-batch-size", "--batch-size"),
        ("distill", "--bs", "--batch-size"),
        ("distill", "--layers", "--student-layers"),
        ("distill", "--steps", "--max-steps"),
        ("pretrain", "--epochs", "--set training.num_train_epochs=3"),
        ("plan", "--hiden", "--hidden"),
        ("finetune", "--unlabelled", "--set data.unlabelled=[3]"),
    ],
)
def test_another_tools_flag_that_is_only_refused(codir, command, typed, meant):
    assert f"did you mean `{meant}`?" in bad(codir, command, typed, "3")


@pytest.mark.parametrize("words", [["--bogus", "3"], ["--bogus=3"], ["--bogus"], ["-z", "3"]])
def test_an_unknown_flag_that_hides_the_other_mistakes(codir, words):
    said = bad(codir, "distill", *DISTILL, "--max-length", "0", *words)
    assert words[0].partition("=")[0] in said
    assert "--max-length: expected greater than 0" in said


def test_a_second_recipe_that_is_read_as_nothing(codir):
    assert "`a.yaml` and `b.yaml`" in bad(codir, "distill", "a.yaml", "b.yaml")
    assert "`a.yaml`" in bad(codir, "plan", "a.yaml", *SIZES)


@pytest.mark.parametrize(
    ("words", "mistakes"),
    [
        (["--preset", "codir-pre", "--max-length", "0"], ["--preset: expected one of the fine", "--max-length: "]),
        (["--preset", "codr", "--epochs", "0"], ["--preset: expected the name", "--epochs: "]),
        (
            ["--set", "training.output_dir=x", "--set", "training.bf16=true", "--set", "training.max_steps=abc"],
            ["training.output_dir: ", "training.bf16: ", "max_steps: "],
        ),
    ],
)
def test_a_check_of_one_key_that_hides_the_others(codir, words, mistakes):
    said = bad(codir, "distill", *DISTILL, *words)
    for mistake in mistakes:
        assert mistake in said


def test_a_mistake_of_set_that_is_blamed_on_a_flag(codir):
    said = bad(codir, "distill", *DISTILL, "--max-length", "64", "--set", "data.max_length=-1")
    assert "--set data.max_length: expected greater than 0" in said


@pytest.mark.parametrize(
    "training",
    [{"weight_decay": "abc"}, {"lerning_rate": 3}, {"output_dir": "x"}],
)
def test_an_entry_of_a_comparison_that_is_checked_after_an_hour(codir, tmp_path, training):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({"presets": ["kd", {"preset": "fine-tune", "training": training}]}))
    assert next(iter(training)) in bad(codir, "compare", path, *DISTILL)


def test_a_misspelt_key_of_a_comparisons_student(codir):
    assert "did you mean 'layers'?" in bad(codir, "compare", *DISTILL, "--presets", "kd", "--set", "student.layerz=3")


def test_the_record_of_a_run_that_comparing_refuses(read, tmp_path):
    record = read("distill", *DISTILL, "--student-layers", "3").model_dump(mode="json", exclude={"overwrite"})
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(record))
    assert read("compare", path, "--presets", "kd").objectives.keys() >= {"hard_label"}


@pytest.mark.parametrize(
    "setting",
    [
        *("training.max_steps=true", "training.learning_rate=true", "data.max_length=true"),
        *("training.adam_beta1=1.0", "training.logging_steps=2.5", "training.debug=bogus"),
        *("training.label_smoothing_factor=0.1", "training.eval_steps=1.5"),
    ],
)
def test_a_value_that_no_training_can_have(codir, setting):
    assert setting.partition("=")[0].rpartition(".")[2] in bad(codir, "distill", *DISTILL, "--set", setting)


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["--precison", "fp32"], "--precision"),
        (["--output_dir", "o"], "--output-dir"),
        (["--set", "learning_rate=1e-4"], "--set training.learning_rate=1e-4"),
        (["--set", "num_negatives=3"], "--set objectives.contrastive.num_negatives=3"),
        (["--set", "lr=3"], "--set training.learning_rate=3"),
        (["--set", "max_step=3"], "--set training.max_steps=3"),
        (["--set", "training.lr=3"], "did you mean 'learning_rate'?"),
        (["--set", "training.batch_size=3"], "did you mean 'per_device_train_batch_size'?"),
    ],
)
def test_a_near_miss_without_a_suggestion(codir, words, meant):
    assert meant in bad(codir, "distill", *DISTILL, *words)


@pytest.mark.parametrize("words", [["--student-layers", "abc"], ["--student-layers", "1,x"], ["--max-length", "3.5"]])
def test_a_flag_that_cannot_be_read_as_a_number(codir, words):
    assert repr(words[1]).strip("'") in bad(codir, "distill", *DISTILL, *words)


@pytest.mark.parametrize("command", ["distill", "compare"])
def test_a_mistake_named_by_a_key_that_nobody_typed(codir, command):
    words = ["--student-layers", "abc", "--selection", "middle", "--epochs", "-1"]
    said = bad(codir, command, *DISTILL, *(["--presets", "kd"] if command == "compare" else []), *words)
    for flag in ("--student-layers: expected", "--selection: expected", "--epochs: expected"):
        assert flag in said


def test_several_mistakes_that_are_no_user_error():
    given = Given({}, {}, {}, ["max_steps=3"])
    with pytest.raises(JointUserError, match=r"training\.max_steps=3") as caught:
        given.config(Recipe)
    assert len(caught.value.errors) >= 2
    assert isinstance(caught.value, UserError)


def test_labels_in_a_recipe_that_an_adaptation_ignores(codir, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({"model": "m", "data": {"source": "d", "task": "mlm", "dev": "x"}}))
    said = bad(codir, "finetune", path, "--labels", "a,b", "--seed", "-1")
    assert "--seed" in said
    assert "--labels" in said
    assert "data.dev" in said


# ---- codir plan ----

SIZES = ["--rows", "1000000", "--layers", "12", "--hidden", "768"]


def test_a_plan_that_no_rule_decides(codir):
    room = ["--free-disk", "1TB", "--free-memory", "64GB"]
    code, roomy = codir("plan", *SIZES, *room)
    assert code == 0, roomy
    assert "36.9 GB" in roomy  # 1e6 rows * (2 classes * 4 + 12 layers * 768 * 4 bytes)
    assert "1.0 GB" in roomy  # two banks of 1e6 rows * 128 * 4 bytes
    assert "in place of 3 readings" in roomy  # once an epoch: negatives come from the banks
    code, fresh = codir("plan", *SIZES, *room, "--keys", "fresh")
    assert "512.0 MB" in fresh
    assert "in place of 12.4 readings" in fresh
    assert "teacher: cached" in roomy
    assert "vectors of the teacher: memory bank" in roomy
    code, small = codir("plan", *SIZES, "--free-disk", "10GB", "--free-memory", "1GB")
    assert code == 0, small
    assert "teacher: live" in small
    assert "vectors of the student: queue" in small


def test_a_plan_that_asks_for_a_machine(codir):
    code, output = codir("plan", "--rows", "1000", "--layers", "2", "--hidden", "8")
    assert code == 0, output
    assert "vectors of the teacher: memory bank" in output


def test_a_plan_without_a_size(codir):
    assert "layers" in bad(codir, "plan", "--rows", "10")
    assert "many" in bad(codir, "plan", *SIZES, "--processes", "many")


def test_defaults_of_a_plan_that_are_not_those_of_a_run():
    """`sizes_on_paper` has defaults of its own, for benchmarks."""
    plan = PlanConfig(rows=1000, layers=12, hidden=768)
    assert plan_on_paper(**plan.model_dump()).sizes == sizes_on_paper(1000, layers=12, hidden=768)


def test_data_of_a_recipe_that_lies_where_the_command_is_typed(tmp_path, monkeypatch):
    """It is no run's of the models that are named, whose own recipes lie beside them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipe.yaml").write_text("data: other.csv\n")
    for values in ({"models": ["student"]}, {"model": "student"}, {}):
        given = Given(recipe={}, values=values, flags={})
        assert with_data_of_run(given) == (given, None)
    (tmp_path / "student").mkdir()
    (tmp_path / "student" / "recipe.yaml").write_text("data: own.csv\n")
    given, folder = with_data_of_run(Given(recipe={}, values={"models": ["student"]}, flags={}))
    assert (given.recipe, folder) == ({"data": {"source": "own.csv"}}, Path("student"))


def test_a_next_command_that_takes_a_class_for_two(tmp_path):
    data = {"source": "rows.csv", "labels": ["yes, please", "no"]}
    said = after_finetuning(FinetuneConfig(model="m", data=data, output_dir=tmp_path / "teacher"))
    words = shlex.split(said)
    assert "--labels" not in words
    assert parse_settings([words[words.index("--set") + 1]]) == {"data": {"labels": ["yes, please", "no"]}}
