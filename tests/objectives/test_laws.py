"""Laws that every objective keeps. Objectives are discovered; one that is not listed here fails the count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

import codir.objectives
from codir.objectives import (
    AttentionKL,
    AttentionMSE,
    ClsCosine,
    Contrastive,
    HardLabel,
    HiddenMSE,
    LogitMSE,
    Objective,
    PooledMSE,
    RelationKL,
    SoftTarget,
    TokenCosine,
)
from codir.signals import (
    AttentionInputs,
    Batch,
    ModelShape,
    Negatives,
    Representation,
    StudentSignal,
    TeacherSignal,
    TokenSignal,
)

MAKERS: dict[str, Callable[[], Objective]] = {
    "HardLabel": HardLabel,
    "SoftTarget": SoftTarget,
    "LogitMSE": LogitMSE,
    "PooledMSE": PooledMSE,
    "PooledMSE-all": lambda: PooledMSE(target="all"),
    "PooledMSE-l2": lambda: PooledMSE(normalisation="l2", pooling="cls", student_layers="all-but-last"),
    "ClsCosine": lambda: ClsCosine(width_map="linear"),
    "TokenCosine": lambda: TokenCosine(width_map="linear"),
    "HiddenMSE": HiddenMSE,
    "HiddenMSE-layer": lambda: HiddenMSE(normalisation="layer", embeddings=False, student_layers=(1,)),
    "AttentionMSE": AttentionMSE,
    "AttentionKL": AttentionKL,
    "RelationKL": RelationKL,
    "RelationKL-v1": lambda: RelationKL(relations=("qk", "vv"), relation_heads=1),
    "Contrastive-teacher": lambda: Contrastive(anchor="teacher", projection_dim=8),
    "Contrastive-student": lambda: Contrastive(anchor="student", projection_dim=8),
    "Contrastive-both": lambda: Contrastive(anchor="both", projection_dim=8),
    "Contrastive-queue": lambda: Contrastive(anchor="teacher", projection_dim=8, memory="queue"),
}
WITHOUT_A_MINIMUM_AT_THE_TEACHER = {
    "HardLabel",  # looks at labels
    "PooledMSE-all",  # its map is fresh
    *(name for name in MAKERS if name.startswith("Contrastive")),  # its heads are fresh
}

TEACHER = ModelShape(num_layers=3, hidden=6, heads=2, classes=3)
STUDENT = ModelShape(num_layers=2, hidden=4, heads=2, classes=3)


def make(name: str, *, student: ModelShape = STUDENT) -> Objective:
    torch.manual_seed(0)
    objective = MAKERS[name]()
    objective.build(teacher=TEACHER, student=student)
    return objective


def signal_of(kind, shape: ModelShape, mask, g: torch.Generator):
    """All that a model of this shape could be asked for."""
    batch, tokens = mask.shape
    pooled = {
        Representation("all", pooling): torch.randn(batch, shape.num_layers, shape.hidden, generator=g)
        for pooling in ("mean", "cls")
    }
    states = [torch.randn(batch, tokens, shape.hidden, generator=g) for _ in range(shape.num_layers + 1)]
    heads = (batch, shape.heads, tokens, shape.hidden // shape.heads)
    attention = [AttentionInputs(*torch.randn(3, *heads, generator=g), scaling=0.7) for _ in range(shape.num_layers)]
    logits = torch.randn(batch, shape.classes, generator=g)
    return kind(logits, pooled, TokenSignal(mask, tuple(states), tuple(attention)))


def signals(batch: int = 6, *, seed: int = 0) -> tuple[StudentSignal, TeacherSignal, Batch, Negatives]:
    g = torch.Generator().manual_seed(seed)
    mask = torch.arange(5) < torch.randint(1, 6, (batch, 1), generator=g)
    student, teacher = signal_of(StudentSignal, STUDENT, mask, g), signal_of(TeacherSignal, TEACHER, mask, g)
    labels = torch.randint(0, 3, (batch,), generator=g)
    negatives = Negatives(
        group=labels,
        student_vectors=F.normalize(torch.randn(3, 5, 8, generator=g), dim=-1),
        queued_vectors=F.normalize(torch.randn(9, 8, generator=g), dim=-1),
        queued_allowed=torch.rand(3, 9, generator=g) < 0.7,
        teacher_pooled=torch.randn(3, 5, 3, 6, generator=g),
    )
    return student, teacher, Batch({}, torch.arange(batch), labels), negatives


def select(objective: Objective, negatives: Negatives) -> Negatives:
    """Only the memory that the objective asks for, as the trainer does."""
    needs = objective.needs.negatives
    if needs is None:
        return negatives
    return replace(
        negatives,
        student_vectors=negatives.student_vectors if needs.from_student and needs.memory != "queue" else None,
        queued_vectors=negatives.queued_vectors if needs.from_student and needs.memory == "queue" else None,
        teacher_pooled=negatives.teacher_pooled if needs.from_teacher else None,
    )


def with_each(value: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """A signal, or a part of one, with every tensor in it changed."""
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, dict):
        return {key: with_each(part, change) for key, part in value.items()}
    if isinstance(value, tuple):
        return tuple(with_each(part, change) for part in value)
    if is_dataclass(value):
        return replace(value, **{field.name: with_each(getattr(value, field.name), change) for field in fields(value)})
    return value


def rows_of(signal, rows):
    """A signal of some of its examples."""
    return with_each(signal, lambda tensor: tensor[rows])


def padded(signal, *, seed: int):
    """The same signal with one padded token before the others and two behind, of large random content."""
    g = torch.Generator().manual_seed(seed)

    def pad(tensor, axis):
        shape = list(tensor.shape)
        around = [9 * torch.randn(*shape[:axis], count, *shape[axis + 1 :], generator=g) for count in (1, 2)]
        return torch.cat([around[0], tensor, around[1]], dim=axis)

    tokens = signal.tokens
    longer = TokenSignal(
        F.pad(tokens.mask, (1, 2)),
        tuple(pad(state, 1) for state in tokens.hidden_states),
        tuple(with_each(layer, lambda tensor: pad(tensor, 2)) for layer in tokens.attention),
    )
    return replace(signal, tokens=longer)


def loss_of(objective: Objective, student, teacher, batch, negatives) -> torch.Tensor:
    return objective(student, teacher, batch, select(objective, negatives))


def test_an_objective_that_no_law_looks_at():
    public = {getattr(codir.objectives, name) for name in codir.objectives.__all__}
    found = {c.__name__ for c in public if isinstance(c, type) and issubclass(c, Objective) and c is not Objective}
    assert len(found) == 11
    assert found == {name.split("-")[0] for name in MAKERS}


@pytest.mark.parametrize("name", MAKERS)
def test_a_loss_that_is_not_one_finite_number(name):
    loss = loss_of(make(name), *signals())
    assert loss.shape == ()
    assert torch.isfinite(loss)
    assert loss >= 0


@pytest.mark.parametrize("name", MAKERS)
def test_a_student_that_gets_no_gradient(name):
    student, *rest = signals()
    reached = []

    def watched(tensor):
        if tensor.is_floating_point():
            reached.append(tensor.clone().requires_grad_())
            return reached[-1]
        return tensor

    loss_of(make(name), with_each(student, watched), *rest).backward()
    gradients = [tensor.grad for tensor in reached if tensor.grad is not None]
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    assert any(gradient.abs().sum() > 0 for gradient in gradients)


@pytest.mark.parametrize("name", MAKERS)
def test_a_loss_that_changes_with_the_order_of_the_batch(name):
    student, teacher, batch, negatives = signals()
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    shuffled = (
        rows_of(student, order),
        rows_of(teacher, order),
        Batch({}, batch.example_index[order], batch.labels[order]),
        replace(negatives, group=negatives.group[order]),
    )
    objective = make(name)
    straight = loss_of(objective, student, teacher, batch, negatives)
    assert torch.allclose(loss_of(objective, *shuffled), straight, atol=1e-6)


@pytest.mark.parametrize("name", MAKERS)
def test_a_weight_that_means_something_else_at_another_batch_size(name):
    student, teacher, batch, negatives = signals(8)
    objective = make(name)
    parts = [
        loss_of(
            objective,
            rows_of(student, half),
            rows_of(teacher, half),
            Batch({}, batch.example_index[half], batch.labels[half]),
            replace(negatives, group=negatives.group[half]),
        )
        for half in (slice(0, 4), slice(4, 8))
    ]
    whole = loss_of(objective, student, teacher, batch, negatives)
    assert torch.allclose(whole, torch.stack(parts).mean(), atol=1e-6)


@pytest.mark.parametrize("name", MAKERS)
def test_padding_that_counts(name):
    student, teacher, *rest = signals()
    objective = make(name)
    longer = padded(student, seed=1), padded(teacher, seed=2)
    assert torch.allclose(loss_of(objective, *longer, *rest), loss_of(objective, student, teacher, *rest), atol=1e-6)


@pytest.mark.parametrize("name", [name for name in MAKERS if name not in WITHOUT_A_MINIMUM_AT_THE_TEACHER])
def test_a_student_like_its_teacher_that_has_something_to_learn(name):
    _, teacher, *rest = signals()
    twin = StudentSignal(teacher.logits, teacher.pooled, teacher.tokens)
    objective = make(name, student=TEACHER)
    assert loss_of(objective, twin, teacher, *rest).item() == pytest.approx(0.0, abs=1e-6)


def test_both_anchors_not_being_the_mean_of_the_two():
    both, (student, teacher, batch, negatives) = make("Contrastive-both"), signals()
    negatives = select(both, negatives)
    whole = both(student, teacher, batch, negatives)
    of_teacher = both(student, teacher, batch, replace(negatives, teacher_pooled=None))
    of_student = both(student, teacher, batch, replace(negatives, student_vectors=None))
    assert torch.allclose(whole, (of_teacher + of_student) / 2)
