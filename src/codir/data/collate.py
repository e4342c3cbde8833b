"""Rows become a batch: padded to its longest row, with the indices of its negatives beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import DataCollatorWithPadding, PreTrainedTokenizerBase

from codir.data.negatives import NegativeSampler
from codir.data.words import POSITIONS, pad_positions
from codir.tasks import Kind


class DistillationCollator:
    """Pads the rows of an encoded data set and draws negatives for them.

    Args:
        tokenizer: pads, and names the columns that the model reads.
        negative_sampler: draws for training batches; `None` for evaluation or without contrast.
        kind: of the task, which makes a tensor of the labels; without it they are numbers.

    Called on rows, it returns a dictionary of what the model reads and the fields of `codir.signals.Batch`.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        negative_sampler: NegativeSampler | None = None,
        kind: Kind | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.negative_sampler = negative_sampler
        self.kind = kind
        self._pad = DataCollatorWithPadding(tokenizer)

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Collate the rows of one batch."""
        readable = [name for name in self.tokenizer.model_input_names if name in rows[0]]
        batch: dict[str, Tensor] = dict(self._pad([{name: row[name] for name in readable} for row in rows]))
        example_index = np.array([row["example_index"] for row in rows], dtype=np.int64)
        batch["example_index"] = torch.from_numpy(example_index)
        if "labels" in rows[0]:
            labels = [row["labels"] for row in rows]
            batch["labels"] = torch.tensor(labels) if self.kind is None else self.kind.batch(labels)
        if POSITIONS in rows[0]:
            lengths, is_left = [len(row["input_ids"]) for row in rows], self.tokenizer.padding_side == "left"
            before = [batch["input_ids"].shape[1] - length for length in lengths] if is_left else None
            batch[POSITIONS] = pad_positions([row[POSITIONS] for row in rows], before)
        if self.negative_sampler is not None:
            negatives = self.negative_sampler.sample(example_index)
            batch["negative_index"] = torch.from_numpy(negatives.index)
            batch["negative_group"] = torch.from_numpy(negatives.group)
        return batch
