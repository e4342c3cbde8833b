"""One score."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from numpy.typing import NDArray
from torch import Tensor

from codir.tasks.base import DIGITS, Kind

THIRDS = ("lowest third", "middle third", "highest third")
"""What scores are sorted into for a picture."""


class Regression(Kind):
    """One score: squared errors, correlations."""

    name = "regression"
    problem_type: ClassVar[str | None] = "regression"
    has_classes = False
    outputs: ClassVar[int | None] = 1
    label_dtype = "float64"
    no_label = math.nan
    metrics = ("pearson", "spearman")
    known_metrics: ClassVar[tuple[str, ...]] = ("pearson", "spearman")
    correlations = frozenset({"pearson", "spearman"})
    agreement = ("pearson", "correlation of the two models' scores")
    order_counts: ClassVar[bool] = True
    strategy = "distant"
    floor_name = "mean score"

    def hard_loss(
        self, logits: Float[Tensor, "batch classes"], labels: Int[Tensor, " batch"] | Float[Tensor, " batch"]
    ) -> Float[Tensor, ""]:
        """`mean_i (s_i - y_i)^2` over the labelled rows `i`."""
        is_labelled = ~torch.isnan(labels)
        errors = torch.where(is_labelled, logits.squeeze(1) - labels, 0.0)  # before the square: NaN * 0 is NaN
        return errors.square().sum() / is_labelled.sum().clamp(min=1)

    def soft_loss(
        self, student: Float[Tensor, "batch classes"], teacher: Float[Tensor, "batch classes"], *, temperature: float
    ) -> Float[Tensor, ""]:
        """Squared error; a temperature has no meaning for scores."""
        return F.mse_loss(student, teacher)

    def answers(self, logits: Float[np.ndarray, "rows ..."]) -> Shaped[np.ndarray, " rows"]:
        """The score itself."""
        return logits.reshape(len(logits))

    def floor(self, labels: NDArray[np.generic]) -> NDArray[np.generic]:
        """The mean score."""
        return np.full(len(labels), np.mean(labels.astype(np.float64)))

    def variation(self, answers: NDArray[np.generic], labels: NDArray[np.generic]) -> float:
        """The answers' standard deviation over the labels'; 1 where the labels have none."""
        of_answers, of_labels = (float(np.std(found.astype(np.float64))) for found in (answers, labels))
        return of_answers / of_labels if of_labels else 1.0

    def in_words(self, answer: Any, names: Mapping[int, str]) -> str:
        """The number."""
        return f"{float(answer):.3g}"

    def written(self, answers: NDArray[np.generic], names: Sequence[str]) -> list[str | float]:
        """The numbers, rounded."""
        return [round(number, DIGITS) for number in answers.astype(np.float64).tolist()]

    def groups(self, labels: NDArray[np.generic], names: Mapping[int, str]) -> list[str]:
        """The third of the scores that its own lies in."""
        cuts = np.quantile(labels.astype(float), [1 / 3, 2 / 3])
        return [THIRDS[int(place)] for place in np.searchsorted(cuts, labels.astype(float), side="left")]

    def start(self, labels: NDArray[np.generic]) -> tuple[float, float] | None:
        """Those of the scores."""
        scores = labels.astype(np.float64)
        return float(np.nanmean(scores)), float(np.nanstd(scores))

    def fitted(self, labels: NDArray[np.generic], outputs: int) -> str | None:
        """Numbers become single-precision floats."""
        return "float32" if labels.dtype.kind in "fiu" else None

    def labels_in_words(self, outputs: int) -> str:
        """`scores`."""
        return "scores"

    def outputs_in_words(self, outputs: int) -> str:
        """`one score`."""
        return "one score"

    def places(self, labels: NDArray[np.generic]) -> NDArray[np.float64]:
        """The score."""
        return labels.astype(np.float64)

    def radius(self, places: NDArray[np.float64], asked: float | None) -> float:
        """What was asked; one standard deviation of the scores by default."""
        if np.isnan(places).all():
            return 0.0
        return float(np.nanstd(places)) if asked is None else asked
