"""`codir export`: a folder that is whole or not there, that runs, and that nobody else's files go for."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import codir
from codir import runs
from codir.config import BenchmarkConfig, DataConfig
from codir.errors import UserError
from codir.export import EXPORTERS, OWN_NAMES
from codir.measure import ExportedRunner, open_exported
from codir.store import FolderError, find_damage
from conftest import WORDS
from exported import ask, export_config, make_world, recurrent_classifier, sharp_classifier
from families import tiny_classifier

pytestmark = [pytest.mark.training, pytest.mark.filterwarnings("default")]

NAMES = {"config.json", "export.json", "infer.py", "manifest.json", "tokenizer.json", "tokenizer_config.json"}


@pytest.fixture(scope="module")
def world(once_per_suite, tokenizer) -> Path:
    return once_per_suite("export", lambda folder: make_world(folder, sharp_classifier(), tokenizer))


@pytest.fixture(scope="module")
def shipped(once_per_suite, world) -> Path:
    """An export in fp32 by ONNX Runtime. Read it only."""
    return once_per_suite("shipped", lambda folder: runs.export_model(export_config(world, folder / "onnx"))) / "onnx"


def codir_in(folder: Path, *words: object, before: str = "") -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, perhaps after a few lines of Python."""
    script = f"{before}\nimport sys\nfrom codir.cli import main\nsys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, words)],
        cwd=folder,
        env={**os.environ, "TMPDIR": str(scratch_of(folder)), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


def scratch_of(folder: Path) -> Path:
    scratch = folder / "tmp"
    scratch.mkdir(exist_ok=True)
    return scratch


def words_of(world: Path, output: object, *more: object) -> list[object]:
    data = ["--data", world / "train.csv", "--dev", world / "dev.csv", "--max-length", "32"]
    return ["export", world / "student", *data, "--output-dir", output, "--calibration-rows", "40", *more]


def refused(done: subprocess.CompletedProcess[str], *parts: str) -> None:
    """One sentence, exit code 2."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("Error ") == 1
    said = " ".join(done.stderr.split())
    for part in ("What to do:", *parts):
        assert part in said


# ---- What is written ----


def test_a_folder_that_lacks_what_running_it_needs(world, shipped, tokenizer):
    assert {path.name for path in shipped.iterdir()} == {*NAMES, "model.onnx"}
    assert find_damage(shipped, listed=[*(NAMES - {"manifest.json"}), "model.onnx"]) is None
    texts = list(codir.load_data(str(world / "dev.csv"), evaluation_only=True).dev["dev"]["text"])
    runner = open_exported(shipped, tokenizer, threads=1)
    encoded = [tokenizer(text, return_tensors="pt", truncation=True, max_length=32) for text in texts]
    found = np.concatenate([runner.logits(runner.place(one)).numpy() for one in encoded])
    assert np.allclose(found, ask(sharp_classifier(), tokenizer, texts), rtol=1e-4, atol=1e-4)


def test_a_record_whose_numbers_are_others_than_the_models(shipped):
    record = json.loads((shipped / "export.json").read_text())
    model = sharp_classifier()
    assert (record["engine"], record["precision"], record["left_in_fp32"]) == ("onnx", "fp32", [])
    assert record["parameters"] == sum(weight.numel() for weight in model.parameters())
    assert record["models"]["onnx fp32"]["bytes"] == (shipped / "model.onnx").stat().st_size
    assert record["models"]["PyTorch fp32"]["metrics"]["accuracy"] == 1.0
    gate = record["gate"]["onnx fp32"]
    assert (gate["rows"], gate["agreement"], gate["loss"]["value"]) == (100, 1.0, 0.0)
    assert 0 < gate["largest_difference"] < 1e-4
    assert record["truncation"] == {"max_length": 32, "direction": "right"}
    assert record["padding"] == {"direction": "right", "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"}
    assert record["pairs"] is False


@pytest.mark.slow
def test_an_engine_that_is_chosen_although_another_is_faster(world, tmp_path):
    result = runs.export_model(export_config(world, tmp_path / "out", engine="auto", int8=True, max_loss=100))
    tried = [one.name for one in result.candidates]
    assert tried == ["onnx fp32", "onnx int8 dynamic", "onnx int8 static", "openvino fp32", "openvino int8 static"]
    int8 = {name: result.models[name].sentences_per_second for name in tried if "int8" in name}
    assert result.chosen.name == max(int8, key=lambda name: int8[name])


@pytest.mark.slow
def test_an_openvino_folder_that_lacks_its_weights(world, tmp_path, tokenizer):
    runs.export_model(export_config(world, tmp_path / "out", engine="openvino"))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*NAMES, "model.xml", "model.bin"}
    record = json.loads((tmp_path / "out" / "export.json").read_text())
    both = sum((tmp_path / "out" / name).stat().st_size for name in ("model.xml", "model.bin"))
    assert record["models"]["openvino fp32"]["bytes"] == both
    (tmp_path / "out" / "model.bin").write_bytes((tmp_path / "out" / "model.bin").read_bytes()[:-100])
    with pytest.raises(UserError, match=r"model\.bin has"):
        open_exported(tmp_path / "out", tokenizer)


# ---- Places ----


def test_a_trained_model_that_an_export_deletes(world, tmp_path, tokenizer):
    """A model's folder has the names of an export, but for the record."""
    other = tmp_path / "out"
    tiny_classifier("bert", num_labels=2, seed=7).save_pretrained(other)
    tokenizer.save_pretrained(other)
    before = (other / "model.safetensors").read_bytes()
    with pytest.raises(UserError, match="not empty"):
        runs.export_model(export_config(world, other))
    runs.export_model(export_config(world, other, overwrite=True))
    assert (other / "model.onnx").is_file()
    assert [path.read_bytes() for path in tmp_path.glob(".set-aside-out-*/model.safetensors")] == [before]


def test_an_earlier_export_that_is_set_aside_and_a_foreign_folder_that_is_deleted(world, shipped, tmp_path):
    first = tmp_path / "out"
    first.mkdir()
    for path in shipped.iterdir():
        (first / path.name).write_bytes(path.read_bytes())
    (first / "infer.py").write_text("old")
    runs.export_model(export_config(world, first, overwrite=True))
    assert [path.name for path in tmp_path.iterdir()] == ["out"], "an export takes the place of an export"
    assert (first / "infer.py").read_text() != "old"
    (first / "thesis.txt").write_text("mine")
    runs.export_model(export_config(world, first, overwrite=True))
    assert [path.read_text() for path in tmp_path.glob(".set-aside-out-*/thesis.txt")] == ["mine"]
    assert not (first / "thesis.txt").exists()
    assert find_damage(first) is None


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_a_name_in_an_export_that_the_next_one_does_not_know(family, tmp_path, world):
    """Otherwise `--overwrite` would set every export aside."""
    from fnmatch import fnmatch

    from vocabularies import next_token, word_piece

    tokenizer = next_token() if family == "gpt2" else word_piece()
    tokenizer.save_pretrained(tmp_path)
    tiny_classifier(family).config.save_pretrained(tmp_path)
    names = [path.name for path in tmp_path.iterdir()]
    assert names
    assert not [name for name in names if not any(fnmatch(name, pattern) for pattern in OWN_NAMES)]


@pytest.mark.parametrize("relation", ["same", "inside", "around", "working directory", "a file"])
def test_an_export_into_what_it_reads(relation, world, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path / "here")
    places = {"same": world / "student", "inside": world / "student" / "onnx", "around": world}
    output = places.get(relation, Path(".") if relation == "working directory" else tmp_path / "file")
    before = sorted(world.rglob("*"))
    with pytest.raises(UserError, match="output_dir: expected"):
        runs.export_model(export_config(world, output, overwrite=True))
    assert sorted(world.rglob("*")) == before
    assert list((tmp_path / "here").iterdir()) == []


KILLED = """
import os, signal
from codir.export import folder
def killed(staging):
    print(sorted(path.name for path in staging.iterdir()), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
folder.write_manifest = killed
"""


@pytest.mark.slow
def test_half_a_folder_after_a_kill(world, tmp_path):
    """Killed when all is written but the manifest; the next start removes what is left, in both places."""
    killed = codir_in(tmp_path, *words_of(world, "out"), before=KILLED)
    assert killed.returncode == -signal.SIGKILL
    assert "model.onnx" in killed.stdout
    assert not (tmp_path / "out").exists()
    assert len(list(tmp_path.glob(".building-*"))) == 1
    assert len(list((tmp_path / "tmp").glob(".run-*"))) == 1
    again = codir_in(tmp_path, *words_of(world, "out"))
    assert again.returncode == 0, again.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"tmp", "out"}
    assert list((tmp_path / "tmp").glob(".run-*")) == []
    assert find_damage(tmp_path / "out") is None


SMALL_FILES = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({bytes}, {bytes}))"


@pytest.mark.parametrize("engine", ["onnx", pytest.param("openvino", marks=pytest.mark.slow)])
def test_a_full_disk_that_is_no_sentence(engine, world, tmp_path):
    """The system refuses to write beyond so many bytes, as a full disk does; the graph is larger."""
    done = codir_in(tmp_path, *words_of(world, "out", "--engine", engine), before=SMALL_FILES.format(bytes=20_000))
    refused(done)
    assert {path.name for path in tmp_path.iterdir()} == {"tmp"}
    assert list((tmp_path / "tmp").glob(".run-*")) == []


def test_a_disk_that_is_full_when_the_folder_is_written(world, tmp_path, monkeypatch):
    import errno

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("codir.export.folder.shutil.copy", full)
    with pytest.raises(FolderError, match=r"No space left.*free some space"):
        runs.export_model(export_config(world, tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


# ---- Models, data and engines ----


def test_a_recurrent_student_that_is_not_refused_by_name(world, tmp_path, tokenizer):
    model = recurrent_classifier()
    model.config.num_labels = 2
    recurrent = type(model)(model.config)
    recurrent.save_pretrained(tmp_path / "recurrent")
    tokenizer.save_pretrained(tmp_path / "recurrent")
    config = export_config(world, tmp_path / "out", model=str(tmp_path / "recurrent"))
    with pytest.raises(UserError, match=r"export to onnx: .*codir-bilstm"):
        runs.export_model(config)
    assert {path.name for path in tmp_path.iterdir()} == {"recurrent"}


def test_an_export_that_computes_something_else(world, tmp_path, monkeypatch):
    ask_exported = ExportedRunner.logits
    monkeypatch.setattr(ExportedRunner, "logits", lambda self, placed: ask_exported(self, placed) + 1e-3)
    with pytest.raises(UserError, match=r"export to onnx: expected logits within 0.0001 .* bert does not export"):
        runs.export_model(export_config(world, tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


def test_data_with_other_labels(world, tmp_path):
    rows = "".join(f"w{i} w{i + 1},{name}\n" for i in range(0, 60, 3) for name in "abc")
    (tmp_path / "three.csv").write_text("text,label\n" + rows)
    with pytest.raises(UserError, match=r"labels: expected 2 classes, as the model gives, got 3 classes"):
        runs.export_model(export_config(world, tmp_path / "out", data={"source": str(tmp_path / "three.csv")}))
    dev = (world / "dev.csv").read_text().splitlines()
    swapped = [line[:-1] + "10"[int(line[-1])] for line in dev[1:]]
    (tmp_path / "swapped.csv").write_text("\n".join([dev[0], *swapped]) + "\n")
    data = {"source": str(world / "train.csv"), "dev": str(tmp_path / "swapped.csv"), "max_length": 32}
    with pytest.raises(UserError, match=r"label order: .*the model"):
        runs.export_model(export_config(world, tmp_path / "out", data=data))
    assert not (tmp_path / "out").exists()


def test_a_tokenizer_that_only_python_runs(world, tmp_path, monkeypatch):
    from transformers import BertTokenizer

    monkeypatch.setattr(BertTokenizer, "is_fast", False)
    with pytest.raises(UserError, match=r"tokenizer: expected one that `tokenizers` can run"):
        runs.export_model(export_config(world, tmp_path / "out"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "package", "install"),
    [
        ("onnx", "onnxruntime", "pip install onnxruntime onnx onnxscript"),
        ("onnx", "onnxscript", "pip install onnxruntime onnx onnxscript"),
        ("openvino", "nncf", "pip install 'codir[openvino]'"),
        ("openvino", "openvino", "pip install 'codir[openvino]'"),
    ],
)
def test_an_engine_that_is_not_installed(engine, package, install, world, tmp_path):
    blocked = f"import sys; sys.modules['{package}'] = None"
    started = time.monotonic()
    done = codir_in(tmp_path, *words_of(world, "out", "--engine", engine), before=blocked)
    refused(done, f"engine {engine}: expected the package {package}", install)
    assert time.monotonic() - started < 60, "before anything is loaded"
    assert {path.name for path in tmp_path.iterdir()} == {"tmp"}


@pytest.mark.slow
def test_auto_that_fails_for_one_engine_that_is_not_there(world, tmp_path):
    blocked = "import sys; sys.modules['openvino'] = None"
    done = codir_in(tmp_path, *words_of(world, "out", "--engine", "auto"), before=blocked)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out" / "export.json").read_text())["engine"] == "onnx"
    blocked += "; sys.modules['onnxruntime'] = None"
    refused(codir_in(tmp_path, *words_of(world, "two", "--engine", "auto"), before=blocked), "onnxruntime", "openvino")


def refusing(self, *given):
    """In place of an engine's `write`: as it refuses a type of model that it cannot take."""
    raise UserError(f"engine {self.engine}", expected="a model that it can run", got="bert", do="take another")


def test_auto_that_fails_for_one_engine_that_refuses_the_model(world, tmp_path, monkeypatch):
    pytest.importorskip("openvino")
    monkeypatch.setattr(type(EXPORTERS["openvino"]), "write", refusing)
    result = runs.export_model(export_config(world, tmp_path / "out", engine="auto"))
    assert result.chosen.engine == "onnx"
    assert any("openvino fp32 was rejected: expected a model that it can run" in note for note in result.notes)
    monkeypatch.setattr(type(EXPORTERS["onnx"]), "write", refusing)
    with pytest.raises(UserError, match=r"(?s)engine onnx.*engine openvino"):
        runs.export_model(export_config(world, tmp_path / "two", engine="auto"))
    assert not (tmp_path / "two").exists()


# ---- Damaged exports ----


@pytest.fixture
def copy(shipped, tmp_path) -> Path:
    folder = tmp_path / "copy"
    folder.mkdir()
    for path in shipped.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))


DAMAGE = {
    "cut short": (lambda folder: os.truncate(folder / "model.onnx", 30_000), "model.onnx has 30,000 bytes"),
    "a flipped byte": (lambda folder: flip(folder / "model.onnx"), "model.onnx is damaged"),
    "no tokenizer": (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer"),
    "a flipped record": (lambda folder: flip(folder / "export.json"), "export.json is damaged"),
    "no graph": (lambda folder: (folder / "model.onnx").unlink(), "model"),
    "a manifest of another": (
        lambda folder: (folder / "manifest.json").write_text("{}"),
        "manifest.json has no checksum",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_export_that_is_asked(damage, copy, world):
    spoil, message = DAMAGE[damage]
    spoil(copy)
    data = DataConfig(source=str(world / "dev.csv"), max_length=32)
    with pytest.raises(UserError, match=message):
        codir.evaluate(str(copy), data)
    with pytest.raises(UserError, match=message):
        runs.benchmark(BenchmarkConfig(models=[world / "student", copy], data=data))


BARE = {
    "a text": (lambda file: file.write_text("no graph"), "an exported model that is whole"),
    "nothing": (lambda file: file.write_bytes(b""), "an exported model that is whole"),
    "cut short": (lambda file: os.truncate(file, 30_000), "an exported model that is whole"),
}


@pytest.mark.parametrize("fault", BARE)
def test_a_bare_file_that_is_no_graph(fault, copy, world):
    (copy / "manifest.json").unlink()
    spoil, message = BARE[fault]
    spoil(copy / "model.onnx")
    data = DataConfig(source=str(world / "dev.csv"), max_length=32)
    for path in (copy, copy / "model.onnx"):
        with pytest.raises(UserError, match=message):
            codir.evaluate(str(path), data)


def test_a_graph_file_that_is_not_there_and_is_called_a_folder(tmp_path):
    with pytest.raises(UserError, match=r"model: .*got .*gone\.xml, which does not exist"):
        codir.evaluate(str(tmp_path / "gone.xml"), DataConfig(source=str(tmp_path / "dev.csv")))


def test_a_graph_of_something_else(copy, world):
    """Its output is no classifier's, or it reads what the tokenizer does not give."""
    import onnx

    (copy / "manifest.json").unlink()
    data = DataConfig(source=str(world / "dev.csv"), max_length=32)
    whole = onnx.load(copy / "model.onnx")
    for old, new, message in (
        ("logits", "hidden", "no output `logits`, but hidden"),
        ("input_ids", "pixels", "reads pixels"),
    ):
        onnx.save(renamed(whole, old, new), copy / "model.onnx")
        with pytest.raises(UserError, match=message):
            codir.evaluate(str(copy), data)


def renamed(model, old: str, new: str):
    import onnx

    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for value in (*changed.graph.input, *changed.graph.output):
        value.name = new if value.name == old else value.name
    for node in changed.graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]
    return changed


def test_an_export_that_is_exported(shipped, world, tmp_path):
    with pytest.raises(UserError):
        runs.export_model(export_config(world, tmp_path / "out", model=str(shipped)))
    assert list(tmp_path.iterdir()) == []


# ---- The command ----


def test_a_command_that_differs_from_the_function(world, shipped, tmp_path):
    done = codir_in(tmp_path, *words_of(world, "out"))
    assert done.returncode == 0, done.stderr
    assert "PyTorch fp32" in done.stdout
    assert "onnx fp32" in done.stdout
    assert 'Next: python out/infer.py "a text"' in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"tmp", "out"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {path.name for path in shipped.iterdir()}
    said = subprocess.run(
        [sys.executable, tmp_path / "out" / "infer.py", f"{WORDS[1]} {WORDS[2]}"],
        capture_output=True,
        text=True,
        check=True,
    )
    name, share = said.stdout.split()
    assert name in ("LABEL_0", "LABEL_1")
    assert 0.5 <= float(share) <= 1


@pytest.mark.slow
def test_data_of_a_run_that_is_not_found(world, tmp_path, shipped):
    """`codir export student` reads the recipe beside the model; a flag changes it."""
    from shutil import copytree

    model = copytree(world / "student", tmp_path / "student")
    data = f"{{source: {world}/train.csv, dev: {world}/dev.csv, max_length: 32}}"
    (model / "recipe.yaml").write_text(f"data: {data}\noutput_dir: student\ntraining: {{}}\n")
    done = codir_in(tmp_path, "export", "student", "--output-dir", "out", "--max-length", "16")
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "out" / "export.json").read_text())
    assert record["truncation"]["max_length"] == 16
    assert record["gate"]["onnx fp32"]["rows"] == 100
    (model / "recipe.yaml").unlink()
    refused(codir_in(tmp_path, "export", "student", "--output-dir", "two"), "--data")
