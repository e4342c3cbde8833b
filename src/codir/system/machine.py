"""What the machine has free, in bytes. Knows torch and nothing of codir's rooms."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import psutil
import torch

CGROUP = Path("/sys/fs/cgroup")


def free_memory(device: torch.device | None = None) -> int:
    """Bytes free where tensors of this device live: on a CUDA device, or else in main memory.

    Of main memory, the smaller of two numbers counts: what the system can give to a process that asks now (psutil), and
    what a container may still take (cgroup v2, which psutil does not look at).
    """
    if device is not None and device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return min(psutil.virtual_memory().available, _left_to_container(CGROUP))


def free_disk(folder: Path) -> int:
    """Bytes free on the disk that holds this folder, or will hold it once it is made."""
    there = next(path for path in (folder, *folder.absolute().parents) if os.path.exists(path))  # never raises
    return shutil.disk_usage(there).free


def _left_to_container(cgroup: Path) -> int:
    """What a container may still take; of what it holds, file pages that were not touched lately can be had back."""
    try:
        limit = int((cgroup / "memory.max").read_text())
        held = int((cgroup / "memory.current").read_text())
        lines = (cgroup / "memory.stat").read_text().splitlines()
    except (OSError, ValueError):  # no such control group, or "max": no limit
        return sys.maxsize
    reclaimable = next((int(line.split()[1]) for line in lines if line.startswith("inactive_file ")), 0)
    return max(limit - held + reclaimable, 0)


INSTRUCTION_SETS = {
    "AVX2": ("avx2",),
    "AVX-512": ("avx512_f",),
    "VNNI": ("avx512_vnni", "avx_vnni"),
    "bf16": ("avx512_bf16", "avx_ne_convert"),
    "AMX": ("amx_tile",),
}
"""What speeds depend on, and the processor's words for it; one of several is enough."""


def instruction_sets() -> list[str]:
    """Those of `INSTRUCTION_SETS` that the processor has; empty where torch cannot tell.

    Example:
        >>> set(instruction_sets()) <= set(INSTRUCTION_SETS)
        True
    """
    capabilities = torch.cpu.get_capabilities()
    return [name for name, words in INSTRUCTION_SETS.items() if any(capabilities.get(word) for word in words)]


def has_vnni() -> bool:
    """Whether the processor sums 8-bit products in 32 bits; without it, pairs of them can overflow 16."""
    return "VNNI" in instruction_sets()
