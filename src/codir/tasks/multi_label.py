"""Several labels at once, each of which a row has or has not."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Shaped
from numpy.typing import NDArray
from torch import Tensor

from codir.tasks import label_sets, thresholds
from codir.tasks.base import Kind, Metric, Weighted

NONE = "(none)"
"""What a row without any of the labels is called."""
SEPARATOR = ", "


class MultiLabel(Kind):
    """Any of several labels: a sigmoid for each, binary cross-entropy, the labels that are likely enough.

    A row's label is a list of 0 and 1, one for each label; NaN where it is not known. An answer is a list of
    probabilities, in which a label is answered from 0.5 on; where a model has thresholds of its own, its logits were
    moved first so that they lie there (`codir.tasks.thresholds`).
    """

    name = "multi_label"
    problem_type = "multi_label_classification"
    has_classes = True
    cell = "set"
    label_dtype = "float64"
    no_label = math.nan
    metrics = ("micro_f1", "macro_f1", "average_precision")
    known_metrics = ("micro_f1", "macro_f1", "average_precision", "subset_accuracy")
    own_metrics: Mapping[str, Metric] = label_sets.METRICS
    own_weighted: Mapping[str, Weighted] = label_sets.WEIGHTED
    agreement = ("subset_accuracy", "share of rows where both models answer the same labels")
    strategy = "disjoint"
    floor_name = "most frequent labels"
    pipeline_arguments = ("top_k=None",)
    tuned_in_words = "the thresholds of the labels were"
    script = "labels"

    # ---- Labels ----

    def label_shape(self, outputs: int) -> tuple[int | None, ...]:
        """One number for each label."""
        return (outputs,)

    def unlabelled(self, outputs: int) -> Any:
        """None of them is known."""
        return [math.nan] * outputs

    def classes_in(self, label: Any) -> Iterable[int]:
        """Those that the row has."""
        return np.flatnonzero(label_sets.has(np.asarray(label, np.float64))).tolist()

    def fitted(self, labels: NDArray[np.generic], outputs: int) -> str | None:
        """Single-precision floats, where there is a number from 0 to 1 for each output."""
        if labels.ndim != 2 or labels.shape[1] != outputs or labels.dtype.kind not in "fiub":
            return None
        return "float32" if not _out_of_range(labels).any() else None

    def misfit(self, labels: NDArray[np.generic], outputs: int) -> int:
        """The first with a number that is no share."""
        return (
            int(np.argmax(_out_of_range(labels).any(axis=1))) if labels.ndim == 2 and labels.dtype.kind in "fiu" else 0
        )

    def labels_in_words(self, outputs: int) -> str:
        """Such as `lists of 6 numbers, 0 or 1 for each label (NaN for unknown)`."""
        return f"lists of {outputs} numbers, 0 or 1 for each label (NaN for unknown)"

    def outputs_in_words(self, outputs: int) -> str:
        """Such as `any of 6 labels`."""
        return f"any of {outputs} labels"

    # ---- Losses ----

    def hard_loss(
        self, logits: Float[Tensor, "batch classes"], labels: Float[Tensor, "batch classes"]
    ) -> Float[Tensor, ""]:
        """`mean_i mean_k BCE(logits_ik, y_ik)` over the labelled rows `i` and the labels `k` that are known of each."""
        is_known = ~torch.isnan(labels)
        targets = torch.where(is_known, labels, 0.0)
        losses = F.binary_cross_entropy_with_logits(logits, targets, reduction="none") * is_known
        of_rows = losses.sum(dim=1) / is_known.sum(dim=1).clamp(min=1)
        return of_rows.sum() / self.is_labelled(labels).sum().clamp(min=1)

    def soft_loss(
        self, student: Float[Tensor, "batch classes"], teacher: Float[Tensor, "batch classes"], *, temperature: float
    ) -> Float[Tensor, ""]:
        """`T^2 KL(Bernoulli(sigmoid(teacher / T)) || Bernoulli(sigmoid(student / T)))`, mean over labels and rows.

        Hinton et al. 2015 (arXiv 1503.02531), §2, for two classes whose logits are `z` and 0. A mean over labels, where
        theirs is over one distribution, so that a weight means the same for six labels and for sixty.
        """
        theirs, ours = teacher / temperature, student / temperature
        likely, unlikely = theirs.sigmoid(), (-theirs).sigmoid()
        divergence = likely * (F.logsigmoid(theirs) - F.logsigmoid(ours))
        divergence = divergence + unlikely * (F.logsigmoid(-theirs) - F.logsigmoid(-ours))
        return temperature**2 * divergence.mean()

    # ---- Answers ----

    def answers(self, logits: Float[np.ndarray, "rows ..."]) -> Shaped[np.ndarray, "rows ..."]:
        """How likely each label is."""
        return _sigmoid(logits)

    def probabilities(self, logits: Float[np.ndarray, "rows ..."]) -> Float[np.ndarray, "rows ..."] | None:
        """The sigmoid of each logit."""
        return _sigmoid(logits)

    def logits_of(self, probabilities: Float[np.ndarray, "rows ..."]) -> Float[np.ndarray, "rows ..."]:
        """`log(p / (1 - p))` of each label."""
        return np.log(probabilities) - np.log1p(-probabilities)

    def distances(
        self, logits: Float[np.ndarray, "rows ..."], others: Float[np.ndarray, "rows ..."]
    ) -> Float[np.ndarray, " rows"]:
        """`mean_k |p_k - q_k|`, from 0 to 1: the mean over labels of how far the probabilities are apart."""
        return np.abs(_sigmoid(logits) - _sigmoid(others)).mean(axis=1)

    def tuned(self, logits: Float[np.ndarray, "rows ..."], labels: NDArray[np.generic]) -> dict[str, Any]:
        """From which probability on each label is answered."""
        return {thresholds.THRESHOLDS: thresholds.tune(_sigmoid(logits), labels)}

    def settings_in_words(self, config: Any) -> dict[str, str]:
        """The thresholds by label."""
        found = thresholds.thresholds_of(config) or ()
        shown = [f"{config.id2label[index]} {share:.3f}" for index, share in enumerate(found)]
        return {"thresholds": f"{SEPARATOR.join(shown)} (`{thresholds.THRESHOLDS}` in config.json)"} if shown else {}

    def exported(self, config: Any) -> dict[str, Any]:
        """The thresholds; 0.5 where they were never tuned."""
        found = thresholds.thresholds_of(config) or (thresholds.USUAL,) * int(config.num_labels)
        return {"thresholds": [*found]}

    def flags(self, answers: NDArray[np.generic]) -> Bool[np.ndarray, "rows classes"] | None:
        """Whether each label is answered, or there."""
        return label_sets.has(answers)

    def is_constant(self, answers: NDArray[np.generic]) -> bool:
        """Whether every row is answered the same labels."""
        said = label_sets.has(answers)
        return bool((said == said[0]).all())

    def floor(self, labels: NDArray[np.generic]) -> NDArray[np.generic]:
        """The same labels to every row: the most frequent ones, as many as give the best micro F1."""
        return np.broadcast_to(label_sets.best_constant(labels), labels.shape).copy()

    def variation(self, answers: NDArray[np.generic], labels: NDArray[np.generic]) -> float:
        """Rows outside the commonest set of labels that is answered, over those outside the commonest that is true."""
        outside = [
            len(found) - np.unique(label_sets.has(found), axis=0, return_counts=True)[1].max()
            for found in (answers, labels)
        ]
        return float(outside[0] / max(outside[1], 1))

    def in_words(self, answer: Any, names: Mapping[int, str]) -> str:
        """The names of the labels."""
        return SEPARATOR.join(f"'{names.get(index, index)}'" for index in self.classes_in(answer)) or NONE

    def written(self, answers: NDArray[np.generic], names: Sequence[str]) -> list[str | float]:
        """The names of the labels, between commas; nothing where there is none."""
        return [SEPARATOR.join(names[index] for index in self.classes_in(answer)) for answer in answers]

    def groups(self, labels: NDArray[np.generic], names: Mapping[int, str]) -> list[str]:
        """The commonest of its labels."""
        counts = label_sets.has(labels).sum(axis=0)
        of_rows = [[*self.classes_in(label)] for label in labels]
        return [names[max(row, key=lambda index: (counts[index], -index))] if row else NONE for row in of_rows]

    # ---- Negatives ----

    def places(self, labels: NDArray[np.generic]) -> NDArray[np.float64]:
        """What each row has, `[rows, labels + 1]`: its labels, or none of them. Rows that share any are alike."""
        has = label_sets.has(labels)
        places = np.column_stack([has, ~has.any(axis=1)]).astype(np.float64)
        places[np.isnan(labels.astype(np.float64)).all(axis=1)] = np.nan
        return places

    def radius(self, places: NDArray[np.float64], asked: float | None) -> float:
        """Rows are alike that share a label."""
        return 0.0


def _sigmoid(logits: NDArray[Any]) -> NDArray[np.float64]:
    """In double precision, without overflow."""
    wide = logits.astype(np.float64)
    powers = np.exp(-np.abs(wide))
    return np.where(wide >= 0, 1.0, powers) / (1.0 + powers)


def _out_of_range(labels: NDArray[np.generic]) -> NDArray[np.bool_]:
    wide = labels.astype(np.float64)
    return (wide < 0) | (wide > 1) | np.isinf(wide)
