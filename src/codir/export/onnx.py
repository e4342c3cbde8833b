"""To ONNX, and to int8 by ONNX Runtime.

`dynamic` quantises weights, and activations as they come; `static` fixes the ranges of activations on training rows.
Weights have a scale for each channel: with one for a whole matrix, as is ONNX Runtime's default, a few large weights
take the bits of all others. Where a processor multiplies 8-bit numbers without VNNI, sums of two products overflow, and
weights get 7 bits (`reduce_range`).
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from transformers import PreTrainedModel

from codir.config.words import ONNX, Engine
from codir.export.engine import OTHERWISE, REST, WITHOUT_INT8, Rows, layer_of, refused_by_name, unheard
from codir.measure import FILE_NAMES, engine_package
from codir.system import has_vnni

SCOPE = "pkg.torch.onnx.name_scopes"
QUANTISED = ("MatMul", "Gemm", "Gather")
GEMM_AS_MATMUL = "_MatMul"
"""`quantize_dynamic` makes a `MatMul` of each `Gemm` before it looks at names, and names it so."""
PLAIN_NAME = "plain.onnx"
"""The graph before fusions, which is what is quantised: ONNX Runtime fuses it when it loads it."""


class OnnxExporter:
    """ONNX Runtime."""

    engine: Engine = ONNX
    recipes = ("dynamic", "static")

    def check_installed(self) -> None:
        """ONNX's own packages write the graph, ONNX Runtime runs it."""
        for package in ("onnx", "onnxscript", "onnxruntime"):
            engine_package(self.engine, package)

    def write(self, model: PreTrainedModel, sample: Mapping[str, Tensor], folder: Path) -> None:
        """With the fusions of ONNX Runtime for the CPU; the plain graph stays beside it until the folder is done."""
        from transformers.exporters import OnnxConfig
        from transformers.exporters import OnnxExporter as Writer

        for fusions, name in ((None, PLAIN_NAME), ("cpu", FILE_NAMES[ONNX])):
            how = OnnxConfig(dynamic=True, ort_fusions=fusions)
            with refused_by_name("export to onnx", model=model.config.model_type, do=OTHERWISE), unheard():
                exported = Writer().export(model, dict(sample), how)
                engine_package(ONNX, "onnx_ir").save(exported.program, folder / name)

    def layers(self, folder: Path) -> tuple[str, ...]:
        """By the modules that the graph's nodes come from."""
        return tuple(dict.fromkeys(_layers_of_nodes(folder / PLAIN_NAME).values()))

    def quantise(self, folder: Path, target: Path, recipe: str, rows: Rows, *, leave: Collection[str] = ()) -> None:
        """One scale per channel; without VNNI in 7 bits."""
        from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static

        plain = folder / PLAIN_NAME
        layers = _layers_of_nodes(plain)
        how: dict[str, Any] = {
            "per_channel": True,
            "reduce_range": not has_vnni(),
            "weight_type": QuantType.QInt8,
            "op_types_to_quantize": list(QUANTISED),
            "nodes_to_exclude": [
                name for node, layer in layers.items() if layer in leave for name in (node, f"{node}{GEMM_AS_MATMUL}")
            ],
            "extra_options": {"MatMulConstBOnly": True},
        }
        source, out = _without_stale_shapes(plain, target), target / FILE_NAMES[ONNX]
        with refused_by_name(f"int8 {recipe} of onnx", model="this graph", do=WITHOUT_INT8), unheard():
            if recipe == "dynamic":
                quantize_dynamic(source, out, **how)
            else:
                quantize_static(source, out, _Feeds(rows), quant_format=QuantFormat.QDQ, **how)
        os.remove(source)


class _Feeds:
    """Rows one after the other, as `quantize_static` asks for them."""

    def __init__(self, rows: Rows) -> None:
        self.rows: Iterator[Mapping[str, np.ndarray]] = iter(rows)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next row, or `None` at the end."""
        row = next(self.rows, None)
        return None if row is None else dict(row)


def _without_stale_shapes(graph: Path, target: Path) -> Path:
    """A copy whose weights have no noted shapes: `quantize_dynamic` transposes some, and trips over the old ones."""
    onnx = engine_package(ONNX, "onnx")
    model = onnx.load(graph)
    weights = {weight.name for weight in model.graph.initializer}
    noted = [info for info in model.graph.value_info if info.name not in weights]
    del model.graph.value_info[:]
    model.graph.value_info.extend(noted)
    copy = target / "to-quantise.onnx"
    onnx.save(model, copy)
    return copy


def _layers_of_nodes(graph: Path) -> dict[str, str]:
    """The layer of each node that can be quantised: its own, or that of the first node after it that notes one."""
    model = engine_package(ONNX, "onnx").load(graph, load_external_data=False).graph
    weights = {weight.name for weight in model.initializer}
    readers: dict[str, list[Any]] = {}
    for node in model.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    return {
        node.name: layer_of(_module_of(node, readers))
        for node in model.node
        if node.op_type in QUANTISED and weights.intersection(_tables_of(node))
    }


def _tables_of(node: Any) -> list[str]:
    """The inputs that a node quantises where they are weights: what is looked up in, not the places that are."""
    return list(node.input[:1] if node.op_type == "Gather" else node.input)


def _module_of(node: Any, readers: Mapping[str, list[Any]]) -> str:
    left, seen = [node], set[str]()
    while left:
        node = left.pop(0)
        noted = next((one.value for one in node.metadata_props if one.key == SCOPE), None)
        names = [name for name in _texts_in(noted)[:-1] if name] if noted else []
        if names:
            return names[-1]
        for name in node.output:
            left += [reader for reader in readers.get(name, []) if reader.name not in seen]
            seen.update(reader.name for reader in readers.get(name, []))
    return REST


def _texts_in(noted: str) -> list[str]:
    """A list of names, as the exporter writes it down."""
    return [word.strip().strip("'\"") for word in noted.strip("[]").split(",")]
