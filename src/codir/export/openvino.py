"""To OpenVINO, and to int8 by NNCF, which calibrates on training rows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from codir.config.words import OPENVINO, Engine
from codir.export.engine import OTHERWISE, WITHOUT_INT8, Rows, layer_of, refused_by_name, unheard
from codir.measure import FILE_NAMES, engine_package

OPERATIONS: dict[type[nn.Module], str] = {nn.Linear: "linear", Conv1D: "addmm"}
"""What modules with a matrix are in a graph; GPT-2's are of the second type."""
NUMBERED = re.compile(rf"({'|'.join(OPERATIONS.values())})_(\d+)/")
LAYERS_NAME = "layers.txt"
"""The operation and the layer of each matrix product of the model, one a line, until the folder is done."""


class OpenVinoExporter:
    """OpenVINO."""

    engine: Engine = OPENVINO
    recipes = ("static",)

    def check_installed(self) -> None:
        """OpenVINO writes and runs the graph, NNCF quantises it."""
        for package in ("openvino", "nncf"):
            engine_package(self.engine, package)

    def write(self, model: PreTrainedModel, sample: Mapping[str, Tensor], folder: Path) -> None:
        """Weights in fp32: halved ones would be changed ones."""
        from transformers.exporters import OpenVINOConfig, OpenVINOExporter

        with refused_by_name("export to openvino", model=model.config.model_type, do=OTHERWISE), unheard():
            exported = OpenVINOExporter().export(model, dict(sample), OpenVINOConfig(dynamic=True))
            package = engine_package(OPENVINO)
            package.save_model(exported.program, folder / FILE_NAMES[OPENVINO], compress_to_fp16=False)
        (folder / LAYERS_NAME).write_text("\n".join(_products_of(model, sample)), "utf-8")

    def layers(self, folder: Path) -> tuple[str, ...]:
        """By the order in which the model's matrices are used: the graph numbers its operations so."""
        return tuple(dict.fromkeys(_layers_of_products(folder).values()))

    def quantise(self, folder: Path, target: Path, recipe: str, rows: Rows, *, leave: Collection[str] = ()) -> None:
        """As NNCF does it for transformers: with smooth quantisation, and attention's own products in fp32."""
        nncf, openvino = engine_package(OPENVINO, "nncf"), engine_package(OPENVINO)
        ignored = [name for name, layer in _layers_of_products(folder).items() if layer in leave]
        graph = openvino.Core().read_model(folder / FILE_NAMES[OPENVINO])
        how: dict[str, Any] = {"model_type": nncf.ModelType.TRANSFORMER, "preset": nncf.QuantizationPreset.MIXED}
        if ignored:
            how["ignored_scope"] = nncf.IgnoredScope(names=ignored)
        with refused_by_name(f"int8 {recipe} of openvino", model="this graph", do=WITHOUT_INT8), unheard():
            quantised = nncf.quantize(graph, nncf.Dataset([dict(row) for row in rows]), subset_size=len(rows), **how)
            openvino.save_model(quantised, target / FILE_NAMES[OPENVINO], compress_to_fp16=False)


def _products_of(model: PreTrainedModel, sample: Mapping[str, Tensor]) -> list[str]:
    """Operation and layer of every module with a matrix, in the order in which they compute."""
    found: list[str] = []
    operations = {
        name: next((operation for type_, operation in OPERATIONS.items() if isinstance(module, type_)), None)
        for name, module in model.named_modules()
    }
    lines = {name: f"{operation} {layer_of(name)}" for name, operation in operations.items() if operation}
    hooks = [
        model.get_submodule(name).register_forward_pre_hook(lambda *_, line=line: found.append(line))
        for name, line in lines.items()
    ]
    try:
        with torch.no_grad():
            model(**sample)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _layers_of_products(folder: Path) -> dict[str, str]:
    """The layer of each matrix product with weights.

    Where the model has more or fewer of an operation than the graph, and where a product has no number, each product is
    a layer of its own. The graph may lack some in between, whose results were constant.
    """
    graph = engine_package(OPENVINO).Core().read_model(folder / FILE_NAMES[OPENVINO])
    products = {one.get_friendly_name(): one for one in graph.get_ops() if one.get_type_name() == "MatMul"}
    numbered = {name: (match[1], int(match[2])) for name in products if (match := NUMBERED.match(name))}
    layers, counts = dict[tuple[str, int], str](), Counter[str]()
    for line in (folder / LAYERS_NAME).read_text("utf-8").splitlines():
        operation, _, layer = line.partition(" ")
        layers[operation, counts[operation]] = layer
        counts[operation] += 1
    names = {key: name for name, key in numbered.items()}
    fits = {
        operation for operation, count in counts.items() if max(_numbers(names, operation), default=-1) == count - 1
    }
    found = {names[key]: layer for key, layer in layers.items() if key in names and key[0] in fits}
    others = [name for name, one in products.items() if name not in found and (name in numbered or _has_weights(one))]
    return found | {name: name for name in others}


def _numbers(keys: Iterable[tuple[str, int]], operation: str) -> list[int]:
    """Those of one operation."""
    return [number for name, number in keys if name == operation]


def _has_weights(product: Any) -> bool:
    """Whether it multiplies with a matrix of the model's."""
    return any(product.input_value(side).get_node().get_type_name() == "Constant" for side in (0, 1))
