"""Claim (d): where the time of a training step goes, and how much of the processor's arithmetic it reaches.

The matrix products of each step are counted by `torch.utils.flop_counter`; the peak is the best bf16 matrix product of
a few large shapes, measured in the same run. Padding that was computed counts as computed, for every variant alike.

Run: python benchmarks/arithmetic.py; it writes benchmarks/results/performance/arithmetic.json.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from typing import Any
from unittest import mock

import numpy as np
import torch
from common import write_claim
from torch.profiler import profile
from torch.utils.flop_counter import FlopCounterMode
from training import SETTING, Setting, time_steps

SHAPES = ((1024, 1024, 1024), (2048, 2048, 2048), (960, 384, 1536), (960, 1536, 384), (4096, 384, 1536))
KINDS = {
    "matrix products": ("aten::mm", "aten::addmm", "aten::bmm"),
    "dropout": ("bernoulli", "random_", "bitwise_and", "clamp_", "_FastDropout"),
    "zero-filling": ("aten::fill_", "aten::zero_"),
    "copies and casts": ("aten::copy_",),
    "optimiser and gradient norm": ("_fused_adamw_", "linalg_vector_norm", "Optimizer.step"),
    "normalisation, activation, softmax": ("layer_norm", "gelu", "softmax"),
}


def measure_peak(dtype: torch.dtype, repeats: int = 30) -> float:
    """Floating-point operations per second of the fastest large matrix product."""
    return max(_measure_product(*shape, dtype=dtype, repeats=repeats) for shape in SHAPES)


def _measure_product(m: int, k: int, n: int, *, dtype: torch.dtype, repeats: int) -> float:
    left, right = torch.randn(m, k, dtype=dtype), torch.randn(k, n, dtype=dtype)
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        left @ right
        seconds.append(time.perf_counter() - start)
    return 2 * m * k * n / float(np.median(seconds))


def count_operations(trainer: Any) -> list[int]:
    """Floating-point operations of the matrix products of every step but the first, backward pass included."""
    counts: list[int] = []
    original = type(trainer).training_step

    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        with FlopCounterMode(display=False) as counter:
            loss = original(self, *args, **kwargs)
        counts.append(counter.get_total_flops())
        return loss

    with mock.patch.object(type(trainer), "training_step", counted):
        trainer.train()
    return counts[1:]


def profile_shares(trainer: Any) -> dict[str, float]:
    """Share of each kind of work in the processor's own time."""
    with profile() as record:
        trainer.train()
    times = {event.key: float(event.self_cpu_time_total) for event in record.key_averages()}
    total, shares = sum(times.values()), {}
    for kind, words in KINDS.items():
        shares[kind] = sum(spent for key, spent in times.items() if any(word in key for word in words)) / total
    return {**shares, "the rest": 1 - sum(shares.values())}


def without_speedups() -> Any:
    """PyTorch's own dropout and embedding gradients, as any other trainer has them."""
    return mock.patch("codir.trainer.trainer.faster_training", return_value=contextlib.nullcontext())


def main() -> None:
    """Measure peak, operations and steps, with codir's cheaper parts and with PyTorch's own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="a few steps, and nothing is written")
    options = parser.parse_args()
    steps, rounds = (4, 1) if options.smoke else (options.steps, options.rounds)
    setting = Setting()
    variants = [
        (name, dtype, preset)
        for preset in ("fine-tune", "codir-fresh")
        for dtype in ("bf16", "fp32")
        for name in ("codir's parts", "PyTorch's own parts")
        if preset == "fine-tune" or (dtype == "bf16" and name == "codir's parts")
    ]
    with without_speedups():  # which changes no matrix product, and the counter sees them all
        operations = {
            preset: sum(count_operations(setting.trainer(preset, steps=steps)))
            for preset in ("fine-tune", "codir-fresh")
        }
    seconds: dict[tuple[str, str, str], list[float]] = {variant: [] for variant in variants}
    peaks: dict[str, list[float]] = {"bf16": [], "fp32": []}
    for _ in range(rounds):
        peaks["bf16"].append(measure_peak(torch.bfloat16))
        peaks["fp32"].append(measure_peak(torch.float32))
        for name, dtype, preset in variants:
            with contextlib.nullcontext() if name == "codir's parts" else without_speedups():
                seconds[name, dtype, preset] += time_steps(setting.trainer(preset, steps=steps, dtype=dtype))
    peak = {dtype: float(np.median(found)) for dtype, found in peaks.items()}
    rows, reached = [], {}
    for (name, dtype, preset), found in seconds.items():
        rate = operations[preset] * rounds / sum(found)
        reached[name, dtype, preset] = rate / peak[dtype]
        rows.append(
            {
                "step": f"{preset}, {dtype}, {name}",
                "mean ms": 1e3 * float(np.mean(found)),
                "median ms": 1e3 * float(np.median(found)),
                "GFLOP/s": rate / 1e9,
                "of the peak": rate / peak[dtype],
            }
        )
    shares = {"codir's parts": profile_shares(setting.trainer("fine-tune", steps=min(steps, 16)))}
    with without_speedups():
        shares["PyTorch's own parts"] = profile_shares(setting.trainer("fine-tune", steps=min(steps, 16)))
    if options.smoke:
        print(rows, shares)
        return
    write_claim(
        "arithmetic",
        "arithmetic of a plain bf16 training step of the student, as a share of the measured bf16 matrix-product peak",
        value=reached["codir's parts", "bf16", "fine-tune"],
        bound=0.5,
        direction="at least",
        rows=rows,
        shares={name: {kind: round(share, 3) for kind, share in found.items()} for name, found in shares.items()},
        guards={
            "cheaper dropout masks": "tests/speed/test_dropout.py",
            "row-wise embedding gradients": "tests/speed/test_embedding.py",
            "attention with these masks": "tests/speed/test_attention.py",
        },
        conditions={
            **SETTING,
            "dtype": "bf16",
            "steps": rounds * (steps - 1),
            "peak_gflops": {dtype: round(found / 1e9) for dtype, found in peak.items()},
        },
    )


if __name__ == "__main__":
    main()
