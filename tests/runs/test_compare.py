"""A comparison must be fair, go on where it was, and tell what its runs say."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from transformers import AutoModelForSequenceClassification, BertTokenizer

import codir
from codir import cli
from codir.config import CompareConfig, deep_merge, preset_names, validate
from codir.errors import UserError
from codir.measure import Run, read_comparison
from codir.report import comparison_markdown, comparison_rows, summary_rows
from codir.runs import compare_presets
from codir.runs.compare import checks, entries, training
from codir.runs.compare import common as shared
from codir.signals import IGNORED_CLASS
from codir.trainer import DistillationTrainer
from conftest import SPECIAL, WORDS, make_texts
from families import tiny_classifier

pytestmark = pytest.mark.training

TRAINING = {
    "max_steps": 4,
    "per_device_train_batch_size": 8,
    "learning_rate": 5e-3,
    "precision": "fp32",
    "use_cpu": True,
}


@pytest.fixture(scope="module")
def material(tmp_path_factory) -> Path:
    """A teacher and files to compare on."""
    return make_material(tmp_path_factory.mktemp("material"), kind="classes")


@pytest.fixture(scope="module")
def scored(tmp_path_factory) -> Path:
    """The same with scores, whose correlations tell apart what accuracy on few rows would not."""
    return make_material(tmp_path_factory.mktemp("scored"), kind="scores")


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Torch on one thread, as each of two runs side by side has it here."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def make_material(folder: Path, *, kind: str) -> Path:
    tiny_classifier("bert", num_labels={"classes": 2, "scores": 1}[kind], seed=1).save_pretrained(folder / "teacher")
    BertTokenizer(vocab={word: i for i, word in enumerate(SPECIAL + WORDS)}).save_pretrained(folder / "teacher")
    for name, rows, seed in (("train", 96, 0), ("dev", 40, 1)):
        make_texts(rows, seed=seed, kind=kind).to_csv(folder / f"{name}.csv", index=False)
    return folder


def sections(material: Path, output_dir: Path, **changes) -> dict:
    return {
        "teacher": {"model": str(material / "teacher"), "cache_dir": str(output_dir.parent / "cache")},
        "data": {"source": str(material / "train.csv"), "dev": str(material / "dev.csv"), "max_length": 16},
        "students": {"two": {"layers": 2}},
        "presets": ["fine-tune", {"preset": "codir", "objectives": {"contrastive": {"num_negatives": 10}}}],
        "seeds": 2,
        "training": TRAINING,
        "output_dir": str(output_dir),
        **changes,
    }


def config_of(material: Path, output_dir: Path, **changes) -> CompareConfig:
    return validate(CompareConfig, sections(material, output_dir, **changes))


def config_with(material: Path, output_dir: Path, **changes) -> CompareConfig:
    """One preset, one seed."""
    return config_of(material, output_dir, **{"presets": ["kd"], "seeds": 1, **changes})


def untimed(table: str) -> str:
    """A table without its seconds per step."""
    return re.sub(r"\| \d+\.\d{3} (\| \d+ \|)$", r"\1", table, flags=re.MULTILINE)


# ---- What it leaves ----


def test_a_comparison_without_table_plot_or_numbers(material, tmp_path):
    folder = tmp_path / "comparison"
    comparison = compare_presets(config_of(material, folder))
    content = json.loads((folder / "results.json").read_text())
    assert [(run["preset"], run["seed"]) for run in content["runs"]] == [
        ("fine-tune", 0), ("codir", 0), ("fine-tune", 1), ("codir", 1)
    ]  # fmt: skip
    for run in content["runs"]:
        assert 0 <= run["metrics"]["accuracy"] <= 1
        assert 0 <= run["agreement"] <= 1
        assert run["seconds"] > 0
        assert (run["student"], run["student_layers"], run["steps"]) == ("two", 2, 4)
    assert content["conditions"]["evaluation_rows"] == {"dev": 40}
    assert content["conditions"]["seeds"] == [0, 1]
    assert (folder / "comparison.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "table.md").read_text() == comparison_markdown(comparison)
    assert read_comparison(folder) == comparison
    teacher, floor, *others = [row["preset"] for row in comparison_rows(comparison, "two", "dev")]
    assert (teacher, floor) == ("*teacher*", "largest class")
    assert comparison.floor.keys() == comparison.teacher.keys()
    assert set(others) == {"fine-tune", "codir"}
    assert {path.name for path in folder.iterdir() if not path.name.startswith(".")} == {
        "comparison.png", "recipe.yaml", "report.html", "results.json", "runs", "table.md"
    }  # fmt: skip


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_teacher_that_reads_its_rows_once_for_each_thing_that_is_asked_of_it(material, tmp_path, jobs):
    pooling = {"preset": "codir", "objectives": {"contrastive": {"num_negatives": 10}}}
    presets = ["fine-tune", "kd", "pkd", "tinybert", pooling]  # nothing, logits, `[CLS]`, tokens, means
    comparison = compare_presets(config_with(material, tmp_path / "comparison", presets=presets, jobs=jobs))
    assert not comparison.failed
    (cache,) = (tmp_path / "cache").glob("*/key.json")
    assert len(json.loads(cache.read_text())["pooled"]) == 2


def test_a_cache_that_cannot_be_built_and_runs_that_do_not_need_it(tmp_path):
    """Features beyond half precision."""
    material = make_material(tmp_path, kind="classes")
    teacher = AutoModelForSequenceClassification.from_pretrained(material / "teacher")
    teacher.bert.encoder.layer[0].output.LayerNorm.weight.data.mul_(1e6)
    teacher.save_pretrained(material / "teacher")
    wanted = {"model": str(material / "teacher"), "cache_dir": str(tmp_path / "cache"), "cache_dtype": "float16"}
    presets = ["fine-tune", {"preset": "codir", "objectives": {"contrastive": {"num_negatives": 10}}}]
    comparison = compare_presets(config_with(material, tmp_path / "comparison", teacher=wanted, presets=presets))
    assert [run.preset for run in comparison.runs] == ["fine-tune"]
    (failed,) = comparison.failed
    assert "codir" in failed
    assert "float16" in failed


def test_an_evaluation_set_that_is_not_told(material, tmp_path):
    data = {"source": str(material / "train.csv"), "dev": str(material / "dev.csv"), "max_length": 16}
    parts = {"heldout_rows": 30, "unlabelled_rows": 16, "evaluate_on": ["heldout", "dev"]}
    comparison = compare_presets(config_with(material, tmp_path / "comparison", data={**data, **parts}))
    (run,) = comparison.runs
    assert set(run.metrics) == {"accuracy", "macro_f1", "accuracy_dev", "macro_f1_dev"}
    assert run.agreements == {"heldout": run.agreement, "dev": run.agreements["dev"]}
    assert comparison.conditions["train_rows"] == 96 - 30 - 16
    assert comparison.conditions["unlabelled_rows"] == 16
    table = (tmp_path / "comparison" / "table.md").read_text()
    assert "## two, heldout (30 rows)" in table
    assert "## two, dev (40 rows)" in table
    for on, key in (("heldout", "accuracy"), ("dev", "accuracy_dev")):
        floor, row = comparison_rows(comparison, "two", on)[1:]
        assert floor["accuracy %"] == f"{100 * comparison.floor[key]:.2f}"
        assert row["accuracy %"] == f"{100 * run.metrics[key]:.2f}"


def test_kinds_of_student_that_are_mixed_up(material, tmp_path):
    students = {"two": {"layers": 2}, "one": {"layers": 1}}
    comparison = compare_presets(config_with(material, tmp_path / "comparison", students=students, keep_students=True))
    assert [(run.student, run.student_layers) for run in comparison.runs] == [("two", 2), ("one", 1)]
    assert list(summary_rows({"films": comparison})[0]) == ["preset", "two", "one"]
    for student, layers in (("two", 2), ("one", 1)):
        folder = tmp_path / "comparison" / "students" / student / "kd" / "0"
        assert AutoModelForSequenceClassification.from_pretrained(folder).config.num_hidden_layers == layers


# ---- Fairness ----


def test_presets_that_see_other_batches_or_start_elsewhere(material, tmp_path, monkeypatch):
    batches: dict[tuple[str, int], list] = {}
    starts: dict[tuple[str, int], float] = {}
    train, compute_loss, now = training.train, DistillationTrainer.compute_loss, []

    def noted(entry, *args):
        now[:] = [(entry.preset, entry.seed)]
        return train(entry, *args)

    def recorded(self, model, inputs, *args, **kwargs):
        weights = sum(weight.detach().double().sum() for weight in self.student.parameters())
        starts.setdefault(now[0], float(weights))
        batches.setdefault(now[0], []).append(inputs["example_index"].tolist())
        return compute_loss(self, model, inputs, *args, **kwargs)

    monkeypatch.setattr(training, "train", noted)
    monkeypatch.setattr(DistillationTrainer, "compute_loss", recorded)
    presets = ["fine-tune", "kd", "pkd", "codir", "codir-paper", "in-batch", "tinybert"]
    small = {"contrastive": {"num_negatives": 10}}
    students = {"random": {"config": {"num_hidden_layers": 2}}}
    config = config_of(material, tmp_path / "comparison", presets=presets, objectives=small, students=students)
    assert compare_presets(config).failed == []
    assert set(batches) == {(preset, seed) for preset in presets for seed in (0, 1)}
    for preset in presets:
        for seed in (0, 1):
            assert batches[preset, seed] == batches["fine-tune", seed]
            assert starts[preset, seed] == starts["fine-tune", seed]
    assert len(batches["fine-tune", 0]) == 4
    assert batches["fine-tune", 0] != batches["fine-tune", 1]
    assert starts["fine-tune", 0] != starts["fine-tune", 1]


@pytest.mark.usefixtures("one_thread")  # side by side they share out the threads, and sums round by their number
def test_runs_side_by_side_that_give_other_numbers(scored, tmp_path):
    """And a broken one, which is named from another process too."""
    presets = ["fine-tune", "kd", {"preset": "codir", "objectives": {"contrastive": {"num_negatives": 500}}}]
    alone, together = (
        compare_presets(config_of(scored, tmp_path / f"jobs-{jobs}", jobs=jobs, presets=presets)) for jobs in (1, 2)
    )
    assert len({run.metrics["pearson"] for run in alone.runs}) == 4
    for name in ("metrics", "agreements", "fingerprint", "steps", "seed", "preset"):
        assert [getattr(run, name) for run in alone.runs] == [getattr(run, name) for run in together.runs]
    assert len(alone.failed) == 2
    assert "num_negatives" in alone.failed[0]
    assert sorted(alone.failed) == sorted(together.failed)


def test_a_preset_with_more_steps_than_the_others(material, tmp_path):
    longer = [{"preset": "kd", "training": {"max_steps": 8}}]
    with pytest.raises(UserError, match="the same batches and steps"):
        config_of(material, tmp_path, presets=longer)


def test_labels_alone_that_read_rows_without_one(material, tmp_path, monkeypatch):
    """As many steps of the labelled rows; and a run that reads all of them is another run."""
    read = {}
    original, compute_loss = training.train, DistillationTrainer.compute_loss

    def noted(entry, common):
        read["now"] = entry.preset
        return original(entry, common)

    def recorded(self, model, inputs, *args, **kwargs):
        read.setdefault(read["now"], []).extend(inputs["labels"].tolist())
        return compute_loss(self, model, inputs, *args, **kwargs)

    monkeypatch.setattr(training, "train", noted)
    monkeypatch.setattr(DistillationTrainer, "compute_loss", recorded)
    alone = {"name": "kd-alone", "preset": "kd", "labelled_only": True}
    changes = {"presets": ["fine-tune", "kd", alone], "seeds": 1}
    whole = sections(material, tmp_path / "comparison", **changes)
    comparison = compare_presets(
        validate(CompareConfig, deep_merge(whole, {"data": {"max_train_rows": 30, "unlabelled_rows": 40}}))
    )
    assert comparison.failed == []
    assert all(run.steps == 4 for run in comparison.runs)
    assert IGNORED_CLASS in read["kd"]
    assert IGNORED_CLASS not in read["fine-tune"], "it learns from labels alone"
    assert IGNORED_CLASS not in read["kd-alone"]
    assert len({run.fingerprint for run in comparison.runs}) == 3
    assert comparison.conditions["unlabelled_rows"] == 40


def test_labels_alone_where_nothing_else_is_read_or_steps_would_differ(material, tmp_path):
    alone = [{"preset": "fine-tune", "labelled_only": True}]
    with pytest.raises(UserError, match=r"labelled_only: expected rows without a label .* got neither"):
        config_of(material, tmp_path, presets=alone)
    more = {"data": {"unlabelled_rows": 40}, "training": {"max_steps": -1}}
    for presets in (alone, ["kd", "fine-tune"]):
        whole = sections(material, tmp_path, presets=presets)
        with pytest.raises(UserError, match=r"max_steps: expected a number of steps, where fine-tune trains on"):
            validate(CompareConfig, deep_merge(whole, more))


def test_a_setting_for_all_that_adds_a_term(material, tmp_path):
    presets = ["fine-tune", "kd", {"name": "hot", "preset": "kd", "objectives": {"soft_target": {"kd_temperature": 9}}}]
    for_all = {"soft_target": {"kd_temperature": 4}}
    config = config_of(material, tmp_path, presets=presets, objectives=for_all)
    terms = [config.objectives_of(contestant).terms() for contestant in config.presets]
    assert "soft_target" not in terms[0]
    assert [found["soft_target"].kd_temperature for found in terms[1:]] == [4, 9]


# ---- Kept runs ----


def test_finished_runs_done_again(material, tmp_path, monkeypatch):
    folder, trained = tmp_path / "comparison", []
    original = training.train

    def stop_at_third(entry, *args):
        if len(trained) == 2:
            raise KeyboardInterrupt
        trained.append(str(entry))
        return original(entry, *args)

    monkeypatch.setattr(training, "train", stop_at_third)
    with pytest.raises(KeyboardInterrupt):
        compare_presets(config_of(material, folder))
    kept = {path: path.read_bytes() for path in folder.glob("runs/*/*/*.json")}
    assert len(kept) == 2
    monkeypatch.setattr(training, "train", lambda entry, *args: trained.append(str(entry)) or original(entry, *args))
    compare_presets(config_of(material, folder))
    assert len(trained) == len(set(trained)) == 4
    assert all(path.read_bytes() == content for path, content in kept.items())
    table = (folder / "table.md").read_bytes()
    compare_presets(config_of(material, folder))
    assert len(trained) == 4
    assert (folder / "table.md").read_bytes() == table


CHANGES = {
    "steps": {"training": {"max_steps": 5}},
    "terms": {"objectives": {"soft_target": {"weight": 0.1}}},
    "student": {"students": {"two": {"layers": [1, 2]}}},
    "cache": {"teacher": {"cache_dtype": "float16"}},
    "rows": {"data": {"max_train_rows": 60}},
    "length": {"data": {"max_length": 6}},
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_run_of_other_settings_that_is_kept(material, tmp_path, change):
    folder = tmp_path / "comparison"
    compare_presets(config_with(material, folder))
    file = folder / "runs" / "two" / "kd" / "0.json"
    before = json.loads(file.read_text())["fingerprint"]
    whole = deep_merge(sections(material, folder, presets=["kd"], seeds=1), CHANGES[change])
    compare_presets(validate(CompareConfig, whole))
    assert json.loads(file.read_text())["fingerprint"] != before


def test_a_preset_of_another_name_and_the_same_terms_that_is_another_run(material, tmp_path):
    """So a preset can be renamed, or written out; in stages too."""

    def fingerprint(name: str, **objectives) -> str:
        entry = {"name": "one", "preset": name, "objectives": objectives}
        config = config_of(material, tmp_path, presets=[entry], seeds=1)
        student = next(iter(config.students.values()))
        return entries.fingerprint_run(entries.recipe_of(config, config.presets[0], student, 0), {})

    assert fingerprint("kd") == fingerprint("fine-tune", hard_label={"weight": 0.5}, soft_target={"weight": 0.5})
    assert fingerprint("kd") != fingerprint("fine-tune")
    terms = {"weight": 0.5}
    stages = [[{"preset": "kd", "epochs": 2}], [{"hard_label": terms, "soft_target": terms, "epochs": 2}]]
    assert len({fingerprint("tinybert", stages=one) for one in stages}) == 1


def test_a_run_that_another_teacher_taught_is_kept(material, tmp_path):
    folder, moved = tmp_path / "comparison", tmp_path / "teacher"
    shutil.copytree(material / "teacher", moved)
    fingerprints = []
    for _ in range(2):
        whole = sections(material, folder, presets=["kd"], seeds=1)
        config = validate(CompareConfig, deep_merge(whole, {"teacher": {"model": str(moved)}}))
        fingerprints.append(compare_presets(config).runs[0].fingerprint)
        tiny_classifier("bert", num_labels=2, seed=5).save_pretrained(moved)
    assert fingerprints[0] == compare_presets(config_with(material, tmp_path / "other")).runs[0].fingerprint
    assert fingerprints[0] != fingerprints[1]


def test_a_run_that_began_with_another_checkpoint_is_kept(material, tmp_path):
    def fingerprint(student: Path) -> str:
        whole = sections(material, tmp_path / "comparison", presets=["fine-tune"], seeds=1)
        config = validate(CompareConfig, {**whole, "students": {"one": {"checkpoint": str(student)}}})
        common = shared.load_common(config)
        return next(entries.entries_of(config, common, checks.check_all(config, common))).fingerprint

    before = fingerprint(material / "teacher")
    moved = tmp_path / "student"
    shutil.copytree(material / "teacher", moved)
    assert fingerprint(moved) == before  # where it lies tells nothing
    tiny_classifier("bert", num_labels=2, seed=5).save_pretrained(moved)
    assert fingerprint(moved) != before


def test_a_killed_process_that_loses_its_runs(scored, tmp_path):
    folder, recipe = tmp_path / "comparison", tmp_path / "comparison.yaml"
    recipe.write_text(yaml.safe_dump(sections(scored, folder)))
    command = [sys.executable, "-m", "codir", "compare", str(recipe)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(folder.glob("runs/*/*/*.json")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = {path: path.read_bytes() for path in folder.glob("runs/*/*/*.json")}
    assert 1 <= len(kept) < 4
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(path.read_bytes() == content for path, content in kept.items())
    assert f"4 runs: {len(kept)} already done, {4 - len(kept)} to do" in done.stderr
    assert f"[{4 - len(kept)}/{4 - len(kept)}]" in done.stderr
    assert not list(folder.glob(".run-*"))
    straight = compare_presets(config_of(scored, tmp_path / "straight"))
    assert [run.metrics for run in straight.runs] == [run.metrics for run in read_comparison(folder).runs]
    tables = [untimed((place / "table.md").read_text()) for place in (tmp_path / "straight", folder)]
    rows = [[line for line in table.splitlines() if line.startswith("|")] for table in tables]
    assert rows[0] == rows[1]


DAMAGES = {
    "a flipped bit": lambda file: file.write_text(file.read_text().replace('"seed": 0', '"seed": 1')),
    "another score": lambda file: file.write_text(re.sub('"accuracy": [0-9.]+', '"accuracy": 0.99', file.read_text())),
    "no checksum": lambda file: file.write_text(
        json.dumps({k: v for k, v in json.loads(file.read_text()).items() if k != "seal"})
    ),
    "cut short": lambda file: os.truncate(file, 100),
    "empty": lambda file: os.truncate(file, 0),
    "binary": lambda file: file.write_bytes(b"\xff\xfe\x00"),
    "a list": lambda file: file.write_text("[1]"),
    "a folder": lambda file: (file.unlink(), file.mkdir(), (file / "thesis.txt").write_text("mine")),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_kept_run_that_is_counted_or_not_named_or_stops_the_rest(tmp_path, caplog, damage):
    file = tmp_path / "runs" / "two" / "kd" / "0.json"
    run = Run("kd", 0, "sst2", "two", 2, {"accuracy": 0.5}, 0.5, {"dev": 0.5}, 1.5, 0.5, 3, 1, "fingerprint")
    entry = SimpleNamespace(file=file, fingerprint=run.fingerprint)
    entries.keep_run(run, file)
    assert entries.kept_run(entry) == run
    DAMAGES[damage](file)
    assert entries.kept_run(entry) is None
    assert f"the kept run {file} is not used, and is done again: 0.json " in caplog.text
    entries.keep_run(run, file)
    assert entries.kept_run(entry) == run


def test_a_run_that_was_never_done_named_as_damaged(tmp_path, caplog):
    assert entries.kept_run(SimpleNamespace(file=tmp_path / "0.json", fingerprint="x")) is None
    assert not caplog.records


def test_drafts_of_a_killed_comparison_that_stay_beside_its_finished_run(tmp_path):
    run = Run("kd", 0, "sst2", "two", 2, {"accuracy": 0.5}, 0.5, {"dev": 0.5}, 1.5, 0.5, 3, 1, "fingerprint")
    entries.keep_run(run, tmp_path / "0.json")
    left = tmp_path / ".drafts-left"
    left.mkdir()
    (left / ".codir-owner").touch()
    assert entries.kept_run(SimpleNamespace(file=tmp_path / "0.json", fingerprint="fingerprint")) == run
    assert not left.exists()


# ---- What goes wrong ----


def test_a_broken_preset_that_takes_the_others_with_it(material, tmp_path):
    folder = tmp_path / "comparison"
    narrow = {"narrow": {"config": {"hidden_size": 16, "num_hidden_layers": 2}}}
    comparison = compare_presets(config_of(material, folder, students=narrow, presets=["pkd", "kd"], seeds=1))
    assert [run.preset for run in comparison.runs] == ["kd"]
    assert len(comparison.failed) == 1
    assert comparison.failed[0].startswith("narrow, pkd, seed 0: ")
    assert "width_map" in comparison.failed[0]
    assert "pkd" in (folder / "table.md").read_text()


def test_a_failure_that_ends_as_if_all_were_well(material, tmp_path, monkeypatch, capsys):
    narrow = {"narrow": {"config": {"hidden_size": 16, "num_hidden_layers": 2}}}
    recipe = tmp_path / "comparison.yaml"
    recipe.write_text(yaml.safe_dump(sections(material, tmp_path / "out", students=narrow, seeds=1)))
    monkeypatch.setattr(sys, "argv", ["codir", "compare", str(recipe), "--presets", "kd,pkd"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 1
    assert "failed: narrow, pkd, seed 0" in capsys.readouterr().out
    assert (tmp_path / "out" / "results.json").is_file()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"presets": ["codri"]}, "codir"),
        ({"presets": ["kd", "kd"]}, "different names"),
        ({"reference": "pkd"}, "reference"),
        ({"presets": [{"preset": "kd", "objectives": {"soft_target": {"temperature": 3}}}]}, "temperature"),
        ({"objectives": {"soft_traget": {"weight": 3}}}, "did you mean 'soft_target'"),
        ({"students": {"a/b": {"layers": 2}}}, "students"),
        ({"seeds": 0}, "seeds"),
        ({"seeds": [1, 1]}, "seeds"),
        ({"jobs": 0}, "jobs"),
        ({"student": {"layers": 2}}, "both"),
    ],
)
def test_a_comparison_that_cannot_work_and_begins(material, tmp_path, changes, said):
    with pytest.raises(UserError, match=said):
        config_of(material, tmp_path / "comparison", **changes)
    assert not (tmp_path / "comparison").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"presets": [{"preset": "kd", "training": {"learning_rat": 1}}]}, "learning_rate"),
        ({"students": {"many": {"layers": 9}}}, "9"),
        (
            {"presets": ["kd", {"name": "each", "preset": "crd", "objectives": {"contrastive": {"per_layer": True}}}]},
            "each, per_layer: expected keys that are not remembered",
        ),
    ],
)
def test_finished_runs_thrown_away_for_a_comparison_that_cannot_work(material, tmp_path, changes, said):
    folder = tmp_path / "comparison"
    compare_presets(config_with(material, folder))
    with pytest.raises(UserError, match=said):
        compare_presets(config_of(material, folder, overwrite=True, **changes))
    assert (folder / "runs" / "two" / "kd" / "0.json").is_file()


def test_a_folder_with_something_else_in_it_overwritten(material, tmp_path):
    (tmp_path / "comparison").mkdir()
    (tmp_path / "comparison" / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="something else"):
        compare_presets(config_of(material, tmp_path / "comparison"))


# ---- The command ----


def test_a_recipe_of_distill_that_cannot_be_compared(material, tmp_path, monkeypatch):
    recipe = {
        **{key: value for key, value in sections(material, tmp_path / "unused").items() if key != "presets"},
        "student": {"layers": 2},
        "objectives": {"preset": "codir", "contrastive": {"num_negatives": 10}},
        "baseline": True,
    }
    del recipe["students"], recipe["seeds"]
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    words = ["--presets", "kd,codir", "--seeds", "3,5", "--output-dir", str(tmp_path / "out"), "--set", "jobs=1"]
    monkeypatch.setattr(sys, "argv", ["codir", "compare", str(path), *words])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert not stop.value.code
    comparison = read_comparison(tmp_path / "out")
    assert [(run.preset, run.seed) for run in comparison.runs] == [("kd", 3), ("codir", 3), ("kd", 5), ("codir", 5)]
    assert comparison.reference == "kd"
    used = validate(CompareConfig, yaml.safe_load((tmp_path / "out" / "recipe.yaml").read_text()))
    assert used.objectives == {"contrastive": {"num_negatives": 10}}


def test_a_list_of_presets_that_waits_for_torch():
    script = """
import sys
from codir.cli import main
sys.argv = ["codir", "presets", "--json"]
try:
    main()
except SystemExit as stop:
    assert not stop.code
assert "torch" not in sys.modules
"""
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    listed = json.loads(printed)
    assert [one["name"] for one in listed] == preset_names()
    assert all(one["source"] and one["summary"] for one in listed)


@pytest.mark.parametrize("name", codir.__all__)
def test_a_public_name_that_becomes_the_module_it_lives_in(name):
    assert getattr(codir, name) is getattr(codir, name)
    assert callable(getattr(codir, name))
