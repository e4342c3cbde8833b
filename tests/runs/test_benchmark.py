"""`codir benchmark`, and `codir evaluate` of exports: numbers that are others' too, and places that stay whole."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import datasets
import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score
from transformers import BertModel

import codir
from codir import runs
from codir.config import BenchmarkConfig, DataConfig, validate
from codir.data import encode
from codir.errors import UserError
from codir.runs.benchmark import _named
from exported import ask, export_config, labelled_rows, make_world, sharp_classifier
from families import FAMILIES, tiny_classifier
from kind_worlds import data_of, fill_world

pytestmark = [pytest.mark.training, pytest.mark.filterwarnings("default")]


@pytest.fixture(scope="module")
def world(once_per_suite, tokenizer) -> Path:
    """`student/`, its export `shipped/onnx`, and `teacher/`, which answers otherwise."""

    def fill(folder: Path) -> None:
        make_world(folder, sharp_classifier(), tokenizer)
        sharp_classifier(seed=8, layers=3).save_pretrained(folder / "teacher")
        tokenizer.save_pretrained(folder / "teacher")
        runs.export_model(export_config(folder, folder / "shipped" / "onnx"))

    return once_per_suite("benchmark", fill)


def config_of(world: Path, *models: Path, **changes) -> BenchmarkConfig:
    data = {"source": str(world / "dev.csv"), "max_length": 32}
    quick = {"batch_sizes": [1, 4], "threads": [1], "rows": 10, "rounds": 2}
    return validate(BenchmarkConfig, {"models": list(models), "data": data, **quick, **changes})


def test_a_damaged_graph_that_is_found_after_the_others_were_run(world, tmp_path, monkeypatch):
    shutil.copytree(world / "shipped" / "onnx", tmp_path / "cut")
    (tmp_path / "cut" / "manifest.json").unlink()
    graph = tmp_path / "cut" / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:1000])
    monkeypatch.setattr("codir.measure.Exam.answers", lambda *given: pytest.fail("a model was run"))
    with pytest.raises(UserError, match="whole"):
        runs.benchmark(config_of(world, world / "teacher", tmp_path / "cut"))


# ---- Names ----


def test_two_folders_of_one_name_that_are_one_row(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    named = _named([Path("a/student"), Path("b/student"), Path("teacher")])
    assert named == {
        "a/student": Path("a/student"),
        "b/student": Path("b/student"),
        f"{tmp_path.name}/teacher": Path("teacher"),
    }
    assert list(_named([Path("a/model.onnx"), Path("b/model.onnx")])) == ["a/model.onnx", "b/model.onnx"]
    assert list(_named([Path("x/a/m"), Path("y/a/m")])) == ["x/a/m", "y/a/m"]


def test_a_model_given_twice_that_is_measured_twice(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    twice = [Path("student"), Path("teacher"), tmp_path / "student", Path("x/../student"), Path("./student")]
    assert _named(twice) == {"student": Path("student"), "teacher": Path("teacher")}


# ---- Numbers ----


def test_numbers_that_are_others_than_scikit_learns_and_the_disks(world, tokenizer, tmp_path):
    models = (world / "student", world / "shipped" / "onnx", world / "teacher")
    runs.benchmark(config_of(world, *models, output_dir=tmp_path / "out", threads=[1, 2]))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"benchmark.json", "benchmark.md", "benchmark.png"}
    record = json.loads((tmp_path / "out" / "benchmark.json").read_text())
    rows = codir.load_data(str(world / "dev.csv"), evaluation_only=True).dev["dev"]
    labels = np.asarray(rows["label"])
    built = {"student": sharp_classifier(), "teacher": sharp_classifier(seed=8, layers=3)}
    answers = {name: ask(model, tokenizer, list(rows["text"])).argmax(1) for name, model in built.items()}
    answers["onnx"] = answers["student"]
    size = {
        "student": (world / "student" / "model.safetensors").stat().st_size,
        "teacher": (world / "teacher" / "model.safetensors").stat().st_size,
        "onnx": (world / "shipped" / "onnx" / "model.onnx").stat().st_size,
    }
    assert [cost["name"] for cost in record["costs"]] == ["student", "onnx", "teacher"]
    for cost in record["costs"]:
        name = cost["name"]
        built_as = built["student" if name == "onnx" else name]
        assert cost["metrics"]["accuracy"] == pytest.approx(accuracy_score(labels, answers[name]))
        assert cost["metrics"]["macro_f1"] == pytest.approx(f1_score(labels, answers[name], average="macro"))
        assert cost["bytes"] == size[name]
        assert cost["parameters"] == sum(weight.numel() for weight in built_as.parameters())
        assert cost["peak_bytes"] > 0
    assert record["scored_rows"] == len(rows) == 100
    assert record["rows"] == 10
    assert [(one["name"], one["threads"]) for one in record["timings"]] == [
        (name, threads) for threads in (1, 2) for name in ("student", "onnx", "teacher")
    ]
    for timing in record["timings"]:
        assert timing["latency"]["rows"] == 10
        assert 0 < timing["latency"]["p50"] <= timing["latency"]["p95"] <= timing["latency"]["p99"]
        assert list(timing["throughput"]) == ["1", "4"]
        for rate in timing["throughput"].values():
            low, high = rate["spread"]
            assert 0 < low <= rate["sentences_per_second"] <= high
    page = (tmp_path / "out" / "benchmark.md").read_text()
    for part in ("| student |", "| onnx |", "## 1 thread\n", "## 2 threads\n", "benchmark.png"):
        assert part in page


def test_rows_of_training_that_a_run_is_scored_on(world, tmp_path, tokenizer, monkeypatch, capsys):
    """Without `--data`, a model's own run says what was held out."""
    from codir import cli

    student = shutil.copytree(world / "student", tmp_path / "student")
    labelled_rows(sharp_classifier(), tokenizer, 80, seed=5).to_csv(tmp_path / "rows.csv", index=False)
    recipe = (
        f"data: {{source: {tmp_path}/rows.csv, dev_fraction: 0.25, max_length: 32}}\noutput_dir: x\ntraining: {{}}\n"
    )
    (student / "recipe.yaml").write_text(recipe)
    for words, rows in (([], 20), (["--data", "rows.csv"], 80)):
        few = ["--threads", "1", "--batch-sizes", "2", "--rows", "4", "--rounds", "1", "--max-length", "32"]
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["codir", "benchmark", "student", *words, *few, "--output-dir", "out"])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        assert not stop.value.code, capsys.readouterr()
        assert json.loads((tmp_path / "out" / "benchmark.json").read_text())["scored_rows"] == rows
    capsys.readouterr()


SCRIPT = """
import sys
import codir
from codir.config import DataConfig
data = DataConfig(source=sys.argv[2], max_length=32)
quick = {"threads": [1], "batch_sizes": [2], "rows": 4, "rounds": 1}
found = codir.benchmark(codir.BenchmarkConfig(models=[sys.argv[1]], data=data, **quick))
print("peak", found.costs[0].peak_bytes)
"""


def test_a_script_that_runs_a_second_time_to_measure_memory(world, tmp_path):
    """Nothing guards it with `if __name__ == "__main__"`."""
    (tmp_path / "script.py").write_text(SCRIPT)
    words = [sys.executable, "script.py", world / "student", world / "dev.csv"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("peak") == 1
    assert int(done.stdout.split()[-1]) > 0


def test_a_process_that_dies_and_is_no_sentence():
    from functools import partial

    from codir.measure import peak_bytes

    with pytest.raises(UserError, match=r"memory: expected a process of its own .* got one that ended with 3"):
        peak_bytes(partial(os._exit, 3))
    with pytest.raises(UserError, match=r"ended with 1 \(ZeroDivisionError"):
        peak_bytes(partial(divmod, 1, 0))


# ---- Places ----


def test_files_of_others_beside_a_benchmark(world, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    runs.benchmark(config_of(world, world / "student", output_dir=out))
    assert {path.name for path in out.iterdir()} == {"thesis.txt", "benchmark.json", "benchmark.md", "benchmark.png"}
    assert (out / "thesis.txt").read_text() == "mine"


def test_a_place_that_is_refused_after_all_is_measured(world, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    module = sys.modules["codir.runs.benchmark"]
    monkeypatch.setattr(module, "open_reader", lambda path: pytest.fail("a model was loaded"))
    for output in (tmp_path / "file", tmp_path / "file" / "x", world / "student", world):
        with pytest.raises(UserError, match="output_dir"):
            runs.benchmark(config_of(world, world / "student", output_dir=output))


def test_a_bare_file_that_is_not_read_with_the_tokenizer_beside_it(world, tmp_path, tokenizer):
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("model.onnx", "config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(world / "shipped" / "onnx" / name, bare / ("graph.onnx" if name == "model.onnx" else name))
    found = runs.benchmark(config_of(world, bare / "graph.onnx"))
    (cost,) = found.costs
    assert cost.name == "graph.onnx"
    assert cost.metrics["accuracy"] == 1.0
    assert cost.bytes == (bare / "graph.onnx").stat().st_size
    expected = sum(weight.numel() for weight in sharp_classifier().parameters())
    assert cost.parameters == pytest.approx(expected, rel=0.1), "the graph's numbers, constants among them"
    (bare / "tokenizer.json").unlink()
    with pytest.raises(UserError, match="tokenizer"):
        runs.benchmark(config_of(world, bare / "graph.onnx"))


def test_models_that_do_not_fit_the_data(world, tmp_path, tokenizer):
    tiny_classifier("bert", num_labels=3).save_pretrained(tmp_path / "three")
    tokenizer.save_pretrained(tmp_path / "three")
    with pytest.raises(UserError, match=r"labels: expected 3 classes, as the three gives"):
        runs.benchmark(config_of(world, world / "student", tmp_path / "three"))
    for path in (tmp_path, tmp_path / "nowhere", tmp_path / "nowhere.onnx", world / "dev.csv"):
        with pytest.raises(UserError, match="model"):
            runs.benchmark(config_of(world, world / "student", path))


def test_threads_that_the_process_keeps(world):
    import torch

    before = torch.get_num_threads()
    runs.benchmark(config_of(world, world / "student", threads=[before + 1]))
    assert torch.get_num_threads() == before


# ---- Evaluation ----


def test_an_export_that_is_scored_otherwise_than_its_student(world):
    data = DataConfig(source=str(world / "dev.csv"), max_length=32)
    assert codir.evaluate(str(world / "shipped" / "onnx"), data) == codir.evaluate(str(world / "student"), data)


def test_a_second_model_that_is_an_export(world, tmp_path):
    data = DataConfig(source=str(world / "dev.csv"), max_length=32)
    student, teacher, shipped = (str(world / name) for name in ("student", "teacher", "shipped/onnx"))
    same = codir.examine(student, data, against=shipped, predictions=tmp_path / "rows.jsonl")
    assert same.against is not None
    by_export = codir.examine(shipped, data, against=teacher)
    by_student = codir.examine(student, data, against=teacher)
    assert by_export.against.agreement == by_student.against.agreement
    assert by_export.model.metrics == by_student.model.metrics
    assert by_export.model.bytes == (Path(shipped) / "model.onnx").stat().st_size
    assert by_export.model.parameters == by_student.model.parameters
    assert len((tmp_path / "rows.jsonl").read_text().splitlines()) == 100


def test_a_bare_encoder_that_nobody_asks_for_its_memory_and_pairs_read_at_once(tmp_path, tokenizer, monkeypatch):
    fill_world("embedding", tmp_path, tokenizer)
    BertModel(FAMILIES["bert"](num_hidden_layers=2)).save_pretrained(tmp_path / "bare")
    tokenizer.save_pretrained(tmp_path / "bare")
    read: list[datasets.Dataset] = []

    def encode_once(rows: datasets.Dataset, *given, **settings) -> datasets.Dataset:
        read.append(rows)
        return encode(rows, *given, **settings)

    monkeypatch.setattr(sys.modules["codir.runs.benchmark"], "encode", encode_once)
    quick = {"batch_sizes": [4], "threads": [1], "rows": 8, "rounds": 1}
    config = {"models": [tmp_path / "bare"], "data": data_of("embedding", tmp_path), **quick}
    result = runs.benchmark(validate(BenchmarkConfig, config))
    assert result.costs[0].peak_bytes
    assert result.rows == len(read[0]) == 8
    assert "text_pair" not in read[0].column_names
