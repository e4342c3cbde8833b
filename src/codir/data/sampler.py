"""The order in which training reads its rows: shuffled anew each epoch, rows of one length or of one document together.

An epoch's order depends on the seed and the epoch alone, so that a run resumed in the middle of an epoch reads the rest
of the very same order. The arrangement by length is transformers' own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Sampler
from transformers.trainer_pt_utils import LengthGroupedSampler, get_length_grouped_indices


class EpochLengthGroupedSampler(LengthGroupedSampler):
    """Length-grouped batches whose order is a function of `(seed, epoch)`.

    Args:
        batch_size: rows per optimiser step, of all its micro-batches and processes; groups are cut into such batches.
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


class LongestFirstSampler(Sampler[int]):
    """For evaluation where the order of rows does not count: hardly any padding, and memory peaks at once.

    Args:
        lengths: tokens of each row, shape `[examples]`.

    Example:
        >>> list(LongestFirstSampler(np.array([3, 9, 3, 5])))
        [1, 3, 0, 2]
    """

    def __init__(self, lengths: NDArray[np.int64]) -> None:
        self._rows = np.argsort(-lengths, kind="stable")

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[int]:
        return map(int, self._rows)


RUN_LENGTH = 4
"""Sequences of one document that are read together: few enough that a step still holds several documents."""


class NeighbourSampler(Sampler[int]):
    """Has neighbours in a document meet as each other's negatives, whatever the length of documents.

    Documents are cut into runs of a few consecutive rows, and the runs are shuffled into one line. Read as it is, with
    one lane, it puts the rows of a run into one step, where they are negatives of one another (`source: batch`). With a
    lane for each row of a step it is cut into as many parts, of which every step reads one row each: a run is then read
    in successive steps, so that its earlier rows are in the queue when the later ones come, which those of the same
    step are not. (So are texts laid out for a language model that carries its state from batch to batch.)

    Args:
        documents: of each row, whose rows stand in the order of the text, shape `[examples]`. Kept in 16 bytes a row.
        lanes: 1, or the rows of a step, of all its micro-batches and processes.
        run_length: rows of a run at most.
        seed: of the shuffling.

    Example:
        >>> documents = np.array([7, 7, 7, 8, 8, 8])
        >>> list(NeighbourSampler(documents, lanes=1, run_length=3))  # one document after the other
        [0, 1, 2, 3, 4, 5]
        >>> list(NeighbourSampler(documents, lanes=2, run_length=3))  # in steps of two rows, one of each document
        [0, 3, 1, 4, 2, 5]
    """

    def __init__(
        self, documents: NDArray[np.int64], *, lanes: int, run_length: int = RUN_LENGTH, seed: int = 0
    ) -> None:
        self._rows = np.argsort(documents, kind="stable")
        self._run = _number_runs(documents[self._rows], run_length)
        self.lanes, self.seed = lanes, seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Take the order of this epoch from now on; `accelerate` calls it."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[int]:
        place = np.random.default_rng([self.seed, self.epoch]).permutation(int(self._run[-1]) + 1)
        line = self._rows[np.argsort(place[self._run], kind="stable")]
        whole = len(line) - len(line) % self.lanes  # what is left over makes the last step
        return map(int, np.concatenate([line[:whole].reshape(self.lanes, -1).T.ravel(), line[whole:]]))


def _number_runs(documents: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """The number of the run that each row is of, where rows are in the order of their documents.

    Example:
        >>> _number_runs(np.array([7, 7, 7, 8, 9, 9]), length=2)
        array([0, 0, 1, 2, 3, 3])
    """
    places = np.arange(len(documents))
    begins = np.append(True, documents[1:] != documents[:-1])
    in_document = places - np.maximum.accumulate(np.where(begins, places, 0))
    return np.cumsum(in_document % length == 0) - 1


LOOKED_AT = 64
"""Queries that are looked at for one that fits into what is left of a batch."""


class QuerySampler(Sampler[int]):
    """Has the candidates of a query meet in one batch, as losses over lists of them need.

    Queries are shuffled, and packed into batches of exactly `batch_size` rows. Where no choice of the next ones fills a
    batch, one is cut in two, and each part is a list of its own; so is a query of more candidates than a batch has
    rows. None is cut where all have as many candidates and the batch size is a multiple of it.

    Args:
        queries: which query each row belongs to, shape `[examples]`.
        batch_size: rows of a micro-batch.
        seed: of the shuffling.

    Example:
        >>> sampler = QuerySampler(np.array([7, 8, 7, 8, 9, 9]), batch_size=2, seed=0)
        >>> rows = list(sampler)
        >>> [sorted(rows[start : start + 2]) for start in (0, 2, 4)]
        [[4, 5], [0, 2], [1, 3]]
    """

    def __init__(self, queries: NDArray[np.generic], *, batch_size: int, seed: int = 0) -> None:
        _, place = np.unique(queries, return_inverse=True)
        order = np.argsort(place.reshape(-1), kind="stable")
        self.rows = np.split(order, np.flatnonzero(np.diff(place.reshape(-1)[order])) + 1)
        self.batch_size, self.seed, self.epoch = batch_size, seed, 0

    def __len__(self) -> int:
        return sum(map(len, self.rows))

    def set_epoch(self, epoch: int) -> None:
        """Take the order of this epoch from now on; `accelerate` calls it."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        for batch in self.batches():
            for part in batch:
                yield from part.tolist()

    def count_cut(self) -> int:
        """How many queries are spread over several batches in this epoch."""
        return sum(len(batch) for batch in self.batches()) - len(self.rows)

    def batches(self) -> Iterator[list[NDArray[np.int64]]]:
        """The rows of each batch, query by query; the last batch may be smaller."""
        generator = np.random.default_rng([self.seed, self.epoch])
        shuffled = (generator.permutation(self.rows[query]) for query in generator.permutation(len(self.rows)))
        waiting = list(islice(shuffled, LOOKED_AT))
        while waiting:
            chosen = choose_sum([len(rows) for rows in waiting], self.batch_size)
            batch = [waiting[place] for place in chosen]
            waiting = [rows for place, rows in enumerate(waiting) if place not in {*chosen}]
            room = self.batch_size - sum(map(len, batch))
            if room and waiting:  # none of them fits
                longest = max(range(len(waiting)), key=lambda place: len(waiting[place]))
                batch.append(waiting[longest][:room])
                waiting[longest] = waiting[longest][room:]
            yield batch
            waiting += islice(shuffled, LOOKED_AT - len(waiting))


def choose_sum(sizes: Sequence[int], room: int) -> list[int]:
    """Some of the sizes that add up to `room`, or else to as much as can be; the first one among them where it fits.

    Example:
        >>> choose_sum([3, 4, 2], 5), choose_sum([3, 4, 4], 6), choose_sum([9, 9], 6)
        ([0, 2], [0], [])
    """
    if sizes[0] > room:
        return []
    reached = [1]  # bit `n` is set where the sizes up to this one can add up to `n` beside the first
    left = room - sizes[0]
    for size in sizes[1:]:
        if reached[-1] >> left & 1:
            break
        reached.append((reached[-1] | reached[-1] << size) & ((1 << left + 1) - 1))
    total, chosen = reached[-1].bit_length() - 1, [0]
    for place in range(len(reached) - 1, 0, -1):
        if not reached[place - 1] >> total & 1:
            chosen.append(place)
            total -= sizes[place]
    return sorted(chosen)
