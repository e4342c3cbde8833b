"""Running means of the loss terms between two log lines, kept on the device so that training never waits for them."""

from __future__ import annotations

import torch
from torch import Tensor

from codir.signals import LossBreakdown


class TermMeter:
    """Adds up terms batch by batch; `drain` gives their means and starts anew."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._count = 0

    def add(self, breakdown: LossBreakdown) -> None:
        """Note the terms of one batch."""
        for name, term in breakdown.terms.items():
            self._sums[name] = self._sums.get(name, torch.zeros_like(term)) + term
        self._count += 1

    def drain(self) -> dict[str, Tensor]:
        """Means since the last call, still on the device; empty when nothing was added."""
        means = {name: total / self._count for name, total in self._sums.items()} if self._count else {}
        self._sums, self._count = {}, 0
        return means
