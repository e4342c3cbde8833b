"""The labels of a whole step, counted: so that a mean over labelled rows is one over the step, not over a micro-batch.

`Trainer` averages the losses of micro-batches and processes, each weighing the same. That is the mean over rows, but
not the mean over labelled rows where some have more of them than others; nor that over queries, where some have more
candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from codir.trainer.rows import Rows


def weigh_labels(step: Sequence[dict[str, Any]], rows: Rows, accelerator: Accelerator) -> None:
    """Write into each micro-batch its `label_weight`: its labels over the mean count of the step's micro-batches.

    And its `group_weight`, the same of groups, where rows belong to any; and its `answer_weight`, where what is
    answered differs in number, as words do.

    Args:
        step: this process's micro-batches of one optimiser step.
        rows: says what is a label, and what a group.
        accelerator: adds up what the processes have.
    """
    if len(step) * accelerator.num_processes <= 1:
        return
    counted = {"label_weight": rows.count_labels, "group_weight": rows.count_groups}
    for name, count in (counted | {"answer_weight": rows.count_answers}).items():
        counts = [count(batch) for batch in step]
        if not any(found is None for found in counts):
            _weigh(step, name, [found for found in counts if found is not None], accelerator)


def _weigh(step: Sequence[dict[str, Any]], name: str, counts: Sequence[Tensor], accelerator: Accelerator) -> None:
    own = torch.stack(list(counts)).to(accelerator.device)
    found, batches = accelerator.gather(torch.stack([own.sum(), own.new_tensor(len(own))])).view(-1, 2).sum(dim=0)
    weights = torch.where(found > 0, own * batches / found, 1.0)  # 1, to the bit, where all have as many
    for batch, weight in zip(step, weights, strict=True):
        batch[name] = weight
