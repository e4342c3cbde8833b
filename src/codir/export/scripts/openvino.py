"""How `infer.py` asks a graph in OpenVINO."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import openvino


def load(folder: Path) -> tuple[list[str], Callable[..., Any]]:
    """The names of the graph's inputs, and what answers them: arrays by name in, logits out."""
    model = openvino.Core().compile_model(folder / "model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return [one.get_any_name() for one in model.inputs], lambda inputs: model(inputs)["logits"]
