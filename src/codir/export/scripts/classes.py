"""What `infer.py` says of classes, and of scores."""

from collections.abc import Iterator
from typing import Any

import numpy as np


def say(rows: list[Any], read: list[Any], answers: np.ndarray, record: dict[str, Any]) -> Iterator[str]:
    """For each text, or pair of texts, the likeliest class with its probability, or the score."""
    for logits in answers:
        shares = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        is_score = len(logits) == 1
        yield f"{logits[0]:.4f}" if is_score else f"{record['labels'][shares.argmax()]} {shares.max():.4f}"
