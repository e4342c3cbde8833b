"""The values that cross from room to room, and the functions that make one kind of value from another.

Knows torch, and of codir its errors. The axis legend, used in every shape annotation of the project:

    batch      examples of one batch                     layers     chosen layers of one model
    tokens     positions of the padded sequence          hidden     width of one model
    classes    classes, or 1 for a score                 width      layers * hidden: one concatenated representation
    dim        P, width of the projected contrast space  negatives  K, negatives of one group
    heads      attention heads of one model              head_dim   width of one head
    groups     sets of negatives shared inside a batch   examples   N, rows of the training set
    queued     entries that the queue holds              gathered   rows of a step in all processes
    predicted  positions of a batch to be predicted      vocabulary tokens that a language model chooses from
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Bool, Float, Int
from torch import Tensor

from codir.signals.needs import Representation

IGNORED_CLASS = -100
"""The class label of a row that has none (PyTorch's `ignore_index`). Rows without a score carry NaN."""


@dataclass(frozen=True)
class Batch:
    """One training batch, student side: what the model reads, and who the examples are.

    Attributes:
        model_inputs: `input_ids`, `attention_mask` and whatever else the student's tokenizer gives.
        example_index: row of each example in the training set.
        labels: class indices (`IGNORED_CLASS` where a row has none) or scores (NaN where a row has none).
        negative_index: rows of the training set that serve as negatives, one set per group; `None` without contrast.
        negative_group: which of those sets belongs to each example.
        token_labels: which token is to be predicted at each position, `IGNORED_CLASS` where none is; `None` where the
            task is another than to predict tokens.
    """

    model_inputs: Mapping[str, Tensor]
    example_index: Int[Tensor, " batch"]
    labels: Int[Tensor, " batch"] | Float[Tensor, " batch"] | None = None
    negative_index: Int[Tensor, "groups negatives"] | None = None
    negative_group: Int[Tensor, " batch"] | None = None
    token_labels: Int[Tensor, "batch tokens"] | None = None

    OWN_KEYS = ("labels", "example_index", "negative_index", "negative_group", "token_labels")

    @classmethod
    def from_collated(cls, collated: Mapping[str, Any]) -> Batch:
        """Sort a collated dictionary into what the model reads and what codir reads."""
        own = {key: collated[key] for key in cls.OWN_KEYS if key in collated}
        return cls({key: value for key, value in collated.items() if key not in own}, **own)

    @property
    def predicted(self) -> Bool[Tensor, "batch tokens"] | None:
        """Where a token is to be predicted."""
        return None if self.token_labels is None else self.token_labels != IGNORED_CLASS

    @property
    def predicted_tokens(self) -> Int[Tensor, " predicted"]:
        """Which tokens are to be predicted, row by row, in the order of `token_logits`."""
        assert self.token_labels is not None, "the trainer refuses such objectives without a language-model head"
        return self.token_labels[self.token_labels != IGNORED_CLASS]


@dataclass(frozen=True)
class AttentionInputs:
    """What one layer's attention is computed from: `softmax(query key^T * scaling + mask) value`.

    Attributes:
        query: after any rotation by position.
        key: the same, repeated to the query's heads where several of them share one.
        value: likewise.
        scaling: of the scores, usually `1 / sqrt(head_dim)`.
    """

    query: Float[Tensor, "batch heads tokens head_dim"]
    key: Float[Tensor, "batch heads tokens head_dim"]
    value: Float[Tensor, "batch heads tokens head_dim"]
    scaling: float


@dataclass(frozen=True)
class TokenSignal:
    """What a model says of every token of a batch.

    Attributes:
        mask: true at real tokens.
        hidden_states: embedding output first, then one entry per layer; empty where not asked for.
        attention: one entry per layer; empty where not asked for.
    """

    mask: Bool[Tensor, "batch tokens"]
    hidden_states: tuple[Float[Tensor, "batch tokens hidden"], ...] = ()
    attention: tuple[AttentionInputs, ...] = ()


@dataclass(frozen=True)
class TeacherSignal:
    """What the teacher says of a batch; a cached and a live teacher say the same.

    Attributes:
        logits: of zero classes where there is no teacher, or a language model.
        pooled: the representations that were asked for.
        tokens: where anything was asked of them, on the very tokens that the student reads.
        token_logits: a language model's answers at the predicted positions of all rows, row by row.
    """

    logits: Float[Tensor, "batch classes"]
    pooled: Mapping[Representation, Float[Tensor, "batch layers hidden"]] = field(default_factory=dict)
    tokens: TokenSignal | None = None
    token_logits: Float[Tensor, "predicted vocabulary"] | None = None


@dataclass(frozen=True)
class StudentSignal:
    """What the student says of a batch, with gradients; fields as in `TeacherSignal`."""

    logits: Float[Tensor, "batch classes"]
    pooled: Mapping[Representation, Float[Tensor, "batch layers hidden"]] = field(default_factory=dict)
    tokens: TokenSignal | None = None
    token_logits: Float[Tensor, "predicted vocabulary"] | None = None


@dataclass(frozen=True)
class Negatives:
    """What an anchor must not be matched with: looked up by index, all that a queue holds, or the rows of the step.

    Attributes:
        group: which set of negatives belongs to each example of the batch.
        student_vectors: normalised student projections from the memory bank.
        student_positives: the batch's own, where positives too are read from the bank.
        queued_vectors: normalised student projections from the queue, one set for the whole batch.
        queued_teacher_vectors: normalised teacher projections of the same examples, from a queue of their own.
        queued_allowed: which of these examples are negatives of each group.
        teacher_pooled: the contrast's own teacher representation, not yet projected, so that a head of today does it.
        teacher_vectors: normalised teacher projections from a bank of their own.
        teacher_positives: the batch's own.
        step_negative: which rows of the step, those of all processes in the order of their ranks, are negatives of
            each example.
        step_positive: which of them are the example itself, or of its class.
    """

    group: Int[Tensor, " batch"]
    student_vectors: Float[Tensor, "groups negatives dim"] | None = None
    student_positives: Float[Tensor, "batch dim"] | None = None
    queued_vectors: Float[Tensor, "queued dim"] | None = None
    queued_teacher_vectors: Float[Tensor, "queued dim"] | None = None
    queued_allowed: Bool[Tensor, "groups queued"] | None = None
    teacher_pooled: Float[Tensor, "groups negatives layers hidden"] | None = None
    teacher_vectors: Float[Tensor, "groups negatives dim"] | None = None
    teacher_positives: Float[Tensor, "batch dim"] | None = None
    step_negative: Bool[Tensor, "batch gathered"] | None = None
    step_positive: Bool[Tensor, "batch gathered"] | None = None


@dataclass(frozen=True)
class LossBreakdown:
    """The loss to descend and, unweighted, the terms that it was summed from."""

    total: Float[Tensor, ""]
    terms: dict[str, Float[Tensor, ""]] = field(default_factory=dict)
