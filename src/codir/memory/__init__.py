"""State that outlives a batch: vectors of examples seen before, saved and resumed with the trainer."""

from codir.memory.bank import MemoryBank

__all__ = ["MemoryBank"]
