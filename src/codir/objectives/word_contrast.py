"""The contrast over words: the student's view of a word must be the one that fits the teacher's view of it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from codir.config.words import CONTRAST, WORD_CONTRAST
from codir.objectives.base import Objective
from codir.objectives.contrast.checks import check_steps
from codir.objectives.contrast.heads import ProjectionHead
from codir.signals import (
    IGNORED_CLASS,
    Batch,
    LayerChoice,
    ModelShape,
    Needs,
    Negatives,
    StudentSignal,
    TeacherSignal,
    TokenSignal,
    resolve_layers,
)


def word_contrast_loss(
    student_vectors: Float[Tensor, "words dim"],
    teacher_vectors: Float[Tensor, "words dim"],
    tags: Int[Tensor, " words"],
    is_read: Bool[Tensor, " words"],
    *,
    temperature: float = CONTRAST.contrastive_temperature,
) -> Float[Tensor, ""]:
    """`-log( exp(a_i.k_i / tau) / (exp(a_i.k_i / tau) + sum_j exp(a_i.k_j / tau)) )` over words `j` of another tag.

    InfoNCE of CoDIR (Sun et al. 2020, arXiv 2009.14167, eq. 2), where the paper's examples of another class are words
    of another tag. Mean over the anchors `i`, of the student among the teacher's words and of the teacher among the
    student's. An anchor that no word of another tag stands beside has loss 0.

    Args:
        student_vectors: L2-normalised, `[words, dim]`.
        teacher_vectors: L2-normalised, of the same words.
        tags: of the words.
        is_read: which of them count, as anchors and as keys.
        temperature: tau > 0.

    Example:
        >>> same = F.normalize(torch.ones(4, 3), dim=1)
        >>> tags, is_read = torch.tensor([0, 1, 1, 2]), torch.tensor([True, True, True, False])
        >>> round(word_contrast_loss(same, same, tags, is_read).item(), 4)  # (ln(3) + 2 ln(2)) / 3: nothing told apart
        0.8283
    """
    similarities = student_vectors @ teacher_vectors.T / temperature
    own = torch.eye(len(tags), dtype=torch.bool, device=tags.device)
    is_key = own | ((tags[:, None] != tags) & is_read & is_read[:, None])
    right, losses = similarities.diagonal(), []
    for scores in (similarities, similarities.T):
        missed = scores.masked_fill(~is_key, -torch.inf).logsumexp(dim=1) - right
        losses.append(torch.where(is_read, missed, 0.0).sum() / is_read.sum().clamp(min=1))
    return torch.stack(losses).mean()


class WordContrast(Objective):
    """A contrast between the layers of teacher and student at each word of a batch; see `word_contrast_loss`.

    Each side's layers at a word's first token are concatenated and projected by a head of its own. The negatives of a
    word are the words of this batch with another tag: the one that the row says, or else, in rows without tags, the
    teacher's likeliest. Words of the same tag are neither sought nor avoided.

    Unlike `Contrastive`, it has no memory: keys are the words of the micro-batch of one process, and the teacher runs
    live, since one vector per word is more than a cache should hold. Teacher and student must read the same tokens.

    Args:
        contrastive_temperature: tau.
        warmup_steps: optimiser steps over which the weight of this term rises to what it is.
        num_words: words of a batch that are compared at most; drawn at random where there are more.
        teacher_layers: layers of the teacher's view.
        student_layers: layers of the student's view.
        projection_dim: P.

    Raises:
        UserError: when built, for a task without a tag for each word, or layers that a model does not have.
    """

    needs = Needs(
        teacher_logits=True,
        hidden_states=True,
        demands=frozenset({"classes"}),
        of_kind=frozenset({"answers", "words"}),
    )

    def __init__(
        self,
        *,
        contrastive_temperature: float = CONTRAST.contrastive_temperature,
        warmup_steps: int = CONTRAST.warmup_steps,
        num_words: int = WORD_CONTRAST.num_words,
        teacher_layers: LayerChoice = CONTRAST.teacher_layers,
        student_layers: LayerChoice = CONTRAST.student_layers,
        projection_dim: int = CONTRAST.projection_dim,
    ) -> None:
        super().__init__()
        check_steps("warmup_steps", warmup_steps)
        self.temperature, self.warmup_steps, self.num_words = contrastive_temperature, warmup_steps, num_words
        self.teacher_layers, self.student_layers = teacher_layers, student_layers
        self.projection_dim = projection_dim

    def make_weights(self, *, teacher: ModelShape | None, student: ModelShape) -> None:
        """A head for each side."""
        assert teacher is not None, "`needs` asks for one"
        self.of_teacher = resolve_layers(self.teacher_layers, teacher.num_layers)
        self.of_student = resolve_layers(self.student_layers, student.num_layers)
        self.teacher_head = ProjectionHead(len(self.of_teacher) * teacher.hidden, self.projection_dim)
        self.student_head = ProjectionHead(len(self.of_student) * student.hidden, self.projection_dim)

    def forward(
        self, student: StudentSignal, teacher: TeacherSignal, batch: Batch, negatives: Negatives | None
    ) -> Float[Tensor, ""]:
        """The batch's part of the mean over the step's words, labelled or not."""
        positions = batch.word_positions
        assert positions is not None, "`needs` asks for words"
        assert student.tokens is not None, "`needs` asks for them"
        assert teacher.tokens is not None, "`needs` asks for them"
        tags = teacher.logits.argmax(dim=-1)
        if batch.labels is not None:
            labels = F.pad(batch.labels, (0, positions.shape[1] - batch.labels.shape[1]), value=IGNORED_CLASS)
            tags = torch.where(labels == IGNORED_CLASS, tags, labels)
        places = self._drawn(positions.flatten() >= 0)
        loss = word_contrast_loss(
            self.student_head(states_at(student.tokens, positions, places, self.of_student)),
            self.teacher_head(states_at(teacher.tokens, positions, places, self.of_teacher)),
            tags.flatten()[places],
            positions.flatten()[places] >= 0,
            temperature=self.temperature,
        )
        return loss * batch.answer_weight

    def _drawn(self, is_read: Bool[Tensor, " slots"]) -> Int[Tensor, " words"]:
        """Where the words stand that are compared, of all places for words: those that were read come first."""
        if len(is_read) <= self.num_words:
            return torch.arange(len(is_read), device=is_read.device)
        order = torch.rand(len(is_read), device=is_read.device) + ~is_read
        return order.argsort()[: self.num_words]


def states_at(
    tokens: TokenSignal, positions: Int[Tensor, "batch words"], places: Int[Tensor, " chosen"], layers: tuple[int, ...]
) -> Float[Tensor, "chosen layers hidden"]:
    """The hidden states of some layers at some words' first tokens; those of any token for a word without one.

    Args:
        tokens: of a model.
        positions: of each word's first token.
        places: of words, counted through all rows.
        layers: from 1 on.
    """
    rows, at = places // positions.shape[1], positions.flatten()[places].clamp(min=0)
    return torch.stack([tokens.hidden_states[layer][rows, at] for layer in layers], dim=1)
