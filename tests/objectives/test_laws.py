"""Laws that every objective keeps. Objectives are discovered; one that is not listed here fails the count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import get_args

import pytest
import torch
import torch.nn.functional as F

import codir.objectives
from codir.errors import UserError
from codir.objectives import (
    AttentionKL,
    AttentionMSE,
    ClsCosine,
    Contrastive,
    EmbeddingContrast,
    EmbeddingCosine,
    EmbeddingMSE,
    HardLabel,
    HiddenMSE,
    ListwiseKL,
    LogitMSE,
    MarginMSE,
    Objective,
    PooledMSE,
    RelationKL,
    SoftTarget,
    TokenCosine,
    TokenKL,
    TokenLabel,
    WordContrast,
)
from codir.signals import (
    IGNORED_CLASS,
    Answered,
    AttentionInputs,
    Batch,
    Demand,
    Drawn,
    ModelShape,
    Negatives,
    OfTheStep,
    Queued,
    Representation,
    StudentSignal,
    TeacherSignal,
    TokenSignal,
    Unprojected,
)
from codir.tasks import KINDS

MAKERS: dict[str, Callable[[], Objective]] = {
    "HardLabel": HardLabel,
    "SoftTarget": SoftTarget,
    "LogitMSE": LogitMSE,
    "MarginMSE": MarginMSE,
    "ListwiseKL": ListwiseKL,
    "PooledMSE": PooledMSE,
    "PooledMSE-pkd": lambda: PooledMSE(normalisation="l2", pooling="cls", student_layers="all-but-last"),
    "PooledMSE-all": lambda: PooledMSE(target="all"),
    "PooledMSE-principal": lambda: PooledMSE(target="principal", normalisation="l2", projection_dim=8),
    "ClsCosine": lambda: ClsCosine(width_map="linear"),
    "TokenLabel": TokenLabel,
    "TokenKL": TokenKL,
    "TokenCosine": lambda: TokenCosine(width_map="linear"),
    "HiddenMSE": HiddenMSE,
    "HiddenMSE-mobilebert": lambda: HiddenMSE(normalisation="layer", embeddings=False),
    "AttentionMSE": AttentionMSE,
    "AttentionKL": AttentionKL,
    "RelationKL": RelationKL,
    "RelationKL-v1": lambda: RelationKL(relations=("qk", "vv")),
    "EmbeddingMSE": EmbeddingMSE,
    "EmbeddingMSE-l2": lambda: EmbeddingMSE(distance="l2", prefixes=(2,)),
    "EmbeddingCosine": EmbeddingCosine,
    "EmbeddingCosine-map": lambda: EmbeddingCosine(width_map="linear", prefixes=(1, 2)),
    "EmbeddingContrast": lambda: EmbeddingContrast(prefixes=(2,)),
    "EmbeddingContrast-nce": lambda: EmbeddingContrast(estimator="info_nce", width_map="linear"),
    "WordContrast": WordContrast,
    "Contrastive-teacher": lambda: Contrastive(anchor="teacher", projection_dim=8),
    "Contrastive-student": lambda: Contrastive(anchor="student", projection_dim=8),
    "Contrastive-both": lambda: Contrastive(anchor="both", projection_dim=8, keys="fresh"),
    "Contrastive-queue": lambda: Contrastive(anchor="teacher", projection_dim=8, memory="queue"),
    "Contrastive-queued": lambda: Contrastive(anchor="both", projection_dim=8, keys="queued"),
    "Contrastive-momentum": lambda: Contrastive(anchor="teacher", projection_dim=8, memory="momentum"),
    "Contrastive-batch": lambda: Contrastive(anchor="both", projection_dim=8, source="batch"),
    "Contrastive-banked": lambda: Contrastive(anchor="both", projection_dim=8, keys="banked"),
    "Contrastive-nce": lambda: Contrastive(anchor="both", projection_dim=8, keys="banked", estimator="nce"),
    "Contrastive-nce-batch": lambda: Contrastive(anchor="student", projection_dim=8, source="batch", estimator="nce"),
    "Contrastive-jsd": lambda: Contrastive(anchor="student", projection_dim=8, estimator="jsd"),
    "Contrastive-soft": lambda: Contrastive(anchor="student", projection_dim=8, estimator="soft"),
    "Contrastive-soft-both": lambda: Contrastive(anchor="both", projection_dim=8, estimator="soft", keys="fresh"),
    "Contrastive-soft-neighbours": lambda: Contrastive(
        anchor="both", projection_dim=8, estimator="soft", keys="fresh", num_negatives=2, hard_pool=2
    ),
    "Contrastive-soft-batch": lambda: Contrastive(anchor="both", projection_dim=8, estimator="soft", source="batch"),
    "Contrastive-soft-per-layer": lambda: Contrastive(
        anchor="student", projection_dim=8, estimator="soft", per_layer=True, learned_temperature=True
    ),
    "Contrastive-pca": lambda: Contrastive(anchor="student", projection_dim=8, teacher_head="pca"),
    "Contrastive-pca-banked": lambda: Contrastive(anchor="both", projection_dim=8, teacher_head="pca", keys="banked"),
    "Contrastive-soft-pca-banked": lambda: Contrastive(
        anchor="both", projection_dim=8, teacher_head="pca", keys="banked", estimator="soft"
    ),
    "Contrastive-soft-pca-queued": lambda: Contrastive(
        anchor="both", projection_dim=8, teacher_head="pca", keys="queued", estimator="soft"
    ),
    "Contrastive-supcon": lambda: Contrastive(projection_dim=8, source="batch", estimator="supcon", strategy="auto"),
    "Contrastive-per-layer": lambda: Contrastive(anchor="student", projection_dim=8, per_layer=True),
    "Contrastive-per-layer-batch": lambda: Contrastive(
        anchor="student", projection_dim=8, per_layer=True, source="batch"
    ),
    "Contrastive-mlp": lambda: Contrastive(anchor="student", projection_dim=8, head="mlp"),
    "Contrastive-tau": lambda: Contrastive(anchor="both", projection_dim=8, keys="fresh", learned_temperature=True),
    "Contrastive-tau-batch": lambda: Contrastive(
        anchor="student", projection_dim=8, learned_temperature=True, source="batch"
    ),
    "Contrastive-tau-queue": lambda: Contrastive(
        anchor="teacher", projection_dim=8, learned_temperature=True, memory="queue"
    ),
    "Contrastive-hard": lambda: Contrastive(
        anchor="both", projection_dim=8, keys="fresh", num_negatives=2, hard_pool=2
    ),
}

LOOKING_AT_THE_WHOLE_BATCH = {
    "WordContrast",
    "EmbeddingContrast",
    "EmbeddingContrast-nce",
    "Contrastive-batch",
    "Contrastive-nce-batch",
    "Contrastive-soft-batch",
    "Contrastive-supcon",
    "Contrastive-tau-batch",
    "Contrastive-per-layer-batch",
    "Contrastive-hard",
}
"""Where an example's loss depends on the other rows of its batch, by definition."""


OVER_TOKENS = ("TokenCosine", "HiddenMSE", "HiddenMSE-mobilebert", "AttentionMSE", "AttentionKL", "RelationKL")
OVER_ANSWERS = ("SoftTarget", "TokenKL", "LogitMSE")
OVER_CANDIDATES = ("MarginMSE", "ListwiseKL")
ZERO_IN_AGREEMENT = (
    *OVER_TOKENS,
    *OVER_ANSWERS,
    *OVER_CANDIDATES,
    "PooledMSE",
    "PooledMSE-pkd",
    "ClsCosine",
    "RelationKL-v1",
    "EmbeddingCosine",
)
"""Nothing is left to learn for a student that says what its teacher says. The supervised term and contrasts go on."""

ALL, CLS, PRINCIPAL = Representation(), Representation("all", "cls"), Representation(principal=8)
TEACHER = ModelShape(num_layers=3, hidden=6, heads=2, classes=3, vocabulary=7)
STUDENT = ModelShape(num_layers=2, hidden=4, heads=2, classes=3, vocabulary=7)
PREDICTED = 2
"""Tokens that are predicted in each row: equally many, so that rows weigh the same."""


def make(name: str, *, student: ModelShape = STUDENT) -> Objective:
    torch.manual_seed(0)
    objective = MAKERS[name]()
    sizes = {"classes": 1, "kind": KINDS["reranking"]} if name in OVER_CANDIDATES else {}
    sizes |= {"kind": KINDS["token_classification"]} if name == "WordContrast" else {}
    objective.build(teacher=replace(TEACHER, **sizes), student=replace(student, **sizes))
    return objective


def says(shape: ModelShape, mask: torch.Tensor, g: torch.Generator) -> tuple:
    """Logits, pooled layers and tokens of a model."""
    batch, tokens = mask.shape
    pooled = {asked: torch.randn(batch, shape.num_layers, shape.hidden, generator=g) for asked in (ALL, CLS)}
    pooled[PRINCIPAL] = torch.randn(batch, 1, 8, generator=g)
    states = torch.randn(shape.num_layers + 1, batch, tokens, shape.hidden, generator=g)
    vectors = torch.randn(shape.num_layers, 3, batch, shape.heads, tokens, shape.hidden // shape.heads, generator=g)
    attention = tuple(AttentionInputs(*layer, scaling=0.5) for layer in vectors)
    token_logits = torch.randn(batch * PREDICTED, shape.vocabulary, generator=g)
    logits = torch.randn(batch, shape.classes, generator=g)
    return logits, pooled, TokenSignal(mask, tuple(states), attention), token_logits


def tokens_of(signal: TokenSignal, change: Callable[[torch.Tensor], torch.Tensor]) -> TokenSignal:
    """The same tokens, each tensor changed."""
    return TokenSignal(
        change(signal.mask),
        tuple(change(states) for states in signal.hidden_states),
        tuple(
            AttentionInputs(change(one.query), change(one.key), change(one.value), one.scaling)
            for one in signal.attention
        ),
    )


@dataclass(frozen=True)
class Everything:
    """What every source of negatives could give for one batch; an objective gets what it asks for, see `select`."""

    group: torch.Tensor
    student_vectors: torch.Tensor
    student_positives: torch.Tensor
    teacher_vectors: torch.Tensor
    teacher_positives: torch.Tensor
    teacher_pooled: torch.Tensor
    teacher_answers: torch.Tensor
    teacher_principal: torch.Tensor
    queued_vectors: torch.Tensor
    queued_teacher_vectors: torch.Tensor
    queued_allowed: torch.Tensor
    step_negative: torch.Tensor
    step_positive: torch.Tensor


def signals(batch: int = 6, *, seed: int = 0) -> tuple[StudentSignal, TeacherSignal, Batch, Everything]:
    g = torch.Generator().manual_seed(seed)
    mask = torch.arange(5) < torch.randint(2, 6, (batch, 1), generator=g)
    student, teacher = StudentSignal(*says(STUDENT, mask, g)), TeacherSignal(*says(TEACHER, mask, g))
    labels = torch.randint(0, 3, (batch,), generator=g)
    negatives = Everything(
        group=labels,
        student_vectors=F.normalize(torch.randn(3, 5, 8, generator=g), dim=-1),
        queued_vectors=F.normalize(torch.randn(9, 8, generator=g), dim=-1),
        queued_teacher_vectors=F.normalize(torch.randn(9, 8, generator=g), dim=-1),
        queued_allowed=torch.rand(3, 9, generator=g) < 0.7,
        teacher_pooled=torch.randn(3, 5, 3, 6, generator=g),
        teacher_answers=torch.randn(3, 5, 3, generator=g),
        teacher_principal=torch.randn(3, 5, 1, 8, generator=g),
        student_positives=F.normalize(torch.randn(batch, 8, generator=g), dim=-1),
        teacher_vectors=F.normalize(torch.randn(3, 5, 8, generator=g), dim=-1),
        teacher_positives=F.normalize(torch.randn(batch, 8, generator=g), dim=-1),
        step_negative=labels[:, None] != labels,
        step_positive=labels[:, None] == labels,
    )
    token_labels = torch.full((batch, 5), IGNORED_CLASS)
    token_labels[:, :PREDICTED] = torch.randint(0, STUDENT.vocabulary, (batch, PREDICTED), generator=g)
    return student, teacher, Batch({}, torch.arange(batch), labels, token_labels=token_labels), negatives


def select(objective: Objective, found: Everything) -> Negatives | None:
    """Only the memory that the objective asks for, as the trainer does."""
    needs = objective.needs.negatives
    if needs is None:
        return None
    if needs.source == "batch":
        rows = OfTheStep(found.step_negative, found.step_positive)
        return Negatives(found.group, student=rows, teacher=rows)
    student: Drawn | Queued | None = None
    teacher: Drawn | Unprojected | Answered | Queued | None = None
    if needs.from_student and needs.memory in ("queue", "momentum"):
        student = Queued(found.queued_vectors, found.queued_allowed)
    elif needs.from_student:
        student = Drawn(found.student_vectors, found.student_positives if needs.banked else None)
    if needs.from_teacher:
        is_reduced = objective.teacher_representation.principal is not None
        teacher = Unprojected(found.teacher_principal if is_reduced else found.teacher_pooled)
    elif needs.from_answers:
        teacher = Answered(found.teacher_answers)
    elif needs.teacher_queued:
        teacher = Queued(found.queued_teacher_vectors, found.queued_allowed)
    elif needs.banked:
        teacher = Drawn(found.teacher_vectors, found.teacher_positives)
    return Negatives(found.group, student, teacher)


def negatives_of(negatives: Everything, rows: torch.Tensor) -> Everything:
    """What remains of them where the batch is these rows alone, in this order."""
    return replace(
        negatives,
        group=negatives.group[rows],
        student_positives=negatives.student_positives[rows],
        teacher_positives=negatives.teacher_positives[rows],
        step_negative=negatives.step_negative[rows][:, rows],
        step_positive=negatives.step_positive[rows][:, rows],
    )


def rows_of(signal, rows):
    """A signal of some of its examples."""
    pooled = {asked: vectors[rows] for asked, vectors in signal.pooled.items()}
    token_logits = signal.token_logits.unflatten(0, (-1, PREDICTED))[rows].flatten(0, 1)
    return type(signal)(
        signal.logits[rows], pooled, tokens_of(signal.tokens, lambda tensor: tensor[rows]), token_logits
    )


def batch_of(batch: Batch, rows: torch.Tensor) -> Batch:
    """The same for who the examples are."""
    return Batch({}, batch.example_index[rows], batch.labels[rows], token_labels=batch.token_labels[rows])


def leaves_of(signal: StudentSignal) -> list[torch.Tensor]:
    """Everything in a signal that a loss could be differentiated by."""
    attention = [vectors for one in signal.tokens.attention for vectors in (one.query, one.key, one.value)]
    return [signal.logits, signal.token_logits, *signal.pooled.values(), *signal.tokens.hidden_states, *attention]


def padded(signal):
    """The same signal, of a batch with two more places of padding that hold anything."""

    def pad(tensor: torch.Tensor) -> torch.Tensor:
        axis = 1 if tensor.ndim < 4 else 2
        more = tensor.narrow(axis, 0, 2)
        return torch.cat([tensor, torch.zeros_like(more) if tensor.dtype == torch.bool else more * 7 + 3], dim=axis)

    return replace(signal, tokens=tokens_of(signal.tokens, pad))


OVER_LABELS = {"HardLabel", "TokenLabel", "TokenKL"}
"""A mean over rows that have a label, or over predicted tokens: how many there are differs from batch to batch."""


CANDIDATES = 4
"""Rows of one query, in the order of their numbers."""


def loss_of(objective: Objective, student, teacher, batch, negatives) -> torch.Tensor:
    if isinstance(objective, MarginMSE | ListwiseKL):
        student, teacher = (replace(signal, logits=signal.logits[:, :1]) for signal in (student, teacher))
        queries = batch.example_index // CANDIDATES
        batch = replace(batch, labels=torch.stack([batch.labels, queries], dim=1).float())
    if isinstance(objective, WordContrast):
        student, teacher, batch = of_words(student, teacher, batch)
    return objective(student, teacher, batch, select(objective, negatives))


def of_words(student, teacher, batch):
    """The same where the first two tokens of each row are words, of two tags."""
    student, teacher = (replace(one, logits=one.logits.unsqueeze(1).expand(-1, 2, -1)) for one in (student, teacher))
    tags = torch.stack([batch.labels, (batch.labels + 1) % 3], dim=1)
    return student, teacher, replace(batch, labels=tags, word_positions=torch.tensor([0, 1]).expand_as(tags))


def test_an_objective_that_no_law_looks_at():
    public = {getattr(codir.objectives, name) for name in codir.objectives.__all__}
    found = {c.__name__ for c in public if isinstance(c, type) and issubclass(c, Objective) and c is not Objective}
    assert len(found) == 19
    assert found == {name.split("-")[0] for name in MAKERS}


UNSUITABLE: dict[Demand, list[tuple[ModelShape, ModelShape]]] = {
    "classes": [(TEACHER, replace(STUDENT, classes=0)), (TEACHER, replace(STUDENT, classes=2))],
    "vocabulary": [(TEACHER, replace(STUDENT, vocabulary=0)), (TEACHER, replace(STUDENT, vocabulary=5))],
    "attention": [(replace(TEACHER, heads=0), STUDENT), (TEACHER, replace(STUDENT, heads=0))],
    "equal_heads": [(TEACHER, replace(STUDENT, heads=1)), (replace(TEACHER, heads=0), replace(STUDENT, heads=0))],
}
"""Teachers and students that a demand refuses. What a teacher lacks matters only where the objective has one."""


def test_a_demand_that_no_law_looks_at():
    assert set(UNSUITABLE) == set(get_args(Demand))
    assert set(UNSUITABLE) == {demand for maker in MAKERS.values() for demand in maker().needs.demands}


@pytest.mark.parametrize("name", MAKERS)
def test_models_that_an_objective_cannot_work_with(name):
    for demand in MAKERS[name]().needs.demands:
        pairs = UNSUITABLE[demand]
        if not MAKERS[name]().needs.teacher:
            pairs = [(None, student) for _, student in pairs[:1]]  # nobody to have other sizes than
        for teacher, student in pairs:
            objective = MAKERS[name]()
            with pytest.raises(UserError) as refused:
                objective.build(teacher=teacher, student=student)
            assert refused.value.subject == objective.term


@pytest.mark.parametrize("name", MAKERS)
def test_an_objective_without_the_teacher_it_needs(name):
    objective = MAKERS[name]()
    if objective.needs.teacher:
        with pytest.raises(UserError, match=f"`{objective.term}` needs"):
            objective.build(teacher=None, student=STUDENT)
    else:
        objective.build(teacher=None, student=STUDENT)


@pytest.mark.parametrize("name", MAKERS)
def test_a_loss_that_is_not_one_finite_number(name):
    loss = loss_of(make(name), *signals())
    assert loss.shape == ()
    assert torch.isfinite(loss)
    assert loss >= 0


@pytest.mark.parametrize("name", MAKERS)
def test_a_student_that_gets_no_gradient(name):
    student, *rest = signals()
    leaves = [leaf.requires_grad_() for leaf in leaves_of(student)]
    objective = make(name)
    loss_of(objective, student, *rest).backward()
    assert all(torch.isfinite(weight.grad).all() for weight in objective.parameters())
    gradients = [leaf.grad for leaf in leaves if leaf.grad is not None]
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    assert any(bool(gradient.abs().sum() > 0) for gradient in gradients)


@pytest.mark.parametrize("name", MAKERS)
def test_a_loss_that_changes_with_the_order_of_the_batch(name):
    student, teacher, batch, negatives = signals()
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    shuffled = (
        rows_of(student, order),
        rows_of(teacher, order),
        batch_of(batch, order),
        negatives_of(negatives, order),
    )
    objective = make(name)
    straight = loss_of(objective, student, teacher, batch, negatives)
    assert torch.allclose(loss_of(objective, *shuffled), straight, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in MAKERS if name not in LOOKING_AT_THE_WHOLE_BATCH])
def test_a_weight_that_means_something_else_at_another_batch_size(name):
    student, teacher, batch, negatives = signals(8)
    objective = make(name)
    loss_of(objective, student, teacher, batch, negatives)  # NCE's normaliser is a state, which eval mode leaves alone
    objective.eval()
    parts = [
        loss_of(
            objective,
            rows_of(student, half),
            rows_of(teacher, half),
            batch_of(batch, half),
            negatives_of(negatives, half),
        )
        for half in (torch.arange(4), torch.arange(4, 8))
    ]
    whole = loss_of(objective, student, teacher, batch, negatives)
    assert torch.allclose(whole, torch.stack(parts).mean(), atol=1e-6)


@pytest.mark.parametrize("name", MAKERS)
def test_a_loss_that_counts_padding(name):
    student, teacher, batch, negatives = signals()
    objective = make(name)
    expected = loss_of(objective, student, teacher, batch, negatives)
    objective = make(name)
    found = loss_of(objective, padded(student), padded(teacher), batch, negatives)
    assert torch.allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("name", ZERO_IN_AGREEMENT)
def test_a_loss_that_is_left_where_student_equals_teacher(name):
    _, teacher, batch, negatives = signals()
    twin = StudentSignal(teacher.logits, teacher.pooled, teacher.tokens, teacher.token_logits)
    objective = make(name, student=TEACHER)
    assert loss_of(objective, twin, teacher, batch, negatives).item() == pytest.approx(0.0, abs=1e-6)
    other = StudentSignal(*says(TEACHER, teacher.tokens.mask, torch.Generator().manual_seed(9)))
    assert loss_of(objective, other, teacher, batch, negatives) > 1e-3


def test_both_anchors_not_being_the_mean_of_the_two():
    """Heads of one seed are the same whatever the anchor."""
    of = {anchor: loss_of(make(f"Contrastive-{anchor}"), *signals()) for anchor in ("teacher", "student", "both")}
    assert torch.allclose(of["both"], (of["teacher"] + of["student"]) / 2)


@pytest.mark.parametrize("name", MAKERS)
def test_a_mean_over_labels_that_forgets_how_many_the_step_has(name):
    objective = make(name)
    student, teacher, batch, negatives = signals()
    once, twice = (
        loss_of(objective, student, teacher, replace(batch, label_weight=weight), negatives) for weight in (1.0, 2.0)
    )
    assert torch.allclose(twice, once * (2.0 if name in OVER_LABELS else 1.0))


@pytest.mark.parametrize("name", MAKERS)
def test_a_mean_over_queries_that_forgets_how_many_the_step_has(name):
    objective = make(name)
    student, teacher, batch, negatives = signals()
    once, twice = (
        loss_of(objective, student, teacher, replace(batch, group_weight=weight), negatives) for weight in (1.0, 2.0)
    )
    assert torch.allclose(twice, once * (2.0 if name in OVER_CANDIDATES else 1.0))
