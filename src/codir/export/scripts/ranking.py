"""What `infer.py` says of the candidates of a query."""

from collections.abc import Iterator
from typing import Any

import numpy as np


def say(rows: list[Any], read: list[Any], answers: np.ndarray, record: dict[str, Any]) -> Iterator[str]:
    """The score of each candidate and the candidate, the best one first."""
    for place in np.argsort(-answers[:, 0], kind="stable"):
        yield f"{answers[place, 0]:.4f} {rows[place][1]}"
