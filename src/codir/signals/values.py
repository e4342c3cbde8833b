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
    words      words of the longest row of a batch
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Bool, Float, Int
from torch import Tensor

from codir.signals.needs import Representation
from codir.tasks import IGNORED_CLASS


@dataclass(frozen=True)
class Batch:
    """One training batch, student side: what the model reads, and who the examples are.

    Attributes:
        model_inputs: `input_ids`, `attention_mask` and whatever else the student's tokenizer gives.
        example_index: row of each example in the training set.
        labels: class indices (`IGNORED_CLASS` where a row has none) or scores (NaN where a row has none); an array for
            each row in some kinds of task.
        negative_index: rows of the training set that serve as negatives, one set per group; `None` without contrast.
        negative_group: which of those sets belongs to each example.
        word_positions: of words that are answered one by one, the first token of each, -1 for one without any; `None`
            where a row is answered as a whole.
        token_labels: which token is to be predicted at each position, `IGNORED_CLASS` where none is; `None` where the
            task is another than to predict tokens.
        label_weight: how many labels (or tokens to predict) this micro-batch has, over what the micro-batches of the
            step have on average. A mean over this batch's labels times it adds up to the mean over those of the step.
        answer_weight: the same of all that is answered, labelled or not: rows, or words.
        group_weight: the same of groups of rows with something to compare, as the candidates of a query.
    """

    model_inputs: Mapping[str, Tensor]
    example_index: Int[Tensor, " batch"]
    labels: Int[Tensor, "batch ..."] | Float[Tensor, "batch ..."] | None = None
    negative_index: Int[Tensor, "groups negatives"] | None = None
    negative_group: Int[Tensor, " batch"] | None = None
    word_positions: Int[Tensor, "batch words"] | None = None
    token_labels: Int[Tensor, "batch tokens"] | None = None
    label_weight: Float[Tensor, ""] | float = 1.0
    answer_weight: Float[Tensor, ""] | float = 1.0
    group_weight: Float[Tensor, ""] | float = 1.0

    OWN_KEYS = (
        "labels",
        "example_index",
        "negative_index",
        "negative_group",
        "word_positions",
        "token_labels",
        "label_weight",
        "answer_weight",
        "group_weight",
    )

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
        logits: of each row, or of each word of it, minus infinity for one that the model has not read; of zero classes
            where there is no teacher, or a language model.
        pooled: the representations that were asked for.
        tokens: where anything was asked of them, on the very tokens that the student reads.
        token_logits: a language model's answers at the predicted positions of all rows, row by row.
    """

    logits: Float[Tensor, "batch ..."]
    pooled: Mapping[Representation, Float[Tensor, "batch layers hidden"]] = field(default_factory=dict)
    tokens: TokenSignal | None = None
    token_logits: Float[Tensor, "predicted vocabulary"] | None = None


@dataclass(frozen=True)
class StudentSignal:
    """What the student says of a batch, with gradients; fields as in `TeacherSignal`."""

    logits: Float[Tensor, "batch ..."]
    pooled: Mapping[Representation, Float[Tensor, "batch layers hidden"]] = field(default_factory=dict)
    tokens: TokenSignal | None = None
    token_logits: Float[Tensor, "predicted vocabulary"] | None = None


@dataclass(frozen=True)
class Drawn:
    """Rows drawn by their index: K vectors for each group, shared by the examples of that group.

    Attributes:
        vectors: normalised projections from a bank.
        positives: the batch's own vectors from the same bank; `None` where the fresh ones are the positives.
    """

    vectors: Float[Tensor, "groups negatives dim"]
    positives: Float[Tensor, "batch dim"] | None = None


@dataclass(frozen=True)
class Unprojected:
    """Rows drawn by their index, as the teacher gives them: today's head projects them, so no vector is stale.

    Attributes:
        pooled: the contrast's own teacher representation.
    """

    pooled: Float[Tensor, "groups negatives layers hidden"]


@dataclass(frozen=True)
class Answered:
    """Rows drawn by their index: what the teacher answers to them, K for each group.

    Attributes:
        logits: its answers; sentence vectors where that is what it gives.
    """

    logits: Float[Tensor, "groups negatives classes"]


@dataclass(frozen=True)
class Queued:
    """All that a queue holds, one set for the whole batch.

    Attributes:
        vectors: normalised projections.
        allowed: which of them are negatives of each group.
    """

    vectors: Float[Tensor, "queued dim"]
    allowed: Bool[Tensor, "groups queued"]


@dataclass(frozen=True)
class OfTheStep:
    """The other rows of the step, of all processes in the order of their ranks.

    Attributes:
        is_negative: which rows are negatives of each example.
        is_positive: which are the example itself, or of its class.
    """

    is_negative: Bool[Tensor, "batch gathered"]
    is_positive: Bool[Tensor, "batch gathered"]


@dataclass(frozen=True)
class Negatives:
    """What an anchor must not be matched with, by the side that the vectors come from.

    Attributes:
        group: which set of negatives belongs to each example of the batch.
        student: what the teacher's anchors are compared with; `None` where the teacher has no anchors.
        teacher: what the student's anchors are compared with; `None` where the student has none.
    """

    group: Int[Tensor, " batch"]
    student: Drawn | Queued | OfTheStep | None = None
    teacher: Drawn | Unprojected | Answered | Queued | OfTheStep | None = None


@dataclass(frozen=True)
class LossBreakdown:
    """The loss to descend and, unweighted, the terms that it was summed from."""

    total: Float[Tensor, ""]
    terms: dict[str, Float[Tensor, ""]] = field(default_factory=dict)
