"""From which probability on a label is answered: one threshold for each label, tuned on rows and kept with the model.

Logits are moved by them once, where a model was asked, so that everything behind counts from a probability of 0.5 on.
Knows numbers and what a configuration names; knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped
from numpy.typing import NDArray

from codir.errors import UserError

THRESHOLDS = "codir_thresholds"
"""Where a model's configuration has them."""
USUAL, NEAREST = 0.5, 1e-4
"""The threshold of a label that no row has; and how near to 0 or 1 one may be."""


def thresholds_of(config: Any) -> tuple[float, ...] | None:
    """Those that a model's configuration has, or a mapping like it, in the order of its labels; `None` where none are.

    Raises:
        UserError: one of them is not a number above 0 and below 1.

    Example:
        >>> thresholds_of({"codir_thresholds": [0.5, 0.2]}), thresholds_of({})
        ((0.5, 0.2), None)
    """
    found = config.get(THRESHOLDS) if isinstance(config, Mapping) else getattr(config, THRESHOLDS, None)
    if found is None:
        return None
    if not isinstance(found, list | tuple) or not all(
        isinstance(share, int | float) and 0 < share < 1 for share in found
    ):
        raise UserError(
            f"config.json, `{THRESHOLDS}`",
            expected="a list of probabilities above 0 and below 1, one for each label",
            got=repr(found),
            otherwise="a label would have been answered always or never",
            do=f"write {NEAREST} for nearly always and {1 - NEAREST} for nearly never, or remove `{THRESHOLDS}`",
        )
    return tuple(map(float, found))


def forget(config: Any) -> None:
    """Take them out of a configuration: those of a model whose head is to learn other answers are no longer its own."""
    if hasattr(config, THRESHOLDS):
        delattr(config, THRESHOLDS)


def move(
    logits: Float[np.ndarray, "rows labels"], thresholds: Sequence[float] | None
) -> Float[np.ndarray, "rows labels"]:
    """The same logits less those of the thresholds: `z - log(t / (1 - t))`, which is 0 where the probability is `t`.

    Args:
        logits: of each label.
        thresholds: of each label, above 0 and below 1; `None` leaves the logits as they are.

    Raises:
        UserError: as many thresholds as there are labels are not there.

    Example:
        >>> move(np.array([[0.0, 0.0]]), [0.5, 0.2]).round(3)
        array([[0.   , 1.386]])
    """
    if thresholds is None:
        return logits
    if len(thresholds) != logits.shape[-1]:
        raise UserError(
            f"config.json, `{THRESHOLDS}`",
            expected=f"{logits.shape[-1]} of them, as many as the model has answers",
            got=str(len(thresholds)),
            do=f"restore the config.json that was saved with the model, or remove `{THRESHOLDS}`",
        )
    return (logits - _logit(thresholds)).astype(logits.dtype)


def move_back(
    logits: Float[np.ndarray, "rows labels"], thresholds: Sequence[float] | None
) -> Float[np.ndarray, "rows labels"]:
    """The logits that `move` was given, whose probabilities are the model's own."""
    return logits if thresholds is None else (logits + _logit(thresholds)).astype(logits.dtype)


def tune(probabilities: Float[np.ndarray, "rows labels"], labels: Shaped[np.ndarray, "rows labels"]) -> list[float]:
    """For each label, the threshold with the best F1 on these rows: in the middle between two rows' probabilities.

    Of equally good ones, the highest. A label that no row has, or all have, keeps 0.5.

    Args:
        probabilities: that a model gives each label.
        labels: 0 or 1.

    Example:
        >>> tune(np.array([[0.1], [0.2], [0.4], [0.3]]), np.array([[0], [0], [1], [1]]))
        [0.25]
    """
    return [_tune(said, true >= 0.5) for said, true in zip(probabilities.T, labels.T, strict=True)]


def _tune(said: NDArray[np.float64], true: NDArray[np.bool_]) -> float:
    if not true.any() or true.all():
        return USUAL
    order = np.argsort(-said, kind="stable")
    found, answered = np.cumsum(true[order]), np.arange(1, len(said) + 1)
    scores = 2 * found / (answered + true.sum())
    after = np.append(said[order][1:], 0.0)
    is_cut = said[order] > after  # rows of one probability are answered together
    best = int(np.where(is_cut, scores, -1.0).argmax())
    return float(np.clip((said[order][best] + after[best]) / 2, NEAREST, 1 - NEAREST))


def _logit(thresholds: Sequence[float]) -> NDArray[np.float64]:
    shares = np.asarray(thresholds, dtype=np.float64)
    return np.log(shares) - np.log1p(-shares)
