"""What `infer.py` says where a text has any of several labels."""

from collections.abc import Iterator
from typing import Any

import numpy as np


def say(rows: list[Any], read: list[Any], answers: np.ndarray, record: dict[str, Any]) -> Iterator[str]:
    """For each text, or pair of texts, the labels that reach their thresholds, with their probabilities."""
    for logits in answers:
        every = zip(record["labels"], 1 / (1 + np.exp(-logits)), record["thresholds"], strict=True)
        yield ", ".join(f"{label} {share:.4f}" for label, share, least in every if share >= least) or "(none)"
