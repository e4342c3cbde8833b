"""The output folder of a run: nothing that is read or that others wrote is lost, and every stop can be gone on from."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import codir
from codir.cli.app import NOT_COMPARED
from codir.config import AnyRun, CompareConfig, EvaluateConfig, FinetuneConfig, PretrainRecipe, Recipe, validate
from codir.errors import UserError
from codir.runs import compare_presets, finetune
from codir.runs.answers import check_places
from codir.runs.compare.folder import comparison_folder
from codir.runs.inputs import INPUTS, inputs_of
from codir.runs.output import MAY_CHANGE, changed_values, model_replaced, record_of, refuse_other_recipe, run_folder
from codir.runs.processes import refuse_processes
from codir.store import FolderInUseError, Ledger, files_added_whole, write_whole
from conftest import WORDS


@pytest.fixture
def place(tmp_path) -> Path:
    """A folder with inputs of every kind; none of them is read here."""
    for name in ("teacher", "other", "texts"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
    for name in ("train.csv", "dev.csv", "more.csv"):
        (tmp_path / name).write_text("text,label\n")
    return tmp_path


def recipe(place: Path, output: Path | str = "out", **changes: Any) -> Recipe:
    sections = {
        "teacher": {"model": str(place / "teacher")},
        "data": {"source": str(place / "train.csv"), "dev": str(place / "dev.csv")},
        "student": {"layers": 2},
        "output_dir": place / output,
    }
    return validate(Recipe, {**sections, **changes})


def finetuning(place: Path, output: Path | str = "out", **changes: Any) -> FinetuneConfig:
    sections = {"model": str(place / "teacher"), "data": {"source": str(place / "train.csv")}}
    return validate(FinetuneConfig, {**sections, "output_dir": place / output, **changes})


# ---- Inputs ----


def every_input(place: Path) -> list[tuple[str, Any]]:
    """A run of each kind for each file or folder that it may name."""
    data = {"source": str(place / "train.csv")}
    of_distill = [
        recipe(place),
        recipe(place, student={"checkpoint": str(place / "other")}),
        recipe(place, data={**data, "data_dir": str(place / "texts"), "unlabelled": [str(place / "more.csv")]}),
    ]
    corpus = {"source": str(place / "texts")}
    pretraining = validate(
        PretrainRecipe,
        {"teacher": str(place / "teacher"), "corpus": corpus, "student": {"layers": 2}, "output_dir": place / "out"},
    )
    comparison = {**of_distill[0].model_dump(mode="json", exclude={*NOT_COMPARED, "overwrite", "objectives"})}
    comparison |= {"presets": ["kd"], "student": {"checkpoint": str(place / "other")}}
    models = {"model": str(place / "teacher"), "against": str(place / "other")}
    scored = validate(EvaluateConfig, {**models, "data": data, "output": place / "out"})
    configs = [*of_distill, finetuning(place), pretraining, validate(CompareConfig, comparison), scored]
    return [(key, config) for config in configs for key in inputs_of(config)]


def test_a_law_over_too_few_inputs(place):
    named = {key for key, _ in every_input(place)}
    assert named == {*INPUTS, "students.student.checkpoint"}
    assert len(every_input(place)) == 22


@pytest.mark.parametrize("number", range(22))
@pytest.mark.parametrize("relation", ["same", "inside", "around", "linked"])
def test_an_input_that_a_run_writes_to(place, number, relation):
    """Every key that names a file or folder, in every way that it can meet the output."""
    key, config = every_input(place)[number]
    there = Path(inputs_of(config)[key][0])
    output = {"same": there, "inside": there / "student", "around": place, "linked": place / "link"}[relation]
    if relation == "linked":
        output.symlink_to(there)
    with pytest.raises(UserError, match=r"place apart"):
        enter(config, output)
    assert (place / "teacher" / "config.json").read_text() == "{}"


def enter(config: AnyRun | CompareConfig | EvaluateConfig, output: Path) -> None:
    """Begin a run, and stop before it does anything."""
    if isinstance(config, EvaluateConfig):
        for key in ("predictions", "differences"):
            with pytest.raises(UserError, match="place apart"):
                check_places(config.model_copy(update={"output": None, key: output}), [])
        check_places(config.model_copy(update={"output": output}), [])
        return
    config = config.model_copy(update={"output_dir": output, "overwrite": True})
    with comparison_folder(config) if isinstance(config, CompareConfig) else run_folder(config):
        pass


def test_one_allowed_input_that_allows_others(place):
    (place / "out" / "teacher").mkdir(parents=True)
    teacher = str(place / "out" / "teacher")
    inside = recipe(place, teacher={"model": teacher}, overwrite=True)
    with run_folder(inside, inside=[teacher]):
        pass
    with pytest.raises(UserError, match=r"place apart"):
        enter(inside, place / "out")
    with (
        pytest.raises(UserError, match=r"data.source"),
        run_folder(recipe(place, "."), inside=[str(place / "teacher")]),
    ):
        pytest.fail("the data lies in the output")


@pytest.mark.parametrize("key", ["output_dir", "teacher.cache_dir", "data.data_dir"])
def test_an_empty_name_that_becomes_the_current_folder(place, key):
    section, _, last = key.rpartition(".")
    sections = recipe(place).model_dump(mode="json")
    (sections[section] if section else sections)[last] = ""
    with pytest.raises(UserError, match="name of a file or folder"):
        validate(Recipe, sections)


# ---- Folders of others ----


@pytest.mark.parametrize(
    "name", ["model.safetensors", "report.md", "report.html", "recipe.yaml", "tokenizer.json", "README.md"]
)
def test_a_file_of_someone_else_that_has_the_name_of_a_runs(place, name):
    (place / "out").mkdir()
    (place / "out" / name).write_text("mine")
    with pytest.raises(UserError, match=name), run_folder(recipe(place, overwrite=True)) as folder:
        folder.claim()
    assert (place / "out" / name).read_text() == "mine"
    assert [path.name for path in (place / "out").iterdir()] == [name]


def test_an_older_run_without_a_list_that_cannot_be_replaced(place):
    out = place / "out"
    (out / "checkpoints" / "checkpoint-5").mkdir(parents=True)
    (out / "checkpoints" / "checkpoint-5" / "codir_scaffolding.safetensors").write_text("old")
    for name in ("config.json", "model.safetensors", "report.json"):
        (out / name).write_text("old")
    for name in ("report.pdf", "model-backup.safetensors", "checkpoints/mine.txt"):
        (out / name).write_text("mine")
    (out / "recipe.yaml").write_text(record_of(recipe(place)))
    (out / "README.md").write_text("mine")  # no run wrote a model card then
    with pytest.raises(UserError, match=r"README.md, which no run of codir wrote"):
        enter_and_claim(recipe(place, overwrite=True))
    (out / "README.md").unlink()
    with run_folder(recipe(place, overwrite=True)) as folder:
        folder.claim()
        assert (out / ".replaced" / "model.safetensors").read_text() == "old"
        assert not (out / "model.safetensors").exists()
    assert not (out / ".replaced").exists()
    assert {p.name for p in out.rglob("*") if p.is_file() and p.read_text() == "mine"} == {
        "report.pdf", "model-backup.safetensors", "mine.txt"
    }  # fmt: skip


@pytest.mark.parametrize("folder", ["runs", "students"])
def test_a_folder_of_another_tool_taken_for_a_comparison(place, folder):
    (place / "out" / folder / "two" / "kd").mkdir(parents=True)
    theirs = place / "out" / folder / "two" / "kd" / "9.json"
    theirs.write_text("{}")
    sections = {"teacher": {"model": "t"}, "data": {"source": "d"}, "student": {"layers": 2}, "presets": ["kd"]}
    config = validate(CompareConfig, {**sections, "output_dir": place / "out"})
    with pytest.raises(UserError, match="something else"), comparison_folder(config):
        pytest.fail("another tool's folder was taken")
    with comparison_folder(config.model_copy(update={"overwrite": True})) as comparison:
        comparison.claim()
        comparison.finish()
    assert theirs.read_text() == "{}"


def enter_and_claim(config: AnyRun) -> None:
    with run_folder(config) as folder:
        folder.claim()


def test_a_model_card_of_the_users_that_a_resumed_run_writes_over(place):
    with pytest.raises(KeyboardInterrupt):
        claim_and_raise(recipe(place), KeyboardInterrupt())
    (place / "out" / "README.md").write_text("mine")
    with run_folder(recipe(place, resume=True)) as folder:
        folder.claim()
        write_whole(place / "out" / "README.md", "codir's")
    (aside,) = (place / "out").glob(".set-aside-README.md-*")
    assert aside.read_text() == "mine"
    with run_folder(recipe(place, overwrite=True)) as folder:  # codir's own is replaced
        folder.claim()
    assert not (place / "out" / "README.md").exists()


# ---- Failing and going on ----


def make_old_run(place: Path) -> None:
    with run_folder(recipe(place)) as folder:
        folder.claim()
        folder.ledger.add([place / "out" / "model.safetensors"])
        (place / "out" / "model.safetensors").write_text("old")


def claim_and_raise(config: AnyRun, error: BaseException) -> None:
    with run_folder(config) as folder:
        folder.claim()
        raise error


def test_a_run_that_is_refused_late_and_takes_the_old_one_with_it(place):
    make_old_run(place)
    late = UserError("late", expected="a", got="b", do="c")
    with pytest.raises(UserError, match="late"):
        claim_and_raise(recipe(place, overwrite=True, baseline=True), late)
    assert (place / "out" / "model.safetensors").read_text() == "old"
    assert (place / "out" / "recipe.yaml").read_text() == record_of(recipe(place))
    with pytest.raises(UserError, match="late"):
        claim_and_raise(recipe(place, "fresh"), late)
    assert not (place / "fresh").exists()  # so that the corrected command is not refused


def test_an_interrupted_run_that_says_nothing(place):
    make_old_run(place)
    with pytest.raises(KeyboardInterrupt) as stop:
        claim_and_raise(recipe(place, overwrite=True), KeyboardInterrupt())
    said = " ".join(stop.value.__notes__)
    assert "No checkpoint was saved yet" in said
    assert "resume=True" in said
    assert str(place / "out" / ".replaced") in said
    assert (place / "out" / ".replaced" / "model.safetensors").read_text() == "old"
    with run_folder(recipe(place, resume=True)) as folder:
        folder.claim()
    assert not (place / "out" / ".replaced").exists()


@pytest.mark.parametrize("left", ["nothing", "scratch", "lock", "list", "record"])
def test_a_run_killed_early_that_cannot_be_resumed(place, left):
    out = place / "out"
    out.mkdir()
    if left == "scratch":
        (out / ".drafts-0123").mkdir()
        (out / ".drafts-0123" / ".codir-owner").touch()
    if left == "lock":
        (out / ".codir-lock").touch()
        (out / ".codir-holder").write_text("process 1 on elsewhere")
    if left == "list":  # killed between the list and the record
        Ledger(out).begin(files=["recipe.yaml"], checkpoints=["checkpoints"])
    if left == "record":
        with pytest.raises(KeyboardInterrupt):
            claim_and_raise(recipe(place), KeyboardInterrupt())
    with run_folder(recipe(place, resume=True)) as folder:
        folder.claim()
        assert not (out / ".drafts-0123").exists()
    assert yaml.safe_load((out / "recipe.yaml").read_text())["student"]["layers"] == 2


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"teacher: {", b"- 1", b"[" * 3000, b"training: 1\n"])
def test_a_damaged_record_that_stops_without_advice(place, content):
    make_old_run(place)
    (place / "out" / "recipe.yaml").write_bytes(content)
    with pytest.raises(UserError, match=r"delete or restore recipe.yaml"), run_folder(recipe(place, resume=True)):
        pytest.fail("resumed with a damaged recipe")


def test_two_runs_in_one_folder(place):
    """The second is in another process, as it would be."""
    script = (
        "import sys; from pathlib import Path; from codir.store import locked_folder\n"
        f"with locked_folder(Path({str(place / 'out')!r})): print('in', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"in\n"
        with pytest.raises(FolderInUseError, match=f"process {other.pid} "), run_folder(recipe(place)):
            pytest.fail("two runs are in one folder")
        other.communicate(b"")
    with run_folder(recipe(place)) as folder:
        folder.claim()


# ---- What may change on resume ----


def test_a_key_that_may_change_and_is_none():
    known = set()
    for model in (Recipe, PretrainRecipe, FinetuneConfig):
        for name, field in model.model_fields.items():
            inner = getattr(field.annotation, "model_fields", {})
            known |= {name, *(f"{name}.{key}" for key in inner)}
    assert known >= MAY_CHANGE


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"training": {"learning_rate": 1e-6, "precision": "fp32", "max_grad_norm": 0.1}}, None),
        ({"training": {"warmup_steps": 9, "logging_steps": 3, "dataloader_num_workers": 2}}, None),
        ({"teacher": {"model": "t", "cache_dir": "elsewhere"}}, None),
        ({"training": {"seed": 3}}, "training.seed"),
        ({"training": {"learning_rate": 1e-6, "max_steps": 3}}, "training.max_steps"),
        ({"teacher": {"model": "another"}}, "teacher.model"),
        ({"student": {"layers": 3}}, "student.layers"),
        ({"objectives": "kd"}, "objectives.preset"),
        ({"push_to_hub": "me/student"}, None),
    ],
)
def test_a_changed_recipe_that_is_resumed_or_refused_by_mistake(tmp_path, changes, refused):
    sections = {"teacher": {"model": "t"}, "data": {"source": "d"}, "student": {"layers": 2}, "output_dir": "out"}
    earlier, now = (
        yaml.safe_load(record_of(validate(Recipe, content))) for content in (sections, {**sections, **changes})
    )
    assert changed_values(earlier, now)
    if refused is None:
        refuse_other_recipe(earlier, now, tmp_path / "recipe.yaml")
        return
    with pytest.raises(UserError, match=refused) as error:
        refuse_other_recipe(earlier, now, tmp_path / "recipe.yaml")
    assert "learning_rate" in error.value.do
    assert "learning_rate" not in error.value.got


def test_an_unreadable_file_name_in_the_output(place):
    """A list of files holds any name that a file system allows."""
    out = place / "out"
    names = [f"{WORDS[0]}\n.txt", "ü\u2028.txt", '"quoted".txt']
    out.mkdir()
    ledger = Ledger(out)
    ledger.begin()
    ledger.add([out / name for name in names])
    for name in names:
        (out / name).write_text("old")
    ledger.finish()
    ledger.set_aside()
    assert sorted(os.listdir(out / ".replaced")) == sorted([*names, ledger.file.name])


# ---- Before anything is loaded ----


@pytest.mark.parametrize("asked", [{"fsdp": "full_shard"}, {"deepspeed": "config.json"}])
def test_a_way_to_shard_that_is_refused_after_loading(place, monkeypatch, asked):
    """The teacher's folder holds no model: loading it would fail otherwise."""
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    (place / "data.txt").write_text("a text\n")
    corpus = {"source": str(place / "data.txt")}
    pretraining = {"teacher": str(place / "teacher"), "corpus": corpus, "student": {"layers": 2}}
    comparison = recipe(place).model_dump(mode="json", include={"teacher", "data", "student"})
    runs = [
        (codir.distill, recipe(place, training=asked)),
        (finetune, finetuning(place, training=asked)),
        (codir.pretrain, validate(PretrainRecipe, {**pretraining, "training": asked, "output_dir": place / "out"})),
        (
            compare_presets,
            validate(CompareConfig, {**comparison, "presets": ["kd"], "training": asked, "output_dir": place / "out"}),
        ),
    ]
    for command, config in runs:
        with pytest.raises(UserError, match=r"expected data parallelism"):
            command(config)
    assert not (place / "out").exists()


@pytest.mark.parametrize("command", ["compare", "demo"])
def test_a_command_that_would_do_all_its_work_in_each_process(monkeypatch, command):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="expected one process, got 2"):
        refuse_processes(command, "start it without `torchrun`")
    monkeypatch.setenv("WORLD_SIZE", "1")
    refuse_processes(command, "start it without `torchrun`")


def test_a_model_of_someone_else_that_a_demo_replaces(tmp_path):
    for text in ("first", "second"):  # its own it may replace
        with model_replaced(tmp_path / "cut"), files_added_whole(tmp_path / "cut") as drafts:
            (drafts / "config.json").write_text(text)
    assert (tmp_path / "cut" / "config.json").read_text() == "second"
    assert not (tmp_path / "cut" / ".replaced").exists()
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "model.safetensors").write_text("mine")
    with pytest.raises(UserError, match=r"model.safetensors"), model_replaced(tmp_path / "theirs"):
        pytest.fail("a model of someone else was taken")


def test_a_recipe_of_the_users_own_that_is_taken_for_a_record(place):
    """It looks like one of codir's, but nothing of a run is beside it."""
    (place / "out").mkdir()
    (place / "out" / "recipe.yaml").write_text(f"# mine\n{record_of(recipe(place))}")
    with pytest.raises(UserError, match=r"recipe\.yaml, which no run of codir wrote"):
        claim(recipe(place, overwrite=True))
    assert (place / "out" / "recipe.yaml").read_text().startswith("# mine")


def claim(config: Recipe) -> None:
    with run_folder(config) as folder:
        folder.claim()


@pytest.mark.parametrize("name", ["checkpoints", "baseline/checkpoints"])
def test_checkpoints_behind_a_link_that_another_run_goes_on_from(place, name):
    (place / "elsewhere").mkdir()
    (place / "out" / name).parent.mkdir(parents=True, exist_ok=True)
    (place / "out" / name).symlink_to(place / "elsewhere")
    with pytest.raises(UserError, match="symbolic link"):
        claim(recipe(place, overwrite=True))


def test_a_record_of_an_earlier_version_that_lacks_a_key(place):
    """A key that codir did not have then stands for its default."""
    with pytest.raises(KeyboardInterrupt):
        claim_and_raise(recipe(place), KeyboardInterrupt())
    record = place / "out" / "recipe.yaml"
    earlier = yaml.safe_load(record.read_text())
    del earlier["data"]["header"], earlier["data"]["encoding"]
    record.write_text(yaml.safe_dump(earlier))
    claim(recipe(place, resume=True))
    record.write_text(yaml.safe_dump(earlier))
    other = {"source": str(place / "train.csv"), "dev": str(place / "dev.csv"), "header": False}
    with pytest.raises(UserError, match=r"data\.header changed"):
        claim(recipe(place, data=other, resume=True))


def test_a_secret_in_the_record_of_a_comparison(place):
    content = recipe(place).model_dump(mode="json", exclude={*NOT_COMPARED, "overwrite", "objectives"})
    training = {"run_name": "hf_abcdefghijklmnopqrstuvwxyz"}
    config = validate(CompareConfig, {**content, "presets": ["kd"], "training": training})
    with comparison_folder(config) as folder:
        folder.claim()
    assert "hf_abcdef" not in (place / "out" / "recipe.yaml").read_text()


def test_advice_for_a_demo_that_it_does_not_take(monkeypatch):
    from codir.runs.words import command_again

    monkeypatch.setattr(sys, "argv", ["codir", "demo", "--quick"])
    assert command_again() == "codir demo --quick --overwrite"
    monkeypatch.setattr(sys, "argv", ["codir", "distill", "r.yaml", "--overwrite"])
    assert command_again() == "codir distill r.yaml --resume"
