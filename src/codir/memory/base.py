"""What every memory is to the rest of the house: it takes one side's vectors of a step, and a checkpoint keeps it.

Knows indices and vectors, and the other processes; knows nothing of models, labels or losses.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from jaxtyping import Float, Int
from torch import Tensor


class Memory(ABC):
    """Vectors of steps gone by: stored in `dtype`, reckoned in float32, the same in every process."""

    @property
    @abstractmethod
    def bytes_per_example(self) -> int:
        """What one more vector takes."""

    @abstractmethod
    def update(self, index: Int[Tensor, " batch"], vectors: Float[Tensor, "batch dim"]) -> None:
        """Take up the vectors of a step, of all processes. They must pass batches of one size."""

    @abstractmethod
    def clear(self) -> None:
        """Forget everything."""

    @abstractmethod
    def state_dict(self) -> dict[str, Tensor]:
        """What a checkpoint keeps."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take up what a checkpoint kept.

        Raises:
            RuntimeError: it is of another size.
            KeyError: it is of another kind.
        """


def take_up(kept: Tensor, saved: Tensor) -> None:
    """Copy a checkpoint's tensor over one of ours.

    Raises:
        RuntimeError: their shapes differ, which `copy_` might have broadcast in silence.
    """
    if kept.shape != saved.shape:
        raise RuntimeError(f"shape {tuple(saved.shape)} instead of {tuple(kept.shape)}")
    kept.copy_(saved)
