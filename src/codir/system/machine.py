"""What the machine has free, in bytes. Knows torch and nothing of codir's rooms."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import torch

PROC_MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")


def free_memory(device: torch.device | None = None) -> int:
    """Bytes free where tensors of this device live: of the accelerator that tells, else of the main memory.

    Linux says what is available to a process that asks now, and a container what it may take (cgroup v2); the smaller
    of the two counts. Elsewhere all of the main memory counts as free, and a system that does not tell even that as
    large enough for anything.
    """
    if device is not None and device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return min(_available(PROC_MEMINFO), _left_to_container(CGROUP))


def free_disk(folder: Path) -> int:
    """Bytes free on the disk that holds this folder, or will hold it once it is made."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(there).free


def readable_bytes(count: float) -> str:
    """Bytes for people, in powers of 1000.

    Example:
        >>> readable_bytes(812), readable_bytes(4_367_360), readable_bytes(18_200_000_000)
        ('812 bytes', '4.4 MB', '18.2 GB')
    """
    for size, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} bytes"


def _available(meminfo: Path) -> int:
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return sys.maxsize


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
