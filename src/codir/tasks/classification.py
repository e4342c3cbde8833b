"""One class out of several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from numpy.typing import NDArray
from torch import Tensor

from codir.tasks.base import Kind

IGNORED_CLASS = -100
"""The class label of a row that has none (PyTorch's `ignore_index`)."""


class Classification(Kind):
    """One class out of several: cross-entropy, KL to the teacher, the likeliest class."""

    name = "classification"
    problem_type: ClassVar[str | None] = "single_label_classification"
    has_classes = True
    offers = frozenset({"labels", "answers", "one_class"})
    label_dtype = "int64"
    no_label = IGNORED_CLASS
    metrics: tuple[str, ...] = ("accuracy", "macro_f1")
    known_metrics: ClassVar[tuple[str, ...]] = ("accuracy", "f1", "macro_f1", "matthews")
    correlations = frozenset({"matthews"})
    agreement = ("accuracy", "share of rows where both models answer the same")
    strategy = "other_class"
    floor_name = "largest class"
    dealt = "stratified by class"

    def classes_in(self, label: Any) -> Iterable[int]:
        """The class itself."""
        return () if label == IGNORED_CLASS else (int(label),)

    def stratum(self, label: Any) -> float:
        """The class."""
        return float(label)

    def hard_loss(
        self, logits: Float[Tensor, "batch classes"], labels: Int[Tensor, " batch"] | Float[Tensor, " batch"]
    ) -> Float[Tensor, ""]:
        """`mean_i CE(logits_i, y_i)` over the labelled rows `i`."""
        total = F.cross_entropy(logits, labels, ignore_index=IGNORED_CLASS, reduction="sum")
        return total / (labels != IGNORED_CLASS).sum().clamp(min=1)

    def soft_loss(
        self, student: Float[Tensor, "batch classes"], teacher: Float[Tensor, "batch classes"], *, temperature: float
    ) -> Float[Tensor, ""]:
        """`T^2 KL(softmax(teacher / T) || softmax(student / T))`, mean over rows."""
        student_log_probs = F.log_softmax(student / temperature, dim=1)
        teacher_log_probs = F.log_softmax(teacher / temperature, dim=1)
        divergence = F.kl_div(student_log_probs, teacher_log_probs, reduction="batchmean", log_target=True)
        return temperature**2 * divergence

    def answers(self, logits: Float[np.ndarray, "rows ..."]) -> Shaped[np.ndarray, " rows"]:
        """The likeliest class."""
        return logits.argmax(axis=-1)

    def probabilities(self, logits: Float[np.ndarray, "rows classes"]) -> Float[np.ndarray, "rows classes"] | None:
        """The softmax of the logits."""
        powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    def floor(self, labels: NDArray[np.generic]) -> NDArray[np.generic]:
        """The largest class."""
        classes, counts = np.unique(labels, return_counts=True)
        return np.full_like(labels, classes[counts.argmax()])

    def variation(self, answers: NDArray[np.generic], labels: NDArray[np.generic]) -> float:
        """Rows outside the commonest answer, over those outside the largest class."""
        outside = [len(found) - np.unique(found, return_counts=True)[1].max() for found in (answers, labels)]
        return float(outside[0] / max(outside[1], 1))

    def in_words(self, answer: Any, names: Mapping[int, str]) -> str:
        """The name of the class, in quotes."""
        return f"'{names.get(int(answer), int(answer))}'"

    def written(self, answers: NDArray[np.generic], names: Sequence[str]) -> list[str | float]:
        """The names of the classes."""
        return [names[int(answer)] for answer in answers]

    def groups(self, labels: NDArray[np.generic], names: Mapping[int, str]) -> list[str]:
        """The name of its class."""
        return [names[int(label)] for label in labels]

    def fitted(self, labels: NDArray[np.generic], outputs: int) -> str | None:
        """Class indices as they are, if the model has them all."""
        if labels.dtype.kind not in "iu" or not np.isin(labels, [IGNORED_CLASS, *range(outputs)]).all():
            return None
        return str(labels.dtype)

    def misfit(self, labels: NDArray[np.generic], outputs: int) -> int:
        """The first with an index that the model does not have."""
        if labels.dtype.kind not in "iu":
            return 0
        return int(np.argmin(np.isin(labels, [IGNORED_CLASS, *range(outputs)])))

    def labels_in_words(self, outputs: int) -> str:
        """Such as `class indices from 0 to 2 (-100 for none)`."""
        return f"class indices from 0 to {outputs - 1} ({IGNORED_CLASS} for none)"

    def outputs_in_words(self, outputs: int) -> str:
        """Such as `3 classes`."""
        return f"{outputs} classes"

    def places(self, labels: NDArray[np.generic]) -> NDArray[np.float64]:
        """The class index."""
        return np.where(labels == IGNORED_CLASS, np.nan, labels).astype(np.float64)

    def radius(self, places: NDArray[np.float64], asked: float | None) -> float:
        """Only rows of one class are alike."""
        return 0.0
