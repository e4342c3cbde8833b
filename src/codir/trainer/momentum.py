"""A copy of student and heads that follows them slowly: what fills a queue whose entries should not grow old."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import TrainerCallback

from codir.memory.base import take_up
from codir.objectives import StagedObjectives
from codir.system import autocast
from codir.trainer.distiller import Distiller


class MomentumCopy:
    """`theta_k <- m theta_k + (1 - m) theta_q` after each step (MoCo, He et al. 2020, arXiv 1911.05722, eq. 2).

    `theta_q` are student and heads, `theta_k` this copy of them, which starts equal, gets no gradient, and reads in
    eval mode. Its vectors go into the queue, so that those of many steps ago were made by nearly the same weights.

    Differs from MoCo in that the positive comes from the student itself and not from the copy: the teacher's view is
    the anchor here, so that a positive without gradient would leave the student nothing to learn from.

    `torch.optim.swa_utils.AveragedModel` follows too, but it prefixes every name and counts its updates in the state:
    the copies of earlier checkpoints would no longer load.

    Args:
        leader: student and objectives, whose weights it follows.
        momentum: m.
        dtype: of the copy's matrix products.
    """

    def __init__(self, leader: Distiller, momentum: float, *, dtype: torch.dtype = torch.float32) -> None:
        self.leader, self.momentum, self.dtype = leader, momentum, dtype
        self.distiller = copy.deepcopy(leader).eval().requires_grad_(False)

    @torch.no_grad()
    def follow(self) -> None:
        """One step after the leader."""
        for weight, new in zip(self.distiller.parameters(), self.leader.parameters(), strict=True):
            weight.mul_(self.momentum).add_(new, alpha=1.0 - self.momentum)
        for buffer, now in zip(self.distiller.buffers(), self.leader.buffers(), strict=True):
            buffer.copy_(now)

    @torch.no_grad()
    def vectors(self, model_inputs: Mapping[str, Tensor]) -> Tensor:
        """The copy's view of a batch, as the queue keeps it."""
        ours, theirs = self.distiller.objectives, self.leader.objectives
        if isinstance(ours, StagedObjectives) and isinstance(theirs, StagedObjectives):
            ours.position = theirs.position
        with autocast(self.distiller.student.device, self.dtype):
            return self.distiller.student_vectors(model_inputs)

    def state_dict(self) -> dict[str, Tensor]:
        """What a checkpoint keeps; a weight that two layers share once."""
        modules = self.distiller
        once = {name for name, _ in (*modules.named_parameters(), *modules.named_buffers())}
        return {name: tensor for name, tensor in modules.state_dict().items() if name in once}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take up the copy of a checkpoint."""
        for name, tensor in self.state_dict().items():
            take_up(tensor, state[name])


class CopyFollows(TrainerCallback):
    """Lets the copy follow whenever the optimiser has stepped.

    Args:
        memories: whose copy it is, if there is one at that time.
    """

    def __init__(self, memories: Any) -> None:
        self.memories = memories

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The weights are new."""
        if self.memories.copy is not None:
            self.memories.copy.follow()
