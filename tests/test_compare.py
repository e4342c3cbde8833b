"""A comparison must be fair, go on where it was, and tell what its runs say."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from transformers import BertTokenizer

import codir.compare as comparing
from codir.compare import compare
from codir.config import CompareConfig, validate
from codir.errors import UserError
from codir.report import comparison_markdown, comparison_rows, read_comparison
from codir.trainer import DistillationTrainer
from conftest import SPECIAL, WORDS, make_texts
from families import tiny_classifier

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def material(tmp_path_factory) -> Path:
    """A teacher and files to compare on."""
    folder = tmp_path_factory.mktemp("material")
    tiny_classifier("bert", num_labels=2, seed=1).save_pretrained(folder / "teacher")
    BertTokenizer(vocab={word: i for i, word in enumerate(SPECIAL + WORDS)}).save_pretrained(folder / "teacher")
    for name, rows, seed in (("train", 96, 0), ("dev", 40, 1)):
        make_texts(rows, seed=seed).to_csv(folder / f"{name}.csv", index=False)
    return folder


def sections(material: Path, output_dir: Path, **changes) -> dict:
    return {
        "teacher": {"model": str(material / "teacher"), "cache_dir": str(output_dir.parent / "cache")},
        "data": {"source": str(material / "train.csv"), "dev": str(material / "dev.csv"), "max_length": 16},
        "students": {"two": {"layers": 2}},
        "presets": ["fine-tune", {"preset": "codir", "objectives": {"contrastive": {"num_negatives": 10}}}],
        "seeds": 2,
        "training": {"max_steps": 4, "per_device_train_batch_size": 8, "precision": "fp32"},
        "output_dir": str(output_dir),
        **changes,
    }


def config_of(material: Path, output_dir: Path, **changes) -> CompareConfig:
    return validate(CompareConfig, sections(material, output_dir, **changes))


def test_a_comparison_without_table_plot_or_numbers(material, tmp_path):
    folder = tmp_path / "comparison"
    comparison = compare(config_of(material, folder))
    runs = json.loads((folder / "results.json").read_text())["runs"]
    assert [(run["preset"], run["seed"]) for run in runs] == [
        ("fine-tune", 0), ("codir", 0), ("fine-tune", 1), ("codir", 1)
    ]  # fmt: skip
    assert all(0 <= run["metrics"]["accuracy"] <= 1 and run["student_layers"] == 2 for run in runs)
    assert all(0 <= run["agreement"] <= 1 and run["seconds"] > 0 for run in runs)
    assert (folder / "comparison.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "table.md").read_text() == comparison_markdown(comparison)
    assert read_comparison(folder) == comparison
    assert {row["preset"] for row in comparison_rows(comparison)} == {"fine-tune", "codir"}
    assert not (folder / "scratch").exists()


def test_presets_that_see_other_batches_or_start_elsewhere(material, tmp_path, monkeypatch):
    seen: dict[str, list] = {}
    starts: dict[str, float] = {}
    original = DistillationTrainer.compute_loss

    def recorded(self, model, inputs, *args, **kwargs):
        key = f"{'+'.join(self.distiller.objectives.weights)}"
        if model.training:
            first = float(sum(weight.double().sum() for weight in self.student.parameters()))
            starts.setdefault(f"{key} {self.args.seed}", first)
            seen.setdefault(f"{key} {self.args.seed}", []).append(inputs["example_index"].tolist())
        return original(self, model, inputs, *args, **kwargs)

    monkeypatch.setattr(DistillationTrainer, "compute_loss", recorded)
    compare(config_of(material, tmp_path / "comparison"))
    by_seed = {seed: [rows for key, rows in seen.items() if key.endswith(seed)] for seed in ("0", "1")}
    assert all(len(rows) == 2 and rows[0] == rows[1] and len(rows[0]) == 4 for rows in by_seed.values())
    assert by_seed["0"][0] != by_seed["1"][0]
    assert len({value for key, value in starts.items() if key.endswith("0")}) == 1


def test_finished_runs_done_again(material, tmp_path, monkeypatch):
    folder, trained = tmp_path / "comparison", []
    original = comparing.train

    def stop_at_third(entry, *args):
        if len(trained) == 2:
            raise KeyboardInterrupt
        trained.append(str(entry))
        return original(entry, *args)

    monkeypatch.setattr(comparing, "train", stop_at_third)
    with pytest.raises(KeyboardInterrupt):
        compare(config_of(material, folder))
    kept = {path: path.read_bytes() for path in folder.rglob("runs/**/*.json")}
    assert len(kept) == 2
    monkeypatch.setattr(comparing, "train", lambda entry, *args: trained.append(str(entry)) or original(entry, *args))
    compare(config_of(material, folder))
    assert len(trained) == len(set(trained)) == 4
    assert all(path.read_bytes() == content for path, content in kept.items())
    table = (folder / "table.md").read_bytes()
    compare(config_of(material, folder))
    assert len(trained) == 4
    assert (folder / "table.md").read_bytes() == table
    compare(config_of(material, folder, training={"max_steps": 5, "per_device_train_batch_size": 8}))
    assert len(trained) == 8  # other settings are other runs


def test_a_killed_process_that_loses_its_runs(material, tmp_path):
    folder, recipe = tmp_path / "comparison", tmp_path / "comparison.yaml"
    recipe.write_text(yaml.safe_dump(sections(material, folder)))
    command = [sys.executable, "-m", "codir", "compare", str(recipe)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    first = folder / "runs" / "two" / "fine-tune" / "0.json"
    deadline = time.monotonic() + 120
    while not first.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    content = first.read_bytes()
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert first.read_bytes() == content
    assert len(read_comparison(folder).runs) == 4


def test_a_broken_preset_that_takes_the_others_with_it(material, tmp_path):
    folder = tmp_path / "comparison"
    narrow = {"narrow": {"config": {"hidden_size": 16, "num_hidden_layers": 2}}}
    comparison = compare(config_of(material, folder, students=narrow, presets=["kd", "pkd"], seeds=1))
    assert [run.preset for run in comparison.runs] == ["kd"]
    assert len(comparison.failed) == 1
    assert "pkd" in comparison.failed[0]
    assert "width_map" in comparison.failed[0]
    assert "pkd" in (folder / "table.md").read_text()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"presets": ["codri"]}, "codir"),
        ({"presets": ["kd", "kd"]}, "different names"),
        ({"reference": "pkd"}, "reference"),
        ({"presets": [{"preset": "kd", "objectives": {"soft_target": {"temperature": 3}}}]}, "temperature"),
        ({"students": {"a/b": {"layers": 2}}}, "students"),
        ({"seeds": 0}, "seeds"),
        ({"student": {"layers": 2}}, "both"),
    ],
)
def test_a_comparison_that_cannot_work_and_begins(material, tmp_path, changes, said):
    with pytest.raises(UserError, match=said):
        config_of(material, tmp_path / "comparison", **changes)
    assert not (tmp_path / "comparison").exists()


def test_a_folder_with_something_else_in_it_overwritten(material, tmp_path):
    (tmp_path / "comparison").mkdir()
    (tmp_path / "comparison" / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="something else"):
        compare(config_of(material, tmp_path / "comparison"))
