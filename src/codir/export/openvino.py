"""To OpenVINO, and to int8 by NNCF, which calibrates on training rows."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from codir.config.words import OPENVINO, Engine
from codir.export.engine import OTHERWISE, WITHOUT_INT8, Rows, layer_of, refused_by_name, unheard
from codir.measure import FILE_NAMES, engine_package

LINEAR = re.compile(r"linear_(\d+)/")
LAYERS_NAME = "layers.txt"
"""Which layer each matrix product of the graph is of, one a line, until the folder is done."""


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
        (folder / LAYERS_NAME).write_text("\n".join(_linear_layers(model, sample)), "utf-8")

    def layers(self, folder: Path) -> tuple[str, ...]:
        """By the order in which the model's linear layers compute: the graph numbers them so."""
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


def _linear_layers(model: PreTrainedModel, sample: Mapping[str, Tensor]) -> list[str]:
    """The layer of every linear module, in the order in which they compute."""
    found: list[str] = []
    hooks = [
        module.register_forward_pre_hook(lambda *_, name=name: found.append(layer_of(name)))
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
    ]
    try:
        with torch.no_grad():
            model(**sample)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _layers_of_products(folder: Path) -> dict[str, str]:
    """The layer of each matrix product with weights; where the numbers do not fit, each product is its own layer."""
    graph = engine_package(OPENVINO).Core().read_model(folder / FILE_NAMES[OPENVINO])
    names = [one.get_friendly_name() for one in graph.get_ops() if one.get_type_name() == "MatMul"]
    numbers = {name: int(found.group(1)) for name in names if (found := LINEAR.match(name))}
    layers = (folder / LAYERS_NAME).read_text("utf-8").splitlines()
    if sorted(numbers.values()) != list(range(len(layers))):
        return {name: name for name in numbers}
    return {name: layers[number] for name, number in sorted(numbers.items(), key=lambda found: found[1])}
