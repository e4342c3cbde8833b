"""What a distillation step costs on a card beside a plain one, and how much of the card it uses."""

from __future__ import annotations

import tempfile
import time
from typing import Any

import numpy as np
import torch
from arithmetic import count_operations
from common import Spread, paired_ratio
from setting import Sizes, make_trainer
from training import time_steps

PRESETS = ("fine-tune", "codir", "codir-soft")
PLAIN = "fine-tune"
ROUNDS = 2
DROPOUT = 0.1
SHAPES = ((2048, 2048, 2048), (4096, 4096, 4096), (8192, 8192, 8192), (32768, 768, 3072))


def measure_peak(device: torch.device, dtype: torch.dtype, *, small: bool = False, repeats: int = 10) -> float:
    """Floating-point operations per second of the fastest of a few large matrix products."""
    shapes = ((64, 64, 64),) if small else SHAPES
    return max(_measure_product(*shape, device=device, dtype=dtype, repeats=repeats) for shape in shapes)


def _measure_product(m: int, k: int, n: int, *, device: torch.device, dtype: torch.dtype, repeats: int) -> float:
    left, right = (torch.randn(*shape, device=device, dtype=dtype) for shape in ((m, k), (k, n)))
    seconds = []
    for _ in range(repeats + 2):  # the first choose their algorithm
        _wait(device)
        begun = time.perf_counter()
        left @ right
        _wait(device)
        seconds.append(time.perf_counter() - begun)
    return 2 * m * k * n / float(np.median(seconds[2:]))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def step(sizes: Sizes, device: torch.device, batch: int) -> dict[str, Any]:
    """Steps of each preset at one batch size, in turns, bf16 with dropout, the teacher cached.

    Returns:
        For each preset the median milliseconds, the paired ratio to plain steps, operations of its matrix products, the
        share of the measured peak that they are, and the most memory that the card held.
    """
    seconds: dict[str, list[float]] = {preset: [] for preset in PRESETS}
    memory: dict[str, int | None] = {}
    with tempfile.TemporaryDirectory() as folder:

        def make(preset: str, steps: int) -> Any:
            sized = {"steps": steps, "batch": batch, "rows": sizes.rows}
            return make_trainer(sizes, preset, device, **sized, precision="bf16", cache_dir=folder, dropout=DROPOUT)

        operations = {preset: float(np.mean(count_operations(make(preset, 2)))) for preset in PRESETS}
        for turn in range(ROUNDS):
            for preset in PRESETS[:: 1 if turn % 2 == 0 else -1]:  # who is first changes
                trainer = make(preset, sizes.steps)
                if device.type == "cuda":
                    torch.cuda.reset_peak_memory_stats(device)
                seconds[preset] += time_steps(trainer)
                memory[preset] = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
                del trainer
    peak = measure_peak(device, torch.bfloat16, small=min(sizes.batches) < 32)
    said = {}
    for preset, found in seconds.items():
        spread = Spread.of(found)
        said[preset] = {
            "milliseconds": 1e3 * spread.median,
            "ratio_to_plain": paired_ratio(found, seconds[PLAIN]).median,
            "operations": operations[preset],
            "share_of_peak": operations[preset] / spread.median / peak,
            "peak_memory": memory[preset],
        }
    return {"batch": batch, "dtype": "bf16", "peak_flops_per_second": peak, "steps": said}
