"""State that outlives a batch: vectors of examples seen before, saved and resumed with the trainer."""

from codir.memory.bank import MemoryBank
from codir.memory.base import Memory
from codir.memory.queue import NegativeQueue
from codir.memory.rule import BANK_MEMORY_SHARE, MemoryChoice, MemoryPlace, bank_bytes, choose_memory, queue_bytes

__all__ = [
    "BANK_MEMORY_SHARE",
    "Memory",
    "MemoryBank",
    "MemoryChoice",
    "MemoryPlace",
    "NegativeQueue",
    "bank_bytes",
    "choose_memory",
    "queue_bytes",
]
