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

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from codir.errors import UserError

Pooling = Literal["mean", "cls"]
TokenPosition = Literal["first", "last"]
NegativeStrategy = Literal["auto", "other_class", "distant", "any", "mixed", "neighbours"]
NegativeSource = Literal["dataset", "batch"]
MemoryKind = Literal["auto", "bank", "queue", "momentum"]
MemoryDtype = Literal["float32", "float16"]

IGNORED_CLASS = -100
"""The class label of a row that has none (PyTorch's `ignore_index`). Rows without a score carry NaN."""

LayerChoice = Literal["all", "last"] | tuple[int, ...]
"""Which layers: 1-based, where layer `l` is `hidden_states[l]` and 0 would be the embedding output."""


@dataclass(frozen=True)
class Representation:
    """What one vector per example is made of: which layers, pooled how."""

    layers: LayerChoice = "all"
    pooling: Pooling = "mean"


@dataclass(frozen=True)
class ModelShape:
    """Sizes of one model that an objective may have to know.

    Attributes:
        num_layers: above the embeddings.
        hidden: width.
        heads: attention heads; 0 where the model has no attention.
        classes: classes, or 1 for a score; 0 where the model is no classifier.
        vocabulary: tokens that its language-model head chooses from; 0 where it has none.
    """

    num_layers: int
    hidden: int
    heads: int
    classes: int
    vocabulary: int = 0


@dataclass(frozen=True)
class NegativeNeeds:
    """How many negatives an objective wants per anchor, of which kind, and from which memory.

    Attributes:
        count: rows to draw for each group; 0 where they are not drawn.
        strategy: which rows may be negatives.
        score_distance: for scores, how far is far.
        source: rows of the whole data set, or the other rows of the step.
        from_student: student vectors are looked up in a memory.
        from_teacher: teacher representations are looked up by index.
        banked: the teacher's vectors have a bank too, and positives are read from the banks as well.
        teacher_queued: the teacher's vectors have a queue, which takes the place of looking them up by index.
        needs_classes: positives are examples of one class, so there have to be classes.
        hard_pool: how many times more rows `count` is than negatives are kept of it.
        memory: of student vectors.
        memory_dtype: of stored vectors.
        bank_momentum: share of the old vector that a slot keeps.
        queue_size: entries of the queue.
        encoder_momentum: how slowly the copy follows that fills a queue of kind `momentum`.
    """

    count: int
    strategy: NegativeStrategy = "auto"
    score_distance: float | None = None
    source: NegativeSource = "dataset"
    from_student: bool = True
    from_teacher: bool = False
    banked: bool = False
    teacher_queued: bool = False
    needs_classes: bool = False
    hard_pool: int = 1
    memory: MemoryKind = "auto"
    memory_dtype: MemoryDtype = "float32"
    bank_momentum: float = 0.5
    queue_size: int = 65536
    encoder_momentum: float = 0.999

    @property
    def teacher_remembered(self) -> bool:
        """Whether the teacher's vectors are kept in a memory, of either kind."""
        return self.banked or self.teacher_queued


@dataclass(frozen=True)
class Needs:
    """What an objective asks of the models and of memory. The trainer computes this and no more.

    Attributes:
        teacher_logits: the teacher's answers.
        teacher_pooled: representations of the teacher, found in the signal under these very keys.
        student_pooled: the same of the student.
        hidden_states: of all tokens, embedding output and every layer, of both models.
        attention: queries, keys and values of every layer, of both models.
        teacher_token_logits: the teacher's answers at the predicted positions.
        student_token_logits: the same of the student.
        negatives: other examples to be told from.
    """

    teacher_logits: bool = False
    teacher_pooled: frozenset[Representation] = frozenset()
    student_pooled: frozenset[Representation] = frozenset()
    hidden_states: bool = False
    attention: bool = False
    teacher_token_logits: bool = False
    student_token_logits: bool = False
    negatives: NegativeNeeds | None = None

    @property
    def tokens(self) -> bool:
        """Whether anything is asked of single tokens, for which both models must read the same ones."""
        return self.hidden_states or self.attention or self.teacher_token_logits

    @property
    def teacher(self) -> bool:
        """Whether there has to be a teacher at all."""
        return self.teacher_logits or bool(self.teacher_pooled) or self.tokens

    def __or__(self, other: Needs) -> Needs:
        """What two objectives together ask for.

        Raises:
            UserError: both ask for negatives, and for other ones: one run draws and keeps one kind.

        Example:
            >>> first = Needs(student_pooled=frozenset({Representation("last")}), hidden_states=True)
            >>> both = first | Needs(student_pooled=frozenset({Representation("all")}), teacher_logits=True)
            >>> len(both.student_pooled), both.teacher_logits, both.tokens, both.attention
            (2, True, True, False)
        """
        if None not in (self.negatives, other.negatives) and self.negatives != other.negatives:
            raise UserError(
                "objectives",
                expected="one kind of negatives for all objectives of a run",
                got=f"{self.negatives} and {other.negatives}",
                otherwise="one of the two would have been compared with the other's negatives",
                do="give both objectives the same settings for negatives, or leave one out",
            )
        return Needs(
            teacher_logits=self.teacher_logits or other.teacher_logits,
            teacher_pooled=self.teacher_pooled | other.teacher_pooled,
            student_pooled=self.student_pooled | other.student_pooled,
            hidden_states=self.hidden_states or other.hidden_states,
            attention=self.attention or other.attention,
            teacher_token_logits=self.teacher_token_logits or other.teacher_token_logits,
            student_token_logits=self.student_token_logits or other.student_token_logits,
            negatives=self.negatives or other.negatives,
        )


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


def resolve_layers(choice: LayerChoice, num_layers: int) -> tuple[int, ...]:
    """Turn a choice of layers into 1-based layer numbers.

    Example:
        >>> resolve_layers("all", 3), resolve_layers("last", 3), resolve_layers((1, 3), 3)
        ((1, 2, 3), (3,), (1, 3))
    """
    if choice == "all":
        return tuple(range(1, num_layers + 1))
    if choice == "last":
        return (num_layers,)
    if not choice or min(choice) < 1 or max(choice) > num_layers:
        raise UserError(
            "layers",
            expected=f"`all`, `last`, or layer numbers between 1 and {num_layers}",
            got=repr(choice),
            do="name layers that the model has; 1 is the first above the embeddings",
        )
    return tuple(choice)


def token_mask(model_inputs: Mapping[str, Tensor]) -> Bool[Tensor, "batch tokens"]:
    """Which positions hold real tokens; all of them where the tokenizer gives no mask."""
    if "attention_mask" in model_inputs:
        return model_inputs["attention_mask"].bool()
    return torch.ones_like(model_inputs["input_ids"], dtype=torch.bool)


def masked_mean(
    hidden: Float[Tensor, "batch tokens hidden"], mask: Bool[Tensor, "batch tokens"]
) -> Float[Tensor, "batch hidden"]:
    """Average over real tokens: padding changes nothing, and a row without a real token gives zero.

    Summed in fp32, whatever the dtype of `hidden`: a bf16 sum over 128 tokens loses two of its eight bits.

    Example:
        >>> masked_mean(torch.tensor([[[1.0], [3.0], [9.0]]]), torch.tensor([[True, True, False]]))
        tensor([[2.]])
    """
    weights = mask.to(torch.float32)
    shares = weights / weights.sum(dim=1, keepdim=True).clamp(min=1.0)
    return torch.bmm(shares.unsqueeze(1), hidden.float()).squeeze(1)


def token_at(
    hidden: Float[Tensor, "batch tokens hidden"], mask: Bool[Tensor, "batch tokens"], position: TokenPosition
) -> Float[Tensor, "batch hidden"]:
    """Take each row's first or last real token, on whichever side the padding stands.

    `[CLS]` is the first token of BERT and its family, the last of XLNet; a decoder has read the text at its last token.
    """
    places = torch.arange(mask.shape[1], device=mask.device)
    if position == "first":
        chosen = torch.where(mask, places, mask.shape[1] - 1).amin(dim=1)
    else:
        chosen = torch.where(mask, places, 0).amax(dim=1)
    return hidden[torch.arange(len(hidden), device=hidden.device), chosen].float()


def pool_layer(
    hidden: Float[Tensor, "batch tokens hidden"],
    mask: Bool[Tensor, "batch tokens"],
    *,
    pooling: Pooling,
    cls_position: TokenPosition = "first",
) -> Float[Tensor, "batch hidden"]:
    """One vector per example: the mean over its real tokens, or the token that stands for the sequence."""
    return masked_mean(hidden, mask) if pooling == "mean" else token_at(hidden, mask, cls_position)


def pool_representations(
    hidden_states: tuple[Tensor, ...],
    mask: Bool[Tensor, "batch tokens"],
    representations: Iterable[Representation],
    *,
    cls_position: TokenPosition = "first",
) -> dict[Representation, Float[Tensor, "batch layers hidden"]]:
    """Pool the layers of several representations (design §1); one that they share is pooled once.

    Args:
        hidden_states: as `transformers` gives them: embedding output first, then one entry `[batch, tokens, hidden]`
            per layer.
        mask: true at real tokens.
        representations: which layers, pooled how.
        cls_position: where the token of `"cls"` stands.
    """

    @cache
    def pooled(layer: int, pooling: Pooling) -> Tensor:
        return pool_layer(hidden_states[layer], mask, pooling=pooling, cls_position=cls_position)

    def stacked(asked: Representation) -> Tensor:
        layers = resolve_layers(asked.layers, len(hidden_states) - 1)
        return torch.stack([pooled(layer, asked.pooling) for layer in layers], dim=1)

    return {asked: stacked(asked) for asked in representations}
