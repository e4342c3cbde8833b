"""CoDIR's contrast: the student's view of an example must be the one that fits the teacher's view of it."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from codir.config.words import (
    CONTRAST,
    Anchor,
    EstimatorName,
    HeadKind,
    KeyKind,
    MemoryKind,
    NegativeSource,
    NegativeStrategy,
    Pooling,
    StoredDtype,
    TeacherHeadKind,
    keys_for,
)
from codir.errors import UserError
from codir.objectives.base import Objective
from codir.objectives.contrast.checks import (
    IN_QUEUE,
    check_combination,
    check_steps,
    check_teacher_temperature,
    check_word,
)
from codir.objectives.contrast.estimators import ESTIMATORS, build_estimator
from codir.objectives.contrast.heads import HEADS, build_teacher_head
from codir.objectives.contrast.space import ContrastSpace, Side
from codir.objectives.contrast.temperature import Temperature
from codir.objectives.parts.layer_map import match_layers
from codir.signals import (
    Batch,
    LayerChoice,
    ModelShape,
    Needs,
    NegativeNeeds,
    Negatives,
    Representation,
    StudentSignal,
    TeacherSignal,
    Unprojected,
    resolve_layers,
)


class Contrastive(Objective):
    """A contrast between the pooled layers of teacher and student (CoDIR, Sun et al. 2020, arXiv 2009.14167, §3).

    Each side's pooled layers are concatenated and projected by a head of its own, `z_T` and `z_S`.

    - `anchor="teacher"`, the paper's picture: the anchor is `z_T`, the positive the fresh `z_S` of the same example,
      the negatives are student projections from the memory: K drawn from the bank, or all that the queue holds of
      other kinds (MoCo, He et al. 2020, arXiv 1911.05722, §3.2).
    - `anchor="student"`: the anchor is `z_S`, the keys are teacher representations projected by today's head, so that
      nothing is stale. No memory is kept, unless `keys` says so.
    - `anchor="both"`: the mean of the two.

    The default is preset `codir`'s contrast: both anchors, all keys read from banks. Fresh positives beside banked
    negatives fail where the student moves fast, as in fine-tuning: the model can spot old negatives by their age alone,
    so the loss stops teaching.

    Estimator, source of negatives and representation are chosen apart from one another; the presets are combinations:

    - `estimator`: InfoNCE by default; NCE, Jensen-Shannon, supervised contrast, soft targets; each has a file of its
      own.
    - `estimator="soft"`: the student's similarities to all keys must be the teacher's, in place of one right key. With
      `anchor="student"` both are compared with the teacher's keys (SEED), with `anchor="both"` the student also with
      its own keys of the same rows (CompRess). No gradient goes to the teacher's side of the comparison.
    - `source="batch"`: instead of rows of the data set, the other rows of the step, of all processes, are the keys
      (SimCLR, Chen et al. 2020, arXiv 2002.05709); with accumulation, those of the micro-batch.
    - `keys="banked"`: all keys are read from banks with a slot per example, the teacher's too and the positives as
      well, so that all are equally stale; each side learns through its own anchors (CRD, Tian et al. 2020, arXiv
      1910.10699; Wu et al. 2018, arXiv 1805.01978).
    - `keys="queued"`: the student's anchors too meet a queue, of the teacher's vectors of the last steps, so that no
      row is looked up by index: what pre-training needs, where texts are masked anew. The teacher does not move, and
      its vectors age with its head alone.
    - `memory="momentum"`: a queue that a slow copy of student and head fills (MoCo).
    - `per_layer`: one contrast for each matched pair of layers, each with heads of its own, instead of one for the
      concatenation; student layer `l` of M meets teacher layer `ceil(l N / M)` of N.

    Where it departs from the authors' release: mean pooling instead of `[CLS]`, padding never counted, InfoNCE instead
    of NCE with a frozen constant, the mean over examples (theirs divides by the batch once more), negatives shared by
    the examples of a class.

    Args:
        anchor: see above.
        estimator: `info_nce`, `nce`, `jsd`, `supcon` or `soft`.
        contrastive_temperature: tau; of the student's similarities, where targets are soft.
        teacher_temperature: tau_t, of the teacher's similarities where targets are soft; the same tau by default.
        warmup_steps: optimiser steps over which the weight of this term rises to what it is. Heads start from nothing,
            so the first gradients that pass through them say little, and they would decide a short training.
        learned_temperature: train tau, from there.
        num_negatives: K, drawn from the bank and from the teacher's side.
        strategy: which examples may be negatives; `auto` fits it to the labels, `mixed` draws half of them by `auto`
            and half from all examples, `neighbours` takes all and has sequences of one document read close together.
        score_distance: for scores, how far is far; one standard deviation of the training scores by default.
        hard_pool: above 1, draw that many times K, and keep the K that are most similar to the group's mean in the
            teacher's projections; with soft targets, for each example the K nearest to its own, its neighbours.
        source: `dataset` or `batch`.
        teacher_layers: layers of the teacher's representation.
        student_layers: layers of the student's representation.
        pooling: mean over real tokens, or `[CLS]`.
        per_layer: see above.
        head: `linear`, or `mlp` with one hidden layer.
        teacher_head: the same of the teacher's side; as `head` by default. `pca` is a fixed space: the teacher's pooled
            layers, centred, normalised and concatenated, on their first P principal axes, or on all where they are
            fewer. No gradient goes to the teacher's side then.
        projection_dim: P.
        keys: `fresh`, `banked` or `queued`; by default `banked` where a bank can serve both anchors, or else `fresh`.
        memory: `bank`, `queue`, `momentum`, or `auto`: what `codir.memory.choose_memory` takes for the size of the
            data, or the bank where only a bank can serve, or the queue where keys are queued.
        memory_dtype: of stored vectors; `float16` halves the room.
        bank_momentum: share of the old vector that a slot of the bank keeps.
        queue_size: entries of the queue, all of which are compared with.
        encoder_momentum: share of its old weights that the slow copy keeps at each step.

    Raises:
        UserError: a word that none of these knows, or a combination that cannot be; from `build`, layers that cannot be
            matched.

    Example:
        >>> contrast = Contrastive(anchor="student", num_negatives=5, projection_dim=4)
        >>> contrast.build(teacher=ModelShape(6, 8, 2, classes=2), student=ModelShape(3, 8, 2, classes=2))
        >>> student = StudentSignal(torch.randn(2, 2), {contrast.student_representation: torch.randn(2, 3, 8)})
        >>> teacher = TeacherSignal(torch.randn(2, 2), {contrast.teacher_representation: torch.randn(2, 6, 8)})
        >>> batch = Batch(model_inputs={}, example_index=torch.tensor([7, 9]))
        >>> others = Negatives(group=torch.tensor([0, 0]), teacher=Unprojected(torch.randn(1, 5, 6, 8)))
        >>> contrast(student, teacher, batch, others).shape  # one number, a mean over the batch
        torch.Size([])
    """

    def __init__(
        self,
        *,
        anchor: Anchor = CONTRAST.anchor,
        estimator: EstimatorName = CONTRAST.estimator,
        contrastive_temperature: float = CONTRAST.contrastive_temperature,
        teacher_temperature: float | None = None,
        learned_temperature: bool = False,
        warmup_steps: int = CONTRAST.warmup_steps,
        num_negatives: int = CONTRAST.num_negatives,
        strategy: NegativeStrategy = CONTRAST.strategy,
        score_distance: float | None = None,
        hard_pool: int = CONTRAST.hard_pool,
        source: NegativeSource = CONTRAST.source,
        teacher_layers: LayerChoice = CONTRAST.teacher_layers,
        student_layers: LayerChoice = CONTRAST.student_layers,
        pooling: Pooling = CONTRAST.pooling,
        per_layer: bool = False,
        head: HeadKind = CONTRAST.head,
        teacher_head: TeacherHeadKind | None = None,
        projection_dim: int = CONTRAST.projection_dim,
        keys: KeyKind | None = None,
        memory: MemoryKind = CONTRAST.memory,
        memory_dtype: StoredDtype = CONTRAST.memory_dtype,
        bank_momentum: float = CONTRAST.bank_momentum,
        queue_size: int = CONTRAST.queue_size,
        encoder_momentum: float = CONTRAST.encoder_momentum,
    ) -> None:
        super().__init__()
        keys = keys or keys_for(anchor, source, memory, per_layer=per_layer)
        teacher_head = teacher_head or head
        for name, choices, given in (
            ("anchor", get_args(Anchor), anchor),
            ("estimator", tuple(ESTIMATORS), estimator),
            ("source", get_args(NegativeSource), source),
            ("head", tuple(HEADS), head),
            ("teacher_head", get_args(TeacherHeadKind), teacher_head),
            ("keys", get_args(KeyKind), keys),
            ("memory", get_args(MemoryKind), memory),
        ):
            check_word(name, choices, given)
        check_steps("warmup_steps", warmup_steps)
        check_teacher_temperature(teacher_temperature, estimator)
        self.sides: tuple[Side, ...] = ("student", "teacher") if anchor == "both" else (anchor,)
        self.estimator, self.projection_dim = estimator, projection_dim
        self.head, self.teacher_head = head, teacher_head
        self.contrastive_temperature, self.learned_temperature = contrastive_temperature, learned_temperature
        self.teacher_temperature = contrastive_temperature if teacher_temperature is None else teacher_temperature
        self.warmup_steps = warmup_steps
        self.per_layer, self.num_hardest = per_layer, num_negatives if hard_pool > 1 else None
        principal = projection_dim if teacher_head == "pca" else None
        self.teacher_representation = Representation(teacher_layers, pooling, principal)
        self.student_representation = Representation(student_layers, pooling)
        is_remembered, is_banked, is_queued = source == "dataset", keys == "banked", keys == "queued"
        memory = "queue" if is_queued and memory == "auto" else memory
        is_drawn = is_remembered and not is_queued and not (memory in IN_QUEUE and self.sides == ("teacher",))
        negatives = NegativeNeeds(
            count=num_negatives * hard_pool if is_drawn else 0,
            strategy=strategy,
            score_distance=score_distance,
            source=source,
            from_student=is_remembered and "teacher" in self.sides,
            from_teacher=is_remembered and "student" in self.sides and keys == "fresh",
            banked=is_banked,
            teacher_queued=is_remembered and "student" in self.sides and is_queued,
            needs_classes=estimator == "supcon",
            hard_pool=hard_pool,
            memory=memory,
            memory_dtype=memory_dtype,
            bank_momentum=bank_momentum,
            queue_size=queue_size,
            encoder_momentum=encoder_momentum,
        )
        needs_bank = check_combination(
            negatives, sides=self.sides, estimator=estimator, per_layer=per_layer, teacher_head=teacher_head
        )
        self.needs = Needs(
            teacher_pooled=frozenset({self.teacher_representation}),
            student_pooled=frozenset({self.student_representation}),
            negatives=replace(negatives, memory="bank") if needs_bank and memory == "auto" else negatives,
            of_kind=frozenset({"one_class"}) if negatives.needs_classes else frozenset(),
        )

    def make_weights(self, *, teacher: ModelShape | None, student: ModelShape) -> None:
        """Make heads, temperature and estimators: one space, or one for each matched pair of layers."""
        assert teacher is not None, "the trainer refuses a contrast without a teacher"
        num_teacher = len(resolve_layers(self.teacher_representation.layers, teacher.num_layers))
        num_student = len(resolve_layers(self.student_representation.layers, student.num_layers))
        if self.per_layer:
            self.teacher_places = _match_layers(num_teacher, num_student)
            spaces = [self._space(teacher.hidden, student.hidden) for _ in range(num_student)]
        else:
            if self.teacher_head == "pca":  # there are no more axes than dimensions
                self.projection_dim = min(self.projection_dim, num_teacher * teacher.hidden)
            spaces = [self._space(num_teacher * teacher.hidden, num_student * student.hidden)]
        self.spaces = nn.ModuleList(spaces)

    def _space(self, teacher_width: int, student_width: int) -> ContrastSpace:
        return ContrastSpace(
            teacher_head=build_teacher_head(self.teacher_head, teacher_width, self.projection_dim),
            student_head=HEADS[self.head](student_width, self.projection_dim),
            estimators={
                side: build_estimator(self.estimator, teacher_temperature=self.teacher_temperature)
                for side in self.sides
            },
            temperature=Temperature(self.contrastive_temperature, is_learned=self.learned_temperature),
            num_hardest=self.num_hardest,
        )

    def embed_student(self, student: StudentSignal) -> Float[Tensor, "batch dim"]:
        """The student's side of the contrast, as the memory keeps it."""
        return self._only_space.student_head(student.pooled[self.student_representation])

    def embed_teacher(self, pooled: Float[Tensor, "*shape layers hidden"]) -> Float[Tensor, "*shape dim"]:
        """The teacher's side, as its bank or queue keeps it."""
        return self._only_space.teacher_head(pooled)

    def vectors_of_the_step(self) -> dict[str, Tensor]:
        """What both heads made of the last batch, by side, without gradient: the memories keep it as it is."""
        return self._only_space.last_vectors

    @property
    def _only_space(self) -> ContrastSpace:
        (space,) = self.spaces
        assert isinstance(space, ContrastSpace)
        return space

    def forward(
        self, student: StudentSignal, teacher: TeacherSignal, batch: Batch, negatives: Negatives | None
    ) -> Float[Tensor, ""]:
        """Mean over all examples of the batch."""
        assert negatives is not None, "the trainer looks up what `needs.negatives` asks for"
        teacher_pooled = teacher.pooled[self.teacher_representation]
        student_pooled = student.pooled[self.student_representation]
        if not self.per_layer:
            loss: Tensor = self._only_space(teacher_pooled, student_pooled, negatives)
            return loss
        losses = [
            space(teacher_pooled[:, [place]], student_pooled[:, [layer]], _of_layer(negatives, place))
            for layer, (space, place) in enumerate(zip(self.spaces, self.teacher_places, strict=True))
        ]
        return torch.stack(losses).mean()


def _match_layers(num_teacher: int, num_student: int) -> list[int]:
    """Where, of the teacher's chosen layers, each student layer's partner is, from 0: the whole depth in even steps."""
    if num_teacher < num_student:
        raise UserError(
            "per_layer",
            expected=f"at least as many teacher layers as student layers, {num_student}",
            got=str(num_teacher),
            otherwise="one teacher layer would have had to be the partner of several",
            do="name fewer in `student_layers`, or more in `teacher_layers`",
        )
    pairs = match_layers("uniform", teacher_depth=num_teacher, student_depth=num_student)
    return [answer - 1 for _, answer in pairs]


def _of_layer(negatives: Negatives, place: int) -> Negatives:
    if not isinstance(negatives.teacher, Unprojected):
        return negatives
    return replace(negatives, teacher=Unprojected(negatives.teacher.pooled[:, :, [place]]))
