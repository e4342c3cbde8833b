"""What one model scores and costs."""

from __future__ import annotations

from dataclasses import dataclass

from codir.measure.cost import Latency


@dataclass(frozen=True)
class ModelResult:
    """What one model scores and costs.

    Attributes:
        metrics: fractions or correlations, by name.
        parameters: how many it has; `None` of a file of answers.
        bytes: size of its weights on disk; `None` of a file of answers.
        sentences_per_second: in batches; `None` where it was not measured.
        latency: of one sentence alone; `None` where it was not measured.
    """

    metrics: dict[str, float]
    parameters: int | None
    bytes: int | None
    sentences_per_second: float | None
    latency: Latency | None = None
