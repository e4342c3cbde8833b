"""`strategy: neighbours`: when it is asked for, when it cannot be, and the order of reading that it brings."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from transformers import TrainingArguments

from codir.data import NeighbourSampler
from codir.errors import UserError
from codir.objectives import Objectives


def asks_for_neighbours(objectives: Objectives) -> bool:
    """Whether sequences of one document are to be negatives of one another, and read close together."""
    negatives = objectives.needs.negatives
    return negatives is not None and negatives.strategy == "neighbours"


def rows_of_a_step(args: TrainingArguments) -> int:
    """Rows between two steps of the optimiser: of all micro-batches, in all processes."""
    return args.train_batch_size * args.gradient_accumulation_steps * args.world_size


def check_neighbours(objectives: Objectives, args: TrainingArguments) -> None:
    """Refuse settings that would keep neighbours from meeting.

    Raises:
        UserError: the settings or the corpus leave neighbours out of reach.
    """
    negatives = objectives.needs.negatives
    if negatives is None or not asks_for_neighbours(objectives):
        return
    if args.train_sampling_strategy != "random":
        raise UserError(
            "training.train_sampling_strategy",
            expected="`random` with `strategy: neighbours`, which brings an order of its own",
            got=f"`{args.train_sampling_strategy}`",
            otherwise="it would have had no effect",
            do="leave it out",
        )
    if negatives.source == "dataset" and negatives.queue_size < rows_of_a_step(args):
        raise UserError(
            "contrastive.queue_size",
            expected=f"with `strategy: neighbours`, at least the rows of a step, {rows_of_a_step(args)}",
            got=str(negatives.queue_size),
            otherwise="a sequence's neighbour, which the step before read, would already have left the queue",
            do="set it to several times that number, or take smaller batches",
        )


def check_documents(documents: NDArray[np.int64]) -> None:
    """Refuse neighbours where every document is one sequence.

    Raises:
        UserError: the settings or the corpus leave neighbours out of reach.
    """
    if len(np.unique(documents)) == len(documents):
        raise UserError(
            "contrastive.strategy",
            expected="for `neighbours`, a document of at least two sequences",
            got=f"{len(documents):,} sequences, each of a document or of several whole ones",
            otherwise="there would have been no neighbours, and the strategy would have been `any`",
            do="take shorter sequences (`corpus.max_length`), or `strategy: other_class`",
        )


def build_neighbour_sampler(
    documents: NDArray[np.int64], objectives: Objectives, args: TrainingArguments
) -> NeighbourSampler:
    """Neighbours in one step where the step's rows are the keys, in successive ones where a queue holds them."""
    negatives = objectives.needs.negatives
    assert negatives is not None
    return NeighbourSampler(
        documents,
        lanes=1 if negatives.source == "batch" else rows_of_a_step(args),
        seed=args.seed if args.data_seed is None else args.data_seed,
    )
