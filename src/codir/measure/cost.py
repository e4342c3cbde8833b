"""Cost: parameters, bytes on disk, and sentences per second measured side by side.

Sees any `nn.Module` that is called with a batch's tensors by name; knows nothing of teachers and students.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from codir.errors import UserError

TensorBatch = Mapping[str, Tensor]


@dataclass(frozen=True)
class Throughput:
    """How many sentences (rows) a model reads in a second.

    Attributes:
        sentences_per_second: the median over the repeats.
        spread: the slowest and the fastest repeat.
    """

    sentences_per_second: float
    spread: tuple[float, float]


def count_parameters(model: nn.Module) -> int:
    """Count a model's parameters, shared ones once."""
    return sum(parameter.numel() for parameter in model.parameters())


def folder_bytes(path: Path) -> int:
    """Count the bytes of the weight files (`*.safetensors`) in a saved model's folder.

    Raises:
        UserError: there is no such file.
    """
    weights = list(path.glob("*.safetensors"))
    if not weights:
        raise UserError(
            str(path),
            expected="a model folder with weights in *.safetensors",
            got="none",
            otherwise="its size would have been given as 0",
            do="name the folder that `save_pretrained` wrote",
        )
    return sum(file.stat().st_size for file in weights)


def measure_throughput(
    model: nn.Module,
    batches: Sequence[TensorBatch],
    *,
    warmup: int = 2,
    repeats: int = 3,
    autocast_dtype: torch.dtype | None = None,
) -> Throughput:
    """Measure one model's forward pass; see `measure_throughputs`."""
    return measure_throughputs(
        {"model": model}, {"model": batches}, warmup=warmup, repeats=repeats, autocast_dtype=autocast_dtype
    )["model"]


def measure_throughputs(
    models: Mapping[str, nn.Module],
    batches_of: Mapping[str, Sequence[TensorBatch]],
    *,
    warmup: int = 2,
    repeats: int = 3,
    autocast_dtype: torch.dtype | None = None,
) -> dict[str, Throughput]:
    """Measure the forward pass of several models, in turns, so that a drift of the machine hits all alike.

    Only the model is timed: batches are on its device before the clock starts, and nothing is tokenized.

    Args:
        models: by name. Each runs in evaluation mode on its own device, and gets its modes back.
        batches_of: what each model reads, by the same names.
        warmup: batches that each model reads before the clock starts.
        repeats: timed passes over all batches; the median counts.
        autocast_dtype: dtype of `torch.autocast`; `None` runs the weights' own dtype.
    """
    at_hand = {name: _on_device(batches_of[name], _device_of(model)) for name, model in models.items()}
    rates: dict[str, list[float]] = {name: [] for name in models}
    with ExitStack() as modes:
        for name, model in models.items():
            modes.enter_context(_evaluating(model))
            _time_pass(model, at_hand[name][:warmup], autocast_dtype)
        for _ in range(repeats):
            for name, model in models.items():
                sentences = sum(_count_rows(batch) for batch in at_hand[name])
                rates[name].append(sentences / _time_pass(model, at_hand[name], autocast_dtype))
    return {name: Throughput(statistics.median(found), (min(found), max(found))) for name, found in rates.items()}


@torch.inference_mode()
def _time_pass(model: nn.Module, batches: Sequence[TensorBatch], autocast_dtype: torch.dtype | None) -> float:
    device = _device_of(model)
    _synchronise(device)
    start = time.perf_counter()
    with torch.autocast(device.type, dtype=autocast_dtype, enabled=autocast_dtype is not None):
        for batch in batches:
            model(**batch)
    _synchronise(device)
    return time.perf_counter() - start


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _on_device(batches: Sequence[TensorBatch], device: torch.device) -> list[dict[str, Tensor]]:
    if not batches:
        raise UserError("throughput", expected="at least one batch", got="none", do="give rows to read")
    return [{name: tensor.to(device) for name, tensor in batch.items()} for batch in batches]


def _device_of(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def _count_rows(batch: TensorBatch) -> int:
    return len(next(iter(batch.values())))


def _synchronise(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
