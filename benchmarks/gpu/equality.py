"""Whether a card computes what the CPU computes, and what its steps wait for."""

from __future__ import annotations

import tempfile
from collections import Counter
from typing import Any
from unittest import mock

import torch
from setting import Sizes, make_trainer
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

LOSS_BOUND = 1e-3
"""Of a step's loss: the largest difference over the loss. Floats are summed in another order, for a few steps."""
WEIGHT_BOUND = 0.05
"""Of the weights: how far two ends are apart over how far training moved them."""
STATED_WAITS = 1.0
"""`codir.trainer`: a loss is looked at once a step, before anything is done with it."""
PRESET = "codir"


def losses_and_ends(trainer: Any) -> tuple[list[float], Tensor, Tensor]:
    """Train; the loss of every step, and the student's weights before and after, on the CPU."""
    losses: list[Tensor] = []
    original = type(trainer).training_step

    def noted(self: Any, *args: Any, **kwargs: Any) -> Any:
        loss = original(self, *args, **kwargs)
        losses.append(loss.detach())
        return loss

    before = weights_of(trainer)
    with mock.patch.object(type(trainer), "training_step", noted):
        trainer.train()
    return [float(loss) for loss in losses], before, weights_of(trainer)


def weights_of(trainer: Any) -> Tensor:
    """All of the student's, as one vector."""
    return torch.cat([weight.detach().flatten().cpu().double() for weight in trainer.student.parameters()])


def compare(one: Any, other: Any) -> dict[str, Any]:
    """Two trainings that should be the same: by losses, and by weights.

    Returns:
        `losses`, the largest relative difference of a step's loss; `weights`, `||w - w'|| / ||w - w_0||`; and whether
        both are within their bounds.
    """
    (losses, start, end), (other_losses, _, other_end) = losses_and_ends(one), losses_and_ends(other)
    apart = max(abs(a - b) / abs(a) for a, b in zip(losses, other_losses, strict=True))
    moved = float((end - other_end).norm() / (end - start).norm())
    return {
        "losses": apart,
        "weights": moved,
        "steps": len(losses),
        "bounds": {"losses": LOSS_BOUND, "weights": WEIGHT_BOUND},
        "holds": apart <= LOSS_BOUND and moved <= WEIGHT_BOUND,
    }


def against_cpu(sizes: Sizes, device: torch.device) -> dict[str, Any]:
    """Preset `codir` in fp32 without dropout, on the card and on the CPU, each with a cache of its own."""
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        here = make_trainer(sizes, PRESET, device, steps=sizes.steps, cache_dir=first)
        there = make_trainer(sizes, PRESET, torch.device("cpu"), steps=sizes.steps, cache_dir=second)
        return compare(there, here)


def cached_against_live(sizes: Sizes, device: torch.device) -> dict[str, Any]:
    """The same on the card alone, with the teacher's features from its cache and from the teacher itself."""
    with tempfile.TemporaryDirectory() as folder:
        cached = make_trainer(sizes, PRESET, device, steps=sizes.steps, cache_dir=folder)
        live = make_trainer(sizes, PRESET, device, steps=sizes.steps)
        return compare(live, cached)


def place_of_bank(sizes: Sizes, device: torch.device) -> dict[str, Any]:
    """Where the bank's vectors are once training has filled it."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer(sizes, PRESET, device, steps=1, cache_dir=folder)
        trainer.train()
        found = trainer.bank.vectors
        return {"bank_on": found.device.type, "bytes": found.nbytes, "holds": found.device.type == device.type}


def waits(sizes: Sizes, device: torch.device) -> dict[str, Any]:
    """How often a step of `codir` and of plain fine-tuning waits for the device, by the profiler, and by which call.

    The count of a training of 2n steps less that of n, over n, so that what is done once does not count. On a card the
    calls are CUDA's synchronisations; on a CPU, where nothing waits, those that would: numbers read out of a tensor.
    """
    with tempfile.TemporaryDirectory() as folder:
        said = {preset: _waits_of(sizes, device, preset, folder) for preset in (PRESET, "fine-tune")}
    more = sum(said[PRESET].values()) - sum(said["fine-tune"].values())
    return {"per_step": said, "more_than_plain": more, "stated": STATED_WAITS, "holds": more <= STATED_WAITS}


def _waits_of(sizes: Sizes, device: torch.device, preset: str, folder: str) -> dict[str, float]:
    counts = []
    for steps in (sizes.steps, 2 * sizes.steps):
        trainer = make_trainer(sizes, preset, device, steps=steps, cache_dir=folder)
        activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
        with profile(activities=activities) as record:
            trainer.train()
        counts.append(
            Counter({event.key: event.count for event in record.key_averages() if is_wait(event.key, device)})
        )
    fewer, more = counts
    return {name: (count - fewer[name]) / sizes.steps for name, count in more.items() if count != fewer[name]}


def is_wait(name: str, device: torch.device) -> bool:
    """Whether a profiled call makes the host wait for the device.

    Example:
        >>> is_wait("cudaStreamSynchronize", torch.device("cuda")), is_wait("aten::mm", torch.device("cuda"))
        (True, False)
    """
    return "Synchronize" in name if device.type == "cuda" else name == "aten::_local_scalar_dense"
