"""The order in which training reads its rows: shuffled anew each epoch, rows of one length together.

The arrangement is transformers' own; what is added is that an epoch's order depends on the seed and the epoch alone, so
that a run resumed in the middle of an epoch reads the rest of the very same order.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from transformers.trainer_pt_utils import LengthGroupedSampler, get_length_grouped_indices


class EpochLengthGroupedSampler(LengthGroupedSampler):
    """Length-grouped batches whose order is a function of `(seed, epoch)`.

    Args:
        batch_size: rows per optimiser step and process; groups are cut into batches of this size.
        lengths: tokens of each row, shape `[examples]`.
        seed: of the shuffling.
    """

    def __init__(self, batch_size: int, lengths: list[int], *, seed: int) -> None:
        super().__init__(batch_size, lengths=lengths)
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Take the order of this epoch from now on; `accelerate` calls it."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        seed = int(
            np.random.SeedSequence([self.seed, self.epoch]).generate_state(1)[0]
        )  # not a sum: (0, 1) is not (1, 0)
        generator = torch.Generator().manual_seed(seed)
        return iter(get_length_grouped_indices(self.lengths, self.batch_size, generator=generator))
