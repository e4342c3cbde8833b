"""How `infer.py` asks a graph in ONNX Runtime."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime


def load(folder: Path) -> tuple[list[str], Callable[..., Any]]:
    """The names of the graph's inputs, and what answers them: arrays by name in, logits out."""
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    return [one.name for one in session.get_inputs()], lambda inputs: session.run(["logits"], inputs)[0]
