"""Running means of the loss terms between two log lines, kept on the device so that training never waits for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from codir.signals import LossBreakdown


class TermMeter:
    """Adds up terms batch by batch; `drain` gives their means and starts anew.

    A term's mean is over the batches that had it: from one stage to the next, terms come and go.
    """

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, breakdown: LossBreakdown) -> None:
        """Note the terms of one batch."""
        for name, term in breakdown.terms.items():
            self._sums[name] = self._sums.get(name, torch.zeros_like(term)) + term
            self._counts[name] = self._counts.get(name, 0) + 1

    def drain(self) -> dict[str, Tensor]:
        """Means since the last call, still on the device; empty when nothing was added."""
        means = {name: total / self._counts[name] for name, total in self._sums.items()}
        self._sums, self._counts = {}, {}
        return means

    def state_dict(self) -> dict[str, Any]:
        """What has been added since the last line: of each term its sum and its count."""
        return {"sums": dict(self._sums), "counts": dict(self._counts)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where another meter was."""
        self._sums, self._counts = dict(state["sums"]), dict(state["counts"])
