"""The machine: device and precision, free memory, processes, workers and seeds. Knows nothing of distillation."""

from codir.system.device import autocast, default_device, resolve_dtype, weights_cast_once
from codir.system.machine import free_disk, free_memory
from codir.system.processes import gather, gather_with_gradient, is_distributed
from codir.system.seeding import seeded
from codir.system.workers import Broken, work_in_turn, work_side_by_side

__all__ = [
    "Broken",
    "autocast",
    "default_device",
    "free_disk",
    "free_memory",
    "gather",
    "gather_with_gradient",
    "is_distributed",
    "resolve_dtype",
    "seeded",
    "weights_cast_once",
    "work_in_turn",
    "work_side_by_side",
]
