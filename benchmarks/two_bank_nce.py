"""What the contrast is compared with: noise-contrastive estimation with two banks, straight from the papers.

Tian et al. 2020 (CRD, arXiv 1910.10699) on the memory bank of Wu et al. 2018 (arXiv 1805.01978, §3). Every example
draws negatives of its own. Knows nothing of codir but the projection heads, so that both systems pay for the same.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from codir.objectives.contrast.heads import ProjectionHead

TINY = 1e-7
"""Keeps a logarithm away from 0."""


class TwoBankNCE(nn.Module):
    """Each side is told from K stored vectors of the other side, by a binary question per pair.

    Args:
        labels: class of each of the N rows.
        num_negatives: K, drawn per example from the rows of other classes, without replacement where there are enough.
        teacher_width: of the concatenated teacher layers.
        student_width: of the concatenated student layers.
        dim: P.
        temperature: tau.
        momentum: share of the old vector that an update keeps.
    """

    teacher_bank: Tensor
    student_bank: Tensor

    def __init__(
        self,
        labels: NDArray[np.int64],
        *,
        num_negatives: int,
        teacher_width: int,
        student_width: int,
        dim: int = 128,
        temperature: float = 0.07,
        momentum: float = 0.5,
    ) -> None:
        super().__init__()
        self.labels, self.num_negatives = labels, num_negatives
        self.temperature, self.momentum = temperature, momentum
        self.teacher_head, self.student_head = ProjectionHead(teacher_width, dim), ProjectionHead(student_width, dim)
        self.others = {int(label): np.flatnonzero(labels != label) for label in np.unique(labels)}
        for side in ("teacher", "student"):
            self.register_buffer(f"{side}_bank", _random_unit_vectors(len(labels), dim))
        self.constants: dict[str, float] = {}

    def draw(self, example_index: NDArray[np.int64]) -> Tensor:
        """Every example's own row, then K rows of other classes: `[batch, K + 1]`."""
        drawn = np.empty((len(example_index), self.num_negatives + 1), np.int64)
        for place, row in enumerate(example_index):
            pool = self.others[int(self.labels[row])]
            drawn[place, 0] = row
            drawn[place, 1:] = np.random.choice(pool, self.num_negatives, replace=self.num_negatives > len(pool))
        return torch.from_numpy(drawn)

    def forward(self, teacher_pooled: Tensor, student_pooled: Tensor, example_index: NDArray[np.int64]) -> Tensor:
        """The loss of both directions; both banks are updated on the way."""
        drawn, own = self.draw(example_index), torch.from_numpy(example_index)
        teacher, student = self.teacher_head(teacher_pooled), self.student_head(student_pooled)
        loss = self._tell_apart("teacher", teacher, self.student_bank, drawn)
        loss = loss + self._tell_apart("student", student, self.teacher_bank, drawn)
        self._update(self.teacher_bank, own, teacher)
        self._update(self.student_bank, own, student)
        return loss

    def _tell_apart(self, side: str, anchors: Tensor, bank: Tensor, drawn: Tensor) -> Tensor:
        """`-log h(own) - sum_k log(1 - h(k))`, mean over anchors; `h = p / (p + K / N)`, `p = exp(a.m / tau) / Z`."""
        keys = torch.index_select(bank, 0, drawn.flatten()).view(*drawn.shape, -1)
        scores = torch.exp(torch.bmm(keys, anchors.unsqueeze(2)).squeeze(2) / self.temperature)
        if side not in self.constants:  # Z is estimated from the first batch, then kept (Wu et al., §3.2)
            self.constants[side] = float(scores.detach().mean()) * len(bank)
        probabilities = scores / self.constants[side]
        noise = self.num_negatives / len(bank)
        own = torch.log(probabilities[:, 0] / (probabilities[:, 0] + noise + TINY))
        others = torch.log(noise / (probabilities[:, 1:] + noise + TINY))
        return -(own.sum() + others.sum()) / len(anchors)

    @torch.no_grad()
    def _update(self, bank: Tensor, own: Tensor, vectors: Tensor) -> None:
        mixed = self.momentum * torch.index_select(bank, 0, own) + (1 - self.momentum) * vectors
        bank.index_copy_(0, own, F.normalize(mixed, dim=1))


def _random_unit_vectors(rows: int, dim: int, block: int = 65_536) -> Tensor:
    """A bank that starts as noise; blocks are repeated, since 10 million rows of fresh noise would take a while."""
    noise = F.normalize(torch.randn(min(rows, block), dim), dim=1)
    bank = torch.empty(rows, dim)
    for start in range(0, rows, block):
        bank[start : start + block] = noise[: rows - start]
    return bank
