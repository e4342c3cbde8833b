"""New weights that follow from a seed alone, whatever was drawn before. Knows torch and nothing of codir's rooms."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the CPU generator, where new weights are drawn, and give the caller's random state back afterwards.

    Example:
        >>> drawn = []
        >>> for _ in range(2):
        ...     with seeded(3):
        ...         drawn.append(torch.randn(2))
        >>> torch.equal(*drawn)
        True
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
