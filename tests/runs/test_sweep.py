"""A sweep must measure what it ships, keep what is finished, and refuse what it cannot do before it trains."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from sklearn.metrics import accuracy_score
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertTokenizer

import codir
from codir import cli
from codir.config import StudentConfig, SweepConfig, validate
from codir.errors import UserError
from codir.measure import exported_file
from codir.report import SweepResult
from codir.runs.words import command_again
from codir.store import MANIFEST_NAME, find_damage
from conftest import SPECIAL, WORDS, make_texts
from families import tiny_classifier

pytestmark = [pytest.mark.training, pytest.mark.filterwarnings("default")]  # exporting warns of what is to come

TRAINING = {
    "max_steps": 12,
    "per_device_train_batch_size": 16,
    "learning_rate": 5e-3,
    "precision": "fp32",
    "use_cpu": True,
    "disable_tqdm": True,
}
NARROW = {"narrow": {"config": {"hidden_size": 16, "num_hidden_layers": 2}}}


@pytest.fixture(scope="module")
def material(tmp_path_factory) -> Path:
    """A teacher that knows its classes, and rows."""
    folder = tmp_path_factory.mktemp("material")
    tiny_classifier("bert", num_labels=2, seed=1).save_pretrained(folder / "pretrained")
    BertTokenizer(vocab={word: i for i, word in enumerate(SPECIAL + WORDS)}).save_pretrained(folder / "pretrained")
    for name, rows, seed in (("train", 320, 0), ("dev", 120, 1)):
        make_texts(rows, seed=seed).to_csv(folder / f"{name}.csv", index=False)
    teaching = {
        "model": str(folder / "pretrained"),
        "data": {"source": str(folder / "train.csv"), "dev": str(folder / "dev.csv"), "max_length": 16},
        "training": {"learning_rate": 2e-3, "num_train_epochs": 8, "save_strategy": "no", "disable_tqdm": True},
        "output_dir": folder / "teacher",
    }
    codir.finetune(codir.FinetuneConfig.model_validate(teaching))
    return folder


def sections(material: Path, output_dir: Path, **changes: object) -> dict[str, object]:
    return {
        "teacher": {"model": str(material / "teacher"), "cache_dir": str(output_dir.parent / "cache")},
        "data": {"source": str(material / "train.csv"), "dev": str(material / "dev.csv"), "max_length": 16},
        "depths": [1, 2],
        "objectives": "kd",
        "training": TRAINING,
        "tolerate": 3.0,
        "threads": [1],
        "output_dir": str(output_dir),
        **changes,
    }


def config_of(material: Path, output_dir: Path, **changes: object) -> SweepConfig:
    return validate(SweepConfig, sections(material, output_dir, **changes))


@pytest.fixture(scope="module")
def swept(material, tmp_path_factory) -> tuple[SweepConfig, SweepResult]:
    """A sweep of two depths and a narrow student."""
    config = config_of(material, tmp_path_factory.mktemp("swept") / "out", students=NARROW)
    return config, codir.sweep(config)


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Everything in students and exports but what a second start may touch."""
    files = [path for place in ("students", "exported") for path in (folder / place).rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if not path.name.startswith(".")}


# ---- What it leaves ----


def test_a_sweep_that_leaves_something_out(swept):
    config, result = swept
    names = ["1-layer", "2-layers", "narrow"]
    assert [one.name for one in result.students] == names
    assert {path.name for path in config.output_dir.iterdir() if not path.name.startswith(".")} == {
        *("recipe.yaml", "inputs.json", "sweep.json", "sweep.md", "sweep.png", "report.html", "students", "exported")
    }
    for name in names:
        assert (config.output_dir / "students" / name / "report.json").is_file()
        assert find_damage(config.output_dir / "exported" / name) is None
    assert result.failed == ()
    assert [(one.name, one.threads) for one in result.timings] == [(name, 1) for name in ("teacher", *names)]
    assert all(0 < one.latency.p50 <= one.latency.p95 and one.latency.rows == 120 for one in result.timings)
    sizes = {
        name: AutoModelForSequenceClassification.from_pretrained(config.output_dir / "students" / name)
        for name in names
    }
    assert [one.parameters for one in result.students] == [model.num_parameters() for model in sizes.values()]
    assert json.loads((config.output_dir / "sweep.json").read_text())["students"][0]["name"] == "1-layer"


def test_a_teacher_that_reads_its_rows_once_for_each_student(swept):
    config, _ = swept
    assert len(list((config.output_dir.parent / "cache").glob("*/key.json"))) == 1


def test_a_quality_that_is_not_of_the_file_that_is_shipped(swept, material):
    """Onnxruntime alone, and scikit-learn, see the same."""
    import onnxruntime

    config, result = swept
    rows = make_texts(120, seed=1).to_dict()
    for one in result.students:
        folder = config.output_dir / "exported" / one.name
        tokenizer = AutoTokenizer.from_pretrained(folder)
        session = onnxruntime.InferenceSession(str(exported_file(folder)))
        read = dict(tokenizer(rows["text"], padding=True, truncation=True, max_length=16, return_tensors="np"))
        said = session.run(["logits"], {put.name: read[put.name] for put in session.get_inputs()})[0].argmax(axis=1)
        assert one.score.value == pytest.approx(accuracy_score(rows["label"], said))
        assert one.score.low <= one.score.value <= one.score.high
    teacher = AutoModelForSequenceClassification.from_pretrained(material / "teacher")
    batch = AutoTokenizer.from_pretrained(material / "teacher")(
        rows["text"], padding=True, truncation=True, max_length=16, return_tensors="pt"
    )
    with torch.no_grad():
        said = teacher(**batch).logits.argmax(dim=1).numpy()
    of_teacher = accuracy_score(rows["label"], said)
    assert of_teacher > 0.7, "a teacher that knows nothing shows nothing here"
    assert result.teacher.score.value == pytest.approx(of_teacher)
    for one in result.students:
        assert one.loss.value == pytest.approx(100 * (of_teacher - one.score.value))


def test_a_choice_that_the_table_contradicts(swept):
    _, result = swept
    inside = [one for one in result.students if np.round(one.loss.value, 9) <= 3.0]
    expected = min(inside, key=lambda one: one.parameters).name if inside else None
    assert (result.chosen and result.chosen.name) == expected


def test_a_teacher_that_is_not_exported_as_students_are_or_again_each_time(material, tmp_path):
    config = config_of(material, tmp_path / "out", depths=[1], export_teacher=True, report_texts=False)
    result = codir.sweep(config)
    one, place = result.exported_teacher, tmp_path / "out" / "exported" / "teacher"
    assert (one.name, one.runs) == ("exported teacher", "onnx fp32")
    assert one.score.value == result.teacher.score.value, "in fp32 it answers as before"
    assert one.parameters == result.teacher.parameters
    assert [timing.name for timing in result.timings] == ["teacher", "exported teacher", "1-layer"]
    assert all(timing.throughput[32].sentences_per_second > 0 for timing in result.timings)
    when = (place / "model.onnx").stat().st_mtime_ns
    codir.sweep(config)
    assert (place / "model.onnx").stat().st_mtime_ns == when
    report = json.loads((tmp_path / "out" / "students" / "1-layer" / "report.json").read_text())
    found = report["analysis"]["disagreements"]
    assert found
    assert all(row["text"] is None for row in found)
    texts = make_texts(120, seed=1)["text"]
    page = (tmp_path / "out" / "students" / "1-layer" / "report.html").read_text()
    assert not [text for text in texts if text in page]


# ---- Started again ----


def test_a_finished_student_that_is_made_again(swept, caplog):
    config, result = swept
    before = bytes_of(config.output_dir)
    with caplog.at_level("INFO", "codir.runs.sweep"):
        again = codir.sweep(config.model_copy(update={"tolerate": 50.0}))
    assert "3 students: 3 already done, 0 to do" in caplog.text
    assert bytes_of(config.output_dir) == before
    assert [one.score for one in again.students] == [one.score for one in result.students]
    assert again.chosen.parameters == min(one.parameters for one in again.students)  # 50 points admit all


def test_a_sweep_that_mixes_students_of_different_recipes_teachers_or_rows(swept, material, tmp_path):
    config, _ = swept
    before = bytes_of(config.output_dir)
    changed = config.training.model_copy(update={"max_steps": 13})
    with pytest.raises(UserError, match=r"1-layer: expected the recipe.*max_steps changed from 12 to 13.*--overwrite"):
        codir.sweep(config.model_copy(update={"training": changed}))
    rows = make_texts(320, seed=0).to_pandas()
    kept = (material / "train.csv").read_text()
    try:
        rows.iloc[::-1].to_csv(material / "train.csv", index=False)
        with pytest.raises(UserError, match=r"expected the teacher, rows and students.*got another rows"):
            codir.sweep(config)
    finally:
        (material / "train.csv").write_text(kept)
    assert bytes_of(config.output_dir) == before


def test_an_export_of_other_settings_that_is_kept_or_a_student_that_is_trained_for_it(material, tmp_path, caplog):
    config = config_of(material, tmp_path / "out", depths=[1])
    codir.sweep(config)
    student = tmp_path / "out" / "students" / "1-layer" / "model.safetensors"
    when, manifest = student.stat().st_mtime_ns, tmp_path / "out" / "exported" / "1-layer" / MANIFEST_NAME
    with caplog.at_level("INFO", "codir.runs.sweep"):
        result = codir.sweep(config.model_copy(update={"int8": True, "max_loss": 100.0}))
    assert "1 student: 0 already done, 1 to do" in caplog.text
    assert student.stat().st_mtime_ns == when
    assert result.students[0].runs.startswith("onnx int8")
    damaged = manifest.parent / "model.onnx"
    os.truncate(damaged, 100)
    again = codir.sweep(config.model_copy(update={"int8": True, "max_loss": 100.0}))
    assert find_damage(manifest.parent) is None
    assert again.students[0].score == result.students[0].score


def test_overwriting_that_keeps_an_old_student_or_loses_it_before_the_new_one_is_whole(material, tmp_path):
    config = config_of(material, tmp_path / "out", depths=[1])
    codir.sweep(config)
    weights = tmp_path / "out" / "students" / "1-layer" / "model.safetensors"
    before = weights.read_bytes()
    training = config.training.model_copy(update={"max_steps": 5})
    again = config.model_copy(update={"training": training, "overwrite": True})
    broken = training.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(UserError, match="a student that comes to its end"):
        codir.sweep(again.model_copy(update={"training": broken}))
    assert weights.read_bytes() == before
    codir.sweep(again)
    assert weights.read_bytes() != before
    assert not list(tmp_path.rglob(".replaced"))
    assert yaml.safe_load((weights.parent / "recipe.yaml").read_text())["training"]["max_steps"] == 5


def test_a_killed_process_that_loses_its_finished_students(material, tmp_path):
    folder, recipe = tmp_path / "out", tmp_path / "sweep.yaml"
    recipe.write_text(yaml.safe_dump(sections(material, folder)))
    command = [sys.executable, "-m", "codir", "sweep", str(recipe)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not (folder / "exported" / ".1-layer.json").exists() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (folder / "exported" / ".2-layers.json").exists()
    kept = {name: content for name, content in bytes_of(folder).items() if "/1-layer" in name}
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "2 students: 1 already done, 1 to do" in done.stderr
    assert "[1/1] 2-layers: distilled and exported" in done.stderr
    assert {name: (folder / name).read_bytes() for name in kept} == kept
    assert "2-layers" in done.stdout
    straight = codir.sweep(config_of(material, tmp_path / "straight"))
    found = json.loads((folder / "sweep.json").read_text())["students"]
    assert [one["score"]["value"] for one in found] == [one.score.value for one in straight.students]


@pytest.mark.parametrize(("command", "again"), [("sweep", ""), ("compare", ""), ("distill", " --resume")])
def test_a_way_to_go_on_that_the_command_would_refuse(monkeypatch, command, again):
    monkeypatch.setattr(sys, "argv", ["/bin/codir", command, "recipe.yaml", "--overwrite"])
    assert command_again() == f"codir {command} recipe.yaml{again}"


# ---- What goes wrong ----


@pytest.fixture
def codir_command(monkeypatch, capsys) -> Callable[..., tuple[int, str]]:
    """The command, run in this process: exit code and output."""

    def run(*words: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["codir", "sweep", *map(str, words)])
        try:
            cli.main()
        except SystemExit as stop:
            return int(stop.code or 0), "".join(capsys.readouterr())
        return 0, "".join(capsys.readouterr())

    return run


def words_of(material: Path, output_dir: Path) -> list[object]:
    """The flags of a sweep, but for its students."""
    return [
        *("--teacher", material / "teacher", "--data", material / "train.csv", "--dev", material / "dev.csv"),
        *("--max-length", 16, "--preset", "kd", "--max-steps", 12, "--batch-size", 16, "--learning-rate", "5e-3"),
        *("--precision", "fp32", "--cache-dir", output_dir.parent / "cache", "--output-dir", output_dir),
    ]


def test_the_command_from_flags_to_files(material, tmp_path, codir_command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    words = [*words_of(material, tmp_path / "out"), "--depths", "1,3", "--tolerate", "40", "--threads", "1,2"]
    code, printed = codir_command(*words)
    assert code == 0, printed
    found = json.loads((tmp_path / "out" / "sweep.json").read_text())
    assert found["chosen"] == "1-layer"
    flat = " ".join(printed.split())
    assert found["finding"] in flat
    for shown in ("PyTorch fp32", "onnx fp32", "within 40", "points lost", "1 thread", "2 threads", "3-layers"):
        assert shown in flat
    assert "evaluation: 120 rows" in flat
    assert printed.count("codir sweep: loading") == 1


def test_a_broken_student_that_takes_the_others_with_it_or_ends_as_if_all_were_well(material, tmp_path, codir_command):
    recipe = tmp_path / "sweep.yaml"
    recipe.write_text(
        yaml.safe_dump(sections(material, tmp_path / "out", depths=[2], students=NARROW, objectives="pkd"))
    )
    code, printed = codir_command(recipe)
    assert code == 1, printed
    assert "failed: narrow: " in printed
    assert "width_map" in printed
    found = json.loads((tmp_path / "out" / "sweep.json").read_text())
    assert [one["name"] for one in found["students"]] == ["2-layers"]
    assert found["failed"][0].startswith("narrow: ")
    assert "Failed: narrow" in (tmp_path / "out" / "sweep.md").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--depths", "2,5"], "5-layers, student layers: expected 1 to 4, as many as the teacher has, got 5"),
        ([], "depths: expected at least one student, got none. What to do: pass `--depths 1,2,3`"),
        (["--depths", "2,2"], "expected students with different names"),
        (["--depths", "0"], "--depths"),
        (["--depths", "2", "--tolerate", "101"], "--tolerate: expected less than or equal to 100"),
        (["--depths", "2", "--engine", "tensorrt"], "--engine"),
        (["--depths", "2", "--preset", "codir-pre"], "of the pre-training stage"),
        (["--depths", "2", "--set", "students.teacher={layers: 1}"], "none of them `teacher`"),
        (["--depths", "2", "--set", "students.exported teacher={layers: 1}"], "students: expected"),
        (["--depths", "2", "--set", "student.checkpoint=x"], "expected a number of layers, which `depths` replaces"),
        (["--student-layers", "2"], "did you mean"),
    ],
)
def test_input_that_cannot_work_that_is_no_message(material, tmp_path, codir_command, words, said):
    code, printed = codir_command(*words_of(material, tmp_path / "out"), *words)
    assert code == 2, printed
    assert said in " ".join(printed.replace("│", " ").split())
    assert not (tmp_path / "out").exists()


def test_an_engine_that_is_not_installed_and_is_found_out_after_training(material, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)  # as Python marks a package that cannot be imported
    with pytest.raises(UserError, match=r"engine openvino: expected the package openvino.*pip install"):
        codir.sweep(config_of(material, tmp_path / "out", engine="openvino"))
    assert not (tmp_path / "out").exists()


def test_a_family_that_no_engine_runs_that_is_found_out_after_training(material, tmp_path):
    recurrent = {"recurrent": {"config": {"model_type": "codir-bilstm", "hidden_size": 16}}}
    with pytest.raises(UserError, match=r"^recurrent, .*expected a model that it can.*got codir-bilstm"):
        codir.sweep(config_of(material, tmp_path / "out", depths=[], students=recurrent))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("place", [".", "students/1-layer", "exported/1-layer"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_of_someone_else_that_is_written_over(material, tmp_path, place, overwrite):
    theirs = tmp_path / "out" / place / "sweep.md"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("mine")
    with pytest.raises(UserError, match=r"out"):
        codir.sweep(config_of(material, tmp_path / "out", depths=[1], overwrite=overwrite))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [theirs]
    assert theirs.read_text() == "mine"


def test_a_sweep_in_the_folder_of_its_teacher(material):
    with pytest.raises(UserError, match="expected a place apart from all that is read"):
        codir.sweep(config_of(material, material / "teacher" / "out"))


def test_a_recipe_of_a_run_that_a_sweep_cannot_read(material, tmp_path):
    run = {**sections(material, tmp_path / "out"), "student": StudentConfig(layers=3, selection="upper").model_dump()}
    config = validate(SweepConfig, run)
    assert {name: (one.layers, one.selection) for name, one in config.all_students.items()} == {
        "1-layer": (1, "upper"),
        "2-layers": (2, "upper"),
    }


def test_a_selection_of_layers_that_no_student_has(tmp_path):
    narrow = {"narrow": {"config": {"hidden_size": 8}}}
    with pytest.raises(UserError, match=r"selection: expected `depths`, .*`upper` for narrow.*no effect"):
        config_of(tmp_path, tmp_path, depths=[], students=narrow, selection="upper")
    assert config_of(tmp_path, tmp_path, depths=[1], students=narrow, selection="upper").selection == "upper"


def test_objectives_of_another_kind_of_task_that_are_refused_student_by_student(material, tmp_path, monkeypatch):
    place = sys.modules["codir.runs.sweep.sweep"]  # its package has a function of that name
    monkeypatch.setattr(place, "make_all", lambda *given: pytest.fail("a student was begun"))
    with pytest.raises(UserError, match="preset: expected for task `classification`, one of"):
        codir.sweep(config_of(material, tmp_path / "out", objectives="embed-cosine"))
