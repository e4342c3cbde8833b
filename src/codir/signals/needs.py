"""What an objective needs from models and memory. The trainer computes this and no more."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from codir.config.words import CONTRAST, LayerWord, MemoryKind, NegativeSource, NegativeStrategy, Pooling, StoredDtype
from codir.errors import UserError
from codir.tasks import Kind, Offer

TokenPosition = Literal["first", "last"]


LayerChoice = LayerWord | tuple[int, ...]
"""Which layers: 1-based, where layer `l` is `hidden_states[l]` and 0 would be the embedding output."""


Demand = Literal["classes", "vocabulary", "attention", "equal_heads"]
"""What a model must have: as many classes or scores as its teacher, a language-model head, attention, as many heads as
its teacher."""


@dataclass(frozen=True)
class Representation:
    """What one vector per example is made of: which layers, pooled how.

    Attributes:
        layers: which.
        pooling: how.
        principal: where the layers are not given one by one but together, as so many principal components: the teacher
            alone has such, in a space that is fitted once. A signal then has one vector in place of the layers.
    """

    layers: LayerChoice = CONTRAST.teacher_layers
    pooling: Pooling = CONTRAST.pooling
    principal: int | None = None

    @property
    def in_layers(self) -> Representation:
        """The same layers one by one."""
        return replace(self, principal=None)


@dataclass(frozen=True)
class ModelShape:
    """Sizes of one model that an objective may have to know.

    Attributes:
        num_layers: above the embeddings.
        hidden: width.
        heads: attention heads; 0 where the model has no attention.
        classes: classes, or 1 for a score; 0 where the model is no classifier.
        vocabulary: tokens that its language-model head chooses from; 0 where it has none.
        kind: of its task; `None` where it is no classifier, or its outputs alone say it.
    """

    num_layers: int
    hidden: int
    heads: int
    classes: int
    vocabulary: int = 0
    kind: Kind | None = None


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
        from_answers: the teacher's answers are looked up by index.
        banked: the teacher's vectors have a bank too, and positives are read from the banks as well.
        teacher_queued: the teacher's vectors have a queue, which takes the place of looking them up by index.
        needs_classes: positives are examples of one class, so there have to be classes.
        hard_pool: how many times more rows `count` is than negatives are kept of it.
        memory: of student vectors.
        memory_dtype: of stored vectors.
        bank_momentum: share of the old vector that a slot keeps.
        queue_size: entries of the queue.
        encoder_momentum: how slowly the copy follows that fills a queue of kind `momentum`.
        term: which objective of a recipe asks.
    """

    count: int
    strategy: NegativeStrategy = "auto"
    score_distance: float | None = None
    source: NegativeSource = CONTRAST.source
    from_student: bool = True
    from_teacher: bool = False
    from_answers: bool = False
    banked: bool = False
    teacher_queued: bool = False
    needs_classes: bool = False
    hard_pool: int = CONTRAST.hard_pool
    memory: MemoryKind = CONTRAST.memory
    memory_dtype: StoredDtype = CONTRAST.memory_dtype
    bank_momentum: float = CONTRAST.bank_momentum
    queue_size: int = CONTRAST.queue_size
    encoder_momentum: float = CONTRAST.encoder_momentum
    term: str = "contrastive"

    @property
    def looked_up(self) -> bool:
        """Whether a teacher without a cache would have to read the negatives at every step."""
        return self.from_teacher or self.from_answers

    @property
    def teacher_remembered(self) -> bool:
        """Whether the teacher's vectors are kept in a memory, of either kind."""
        return self.banked or self.teacher_queued


@dataclass(frozen=True)
class Needs:
    """What an objective needs from the models and from memory. The trainer computes this and no more.

    Attributes:
        teacher_logits: the teacher's answers.
        teacher_pooled: representations of the teacher, found in the signal under these very keys.
        student_pooled: the same of the student.
        hidden_states: of all tokens, embedding output and every layer, of both models.
        attention: queries, keys and values of every layer, of both models.
        teacher_token_logits: the teacher's answers at the predicted positions.
        student_token_logits: the same of the student.
        negatives: which other examples an anchor must not be matched with.
        demands: what the models must have beside that; see `codir.signals.check_demands`.
        of_kind: what the kind of task must offer; language models have none, and are asked for nothing.
    """

    teacher_logits: bool = False
    teacher_pooled: frozenset[Representation] = frozenset()
    student_pooled: frozenset[Representation] = frozenset()
    hidden_states: bool = False
    attention: bool = False
    teacher_token_logits: bool = False
    student_token_logits: bool = False
    negatives: NegativeNeeds | None = None
    demands: frozenset[Demand] = frozenset()
    of_kind: frozenset[Offer] = frozenset()

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
            demands=self.demands | other.demands,
            of_kind=self.of_kind | other.of_kind,
        )


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
