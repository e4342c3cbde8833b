"""int8: the file must be what it is called, ranges must fit the processor, and the gate must find the guilty layer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from sklearn.metrics import accuracy_score, f1_score, mean_squared_error

import codir
from codir import runs
from codir.errors import UserError
from codir.export import EXPORTERS, Gate, quantise_within
from codir.measure import Rejected, Verdict, open_exported, weigh
from codir.measure.bootstrap import Interval
from codir.tasks import Task
from conftest import make_texts
from exported import MAX_LENGTH, ask, export_config, labelled_rows, make_world, sharp_classifier, with_outliers

pytestmark = pytest.mark.training

RECIPES = [(name, recipe) for name in EXPORTERS for recipe in EXPORTERS[name].recipes]
SAMPLE = ["w1 w2 w3", "w4 w5 w6 w7 w8 w9"]


@pytest.fixture(scope="module")
def graphs(tokenizer, once_per_suite) -> Path:
    """Both engines' graphs of one classifier, in fp32."""

    def fill(folder: Path) -> None:
        for name, exporter in EXPORTERS.items():
            (folder / name).mkdir()
            exporter.write(sharp_classifier(), tokenizer(SAMPLE, padding=True, return_tensors="pt"), folder / name)

    return once_per_suite("graphs", fill)


def calibration(tokenizer) -> list[dict[str, np.ndarray]]:
    return [dict(tokenizer(text, return_tensors="np")) for text in make_texts(20)["text"]]


def quantised(graphs: Path, engine: str, recipe: str, tokenizer, target: Path, leave=()) -> Path:
    EXPORTERS[engine].quantise(graphs / engine, target, recipe, calibration(tokenizer), leave=leave)
    return target


# ---- Files ----


@pytest.mark.parametrize(
    ("recipe", "kinds"),
    [("dynamic", {"MatMulInteger", "DynamicQuantizeLinear"}), ("static", {"QuantizeLinear", "DequantizeLinear"})],
)
def test_an_int8_file_that_multiplies_floats(recipe, kinds, graphs, tokenizer, tmp_path):
    folder = quantised(graphs, "onnx", recipe, tokenizer, tmp_path)
    graph = onnx.load(folder / "model.onnx").graph
    assert kinds <= {node.op_type for node in graph.node}
    floats = {one.name for one in graph.initializer if one.data_type == onnx.TensorProto.FLOAT and len(one.dims) == 2}
    assert not [node.name for node in graph.node if node.op_type in ("MatMul", "Gemm") and floats & {*node.input}]
    assert {path.name for path in folder.iterdir()} == {"model.onnx"}


def test_an_int8_file_of_openvino_that_multiplies_floats(graphs, tokenizer, tmp_path):
    folder = quantised(graphs, "openvino", "static", tokenizer, tmp_path)
    assert len(matrices_in_int8(folder)) == 14
    assert matrices_in_int8(graphs / "openvino") == []
    assert {path.name for path in folder.iterdir()} == {"model.xml", "model.bin"}


@pytest.mark.parametrize(("engine", "recipe"), RECIPES)
def test_int8_answers_that_are_far_from_the_models(engine, recipe, graphs, tokenizer, tmp_path):
    texts = list(make_texts(50, seed=5)["text"])
    runner = open_exported(quantised(graphs, engine, recipe, tokenizer, tmp_path), tokenizer, threads=1)
    found = np.concatenate([
        runner.logits(runner.place(tokenizer(text, return_tensors="pt"))).numpy() for text in texts
    ])  # fmt: skip
    expected = ask(sharp_classifier(), tokenizer, texts)
    assert np.abs(found - expected).max() > 0
    assert np.corrcoef((found[:, 1] - found[:, 0]), (expected[:, 1] - expected[:, 0]))[0, 1] > 0.95


@pytest.mark.parametrize(("has_vnni", "largest"), [(True, 127), (False, 63)])
@pytest.mark.parametrize("recipe", ["dynamic", "static"])
def test_eight_bit_weights_whose_sums_overflow_without_vnni(
    recipe, has_vnni, largest, graphs, tokenizer, tmp_path, monkeypatch
):
    monkeypatch.setattr("codir.export.onnx.has_vnni", lambda: has_vnni)
    folder = quantised(graphs, "onnx", recipe, tokenizer, tmp_path)
    matrices = [
        numpy_helper.to_array(one)
        for one in onnx.load(folder / "model.onnx").graph.initializer
        if one.data_type == onnx.TensorProto.INT8 and len(one.dims) == 2
    ]
    assert len(matrices) >= 12
    found = max(int(np.abs(matrix.astype(int)).max()) for matrix in matrices)
    assert largest - 1 <= found <= largest + 1, "one more below zero than above"


def test_one_scale_for_a_whole_matrix(graphs, tokenizer, tmp_path):
    folder = quantised(graphs, "onnx", "dynamic", tokenizer, tmp_path)
    graph = onnx.load(folder / "model.onnx").graph
    sizes = {one.name: one.dims for one in graph.initializer}
    products = [node for node in graph.node if node.op_type == "MatMulInteger"]
    weights = [node.input[1] for node in products]
    scales = [sizes[name.replace("_quantized", "_scale")] for name in weights]
    assert [tuple(scale) for scale in scales] == [(sizes[name][1],) for name in weights]


@pytest.mark.parametrize("kept", ["bert.encoder.layer.1", "bert.pooler.dense", "classifier"])
@pytest.mark.parametrize("recipe", EXPORTERS["onnx"].recipes)
def test_a_layer_that_was_to_stay_in_fp32(recipe, kept, graphs, tokenizer, tmp_path):
    """The matrices of that layer, and of no other, are the same floats as before."""
    folder = quantised(graphs, "onnx", recipe, tokenizer, tmp_path, leave=[kept])
    graph = onnx.load(folder / "model.onnx").graph
    stored = [numpy_helper.to_array(one) for one in graph.initializer if one.data_type == onnx.TensorProto.FLOAT]
    weights = dict(sharp_classifier().named_parameters())
    inside = {name: one.detach().numpy() for name, one in weights.items() if one.dim() == 2 and "embed" not in name}
    there = {name for name, weight in inside.items() if any(same(weight, one) for one in stored)}
    assert there == {name for name in inside if name.startswith(kept)}
    assert len(inside) == 14


def same(weight: np.ndarray, stored: np.ndarray) -> bool:
    return any(one.shape == stored.shape and np.array_equal(one, stored) for one in (weight, weight.T))


def test_a_layer_that_was_to_stay_in_fp32_in_openvino(graphs, tokenizer, tmp_path):
    """Smoothing moves numbers between weights and activations, so matrices are counted and not compared."""
    counts = []
    for leave in ((), ("bert.encoder.layer.1",), ("bert.encoder.layer.0", "bert.encoder.layer.1")):
        target = tmp_path / str(len(leave))
        target.mkdir()
        counts.append(len(matrices_in_int8(quantised(graphs, "openvino", "static", tokenizer, target, leave=leave))))
    assert counts == [14, 8, 2], "six matrices of each layer, the pooler's and the classifier's"


def matrices_in_int8(folder: Path) -> list[str]:
    """What each matrix product of a graph of OpenVINO multiplies with, where that is stored in 8 bits."""
    import openvino

    products = [
        one for one in openvino.Core().read_model(folder / "model.xml").get_ops() if one.get_type_name() == "MatMul"
    ]
    found = []
    for one in products:
        node = one.input_value(1).get_node()
        while node.get_type_name() in ("Convert", "Multiply", "Subtract"):
            node = node.input_value(0).get_node()
        if node.get_type_name() == "Constant" and node.get_element_type() in (openvino.Type.i8, openvino.Type.u8):
            found.append(one.get_friendly_name())
    return found


# ---- The gate ----


def test_points_that_are_counted_otherwise_than_scikit_learn_does():
    rng = np.random.default_rng(0)
    before, labels = rng.normal(size=(200, 2)).astype(np.float32), rng.integers(0, 2, 200)
    after = before + rng.normal(scale=0.7, size=(200, 2)).astype(np.float32)
    for metric, score in (("accuracy", accuracy_score), ("f1", f1_score)):
        found = weigh(before, after, labels, Task("classification", None, 2, (metric,)))
        assert found.before == pytest.approx(score(labels, before.argmax(1)))
        assert found.after == pytest.approx(score(labels, after.argmax(1)))
        assert found.loss.value == pytest.approx(100 * (found.before - found.after))
        assert found.loss.low < found.loss.value < found.loss.high
        assert found.agreement == pytest.approx(accuracy_score(before.argmax(1), after.argmax(1)))
        assert found.largest_difference == pytest.approx(np.abs(before - after).max())
        assert found.rows == 200


def test_a_gain_that_is_counted_as_a_loss():
    labels = np.array([0, 1] * 30)
    right = np.eye(2, dtype=np.float32)[labels]
    found = weigh(right[:, ::-1].copy(), right, labels, Task("classification", None, 2, ("accuracy",)))
    assert found.loss.value == -100


def test_scores_that_are_weighed_as_classes_are():
    rng = np.random.default_rng(0)
    labels = rng.normal(size=100)
    before = (labels + rng.normal(scale=0.1, size=100)).astype(np.float32)[:, None]
    after = (labels + rng.normal(scale=0.9, size=100)).astype(np.float32)[:, None]
    found = weigh(before, after, labels, Task("regression", None, 1, ("pearson",)))
    expected = [np.corrcoef(one[:, 0], labels)[0, 1] for one in (before, after)]
    assert found.loss.value == pytest.approx(100 * (expected[0] - expected[1]), rel=1e-5)
    assert found.agreement == pytest.approx(np.corrcoef(before[:, 0], after[:, 0])[0, 1], rel=1e-5)


@pytest.mark.parametrize(
    ("engine", "recipe"),
    [("onnx", "dynamic"), *(pytest.param(*one, marks=pytest.mark.slow) for one in RECIPES if one[1] != "dynamic")],
)
def test_a_search_that_leaves_another_layer_in_fp32_than_the_guilty_one(engine, recipe, tokenizer, tmp_path):
    """The second of three layers holds weights that ruin int8; all others may be rounded."""
    model = with_outliers(sharp_classifier(layers=3), layer=1)
    exporter, written, work = EXPORTERS[engine], tmp_path / "written", tmp_path / "work"
    written.mkdir()
    work.mkdir()
    exporter.write(model, tokenizer(SAMPLE, padding=True, return_tensors="pt"), written)
    rows = labelled_rows(model, tokenizer, 100)
    texts, labels = list(rows["text"]), np.asarray(rows["label"])
    expected = ask(model, tokenizer, texts)

    def answers(folder: Path) -> np.ndarray:
        runner = open_exported(folder, tokenizer, threads=1)
        encoded = [tokenizer(text, return_tensors="pt") for text in texts]
        return np.concatenate([runner.logits(runner.place(one)).numpy() for one in encoded])

    gate = Gate(
        judged=lambda folder: weigh(expected, answers(folder), labels, Task("classification", None, 2, ("accuracy",))),
        error=lambda folder: float(mean_squared_error(expected, answers(folder))),
        max_loss=8.0,
    )
    all_int8 = tmp_path / "all"
    all_int8.mkdir()
    exporter.quantise(written, all_int8, recipe, calibration(tokenizer))
    assert gate.judged(all_int8).loss.value > 8.0, "rounding everything must cost more than may be lost"
    layers = exporter.layers(written)
    found = quantise_within(gate, exporter, written, work, recipe=recipe, rows=calibration(tokenizer), layers=layers)
    assert found.left == ("bert.encoder.layer.1",)
    assert gate.passes(found.verdict)
    assert list(work.iterdir()) == [found.folder], "attempts that fill the disk"


class Pretended:
    """An engine whose layers cost what they are said to cost, and which notes what it was asked."""

    engine, recipes = "onnx", ("dynamic",)

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []

    def quantise(self, folder, target, recipe, rows, *, leave=()):
        self.asked.append(tuple(leave))
        (target / "left").write_text(json.dumps(list(leave)))


COSTS = {"a": 1.0, "b": 5.0, "c": 3.0, "d": 0.1}


@pytest.mark.parametrize(
    ("max_loss", "left"),
    [(10, ()), (9.1, ()), (9, ("b",)), (4.1, ("b",)), (2, ("b", "c")), (0.1, ("b", "c", "a")), (0, ("b", "c", "a"))],
)
def test_more_layers_in_fp32_than_the_gate_needs(max_loss, left, tmp_path):
    def cost(folder: Path) -> float:
        return sum(COSTS.values()) - sum(COSTS[layer] for layer in json.loads((folder / "left").read_text()))

    def judged(folder: Path) -> Verdict:
        return Verdict(1, 0.0, 1.0, "accuracy", 1.0, 1.0, Interval(round(cost(folder), 6), 0.0, 0.0, 1))

    engine = Pretended()
    gate = Gate(judged, cost, max_loss)
    found = quantise_within(gate, engine, tmp_path, tmp_path, recipe="dynamic", rows=[], layers=list(COSTS))
    assert found.left == left
    assert gate.passes(found.verdict) == (max_loss >= 0.1)
    assert engine.asked[0] == ()
    if left:
        assert engine.asked[1:5] == [(layer,) for layer in COSTS]


@pytest.mark.parametrize("guilty", ["b", None])
def test_answers_that_are_no_numbers_and_stop_the_search_or_pass_it(guilty, tmp_path):
    """Unless one layer is left in fp32, where there is such a layer, answers are NaN."""

    def is_sound(folder: Path) -> bool:
        return guilty in json.loads((folder / "left").read_text())

    def judged(folder: Path) -> Verdict | str:
        fault = "NaN or infinity in 2 of 4 logits"
        return Verdict(1, 0.0, 1.0, "accuracy", 1.0, 1.0, Interval(0.0, 0.0, 0.0, 1)) if is_sound(folder) else fault

    gate = Gate(judged, lambda folder: 1.0 if is_sound(folder) else float("inf"), 0.5)
    work = tmp_path / "work"
    work.mkdir()
    found = quantise_within(gate, Pretended(), tmp_path, work, recipe="dynamic", rows=[], layers=list(COSTS))
    if guilty:
        assert found.left == ("b",)
        assert list(work.iterdir()) == [found.folder]
    else:
        assert found == Rejected("onnx", "int8 dynamic", "NaN or infinity in 2 of 4 logits")
        assert list(work.iterdir()) == []


# ---- The command ----


def test_int8_answers_that_are_no_numbers_and_stop_the_export(tokenizer, tmp_path, monkeypatch):
    """The pooler reads features of 2e38 and -2e38 that it weighs with 0; their range overflows in dynamic int8."""
    model = sharp_classifier(layers=1)
    last = model.bert.encoder.layer[0].output.LayerNorm
    with torch.no_grad():
        last.weight[5:7] = 0.0
        last.bias[5:7] = torch.tensor([2e38, -2e38])
        model.bert.pooler.dense.weight[:, 5:7] = 0.0
    monkeypatch.setattr(type(EXPORTERS["onnx"]), "layers", lambda *_: ())  # or else the search saves it
    world = make_world(tmp_path, model, tokenizer)
    result = runs.export_model(export_config(world, tmp_path / "out", int8=True, max_loss=100.0))
    assert result.chosen.name == "onnx int8 static"
    assert "onnx int8 dynamic was rejected: NaN or infinity in 200 of 200 logits." in result.notes
    record = json.loads((tmp_path / "out" / "export.json").read_text())
    assert set(record["gate"]) == {"onnx fp32", "onnx int8 static"}


@pytest.mark.slow
def test_a_ruined_model_that_is_shipped_in_int8_throughout(tokenizer, tmp_path):
    world = make_world(tmp_path, with_outliers(sharp_classifier(layers=3), layer=1), tokenizer)
    result = runs.export_model(export_config(world, tmp_path / "out", int8=True, max_loss=8.0))
    record = json.loads((tmp_path / "out" / "export.json").read_text())
    assert record["left_in_fp32"] == ["bert.encoder.layer.1"] == list(result.chosen.left)
    assert record["precision"].startswith("int8")
    assert any("bert.encoder.layer.1 stayed in fp32" in note for note in record["notes"])
    verdict = record["gate"][f"onnx {record['precision']}"]
    rows = codir.load_data(str(world / "dev.csv"), evaluation_only=True).dev["dev"]
    runner = open_exported(tmp_path / "out", tokenizer, threads=1)
    encoded = [tokenizer(text, return_tensors="pt", truncation=True, max_length=MAX_LENGTH) for text in rows["text"]]
    said = np.concatenate([runner.logits(runner.place(one)).numpy() for one in encoded]).argmax(1)
    assert verdict["before"] == 1.0
    assert verdict["after"] == pytest.approx(accuracy_score(rows["label"], said), abs=0.021), (
        "padding may turn two rows"
    )
    assert 100 * (1.0 - verdict["after"]) == pytest.approx(verdict["loss"]["value"])
    assert verdict["loss"]["value"] <= 8.0


def test_a_folder_that_is_written_although_nothing_passed(tokenizer, tmp_path, monkeypatch):
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    model = sharp_classifier(layers=2)
    for layer in (0, 1):
        with_outliers(model, layer)
    with_absurd_head(model)
    world = make_world(tmp_path, model, tokenizer)
    before = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(UserError, match=r"int8: expected a loss of at most 0 points, got .* at best .*`--max-loss`"):
        runs.export_model(export_config(world, tmp_path / "deep" / "out", int8=True, max_loss=0))
    assert {path.name for path in tmp_path.iterdir()} == before
    assert list(scratch.iterdir()) == []


def with_absurd_head(model) -> None:
    """Outliers wherever a matrix reads the outputs of a layer, so that hardly any matrix can be rounded."""
    with torch.no_grad():
        for block in model.bert.encoder.layer:
            block.output.LayerNorm.weight[7] = block.output.LayerNorm.bias[7] = 0.0
            block.attention.self.query.weight[:, 7] = 500.0
        model.bert.pooler.dense.weight[:, 7] = 500.0
