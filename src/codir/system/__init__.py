"""The machine: device and precision, free memory, processes, workers and seeds. Knows nothing of distillation."""

from codir.system.device import autocast, default_device, resolve_dtype, weights_cast_once
from codir.system.machine import free_disk, free_memory, has_vnni, instruction_sets
from codir.system.processes import (
    check_sharding,
    count_processes,
    gather,
    gather_with_gradient,
    is_distributed,
    is_main_process,
    join_processes,
    leave_processes,
    on_main,
    speaks_for_all,
)
from codir.system.seeding import seeded
from codir.system.workers import Broken, work_in_turn, work_side_by_side

__all__ = [
    "Broken",
    "autocast",
    "check_sharding",
    "count_processes",
    "default_device",
    "free_disk",
    "free_memory",
    "gather",
    "gather_with_gradient",
    "has_vnni",
    "instruction_sets",
    "is_distributed",
    "is_main_process",
    "join_processes",
    "leave_processes",
    "on_main",
    "resolve_dtype",
    "seeded",
    "speaks_for_all",
    "weights_cast_once",
    "work_in_turn",
    "work_side_by_side",
]
