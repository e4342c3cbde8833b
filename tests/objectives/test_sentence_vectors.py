"""Objectives over sentence vectors against their papers' formulas, in plain loops."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from plain import cosine, dot, mean, randn, softmax, to_length_one

from codir.errors import UserError
from codir.objectives import (
    EmbeddingContrast,
    EmbeddingCosine,
    EmbeddingMSE,
    embedding_cosine_loss,
    embedding_mse_loss,
    info_nce,
    soft_contrast,
)
from codir.objectives.parts.vectors import VectorMaps
from codir.signals import Answered, Batch, ModelShape, Negatives, StudentSignal, TeacherSignal
from codir.tasks import KINDS

BATCH, DRAWN = 5, 7


def shape(width: int) -> ModelShape:
    return ModelShape(num_layers=2, hidden=width, heads=2, classes=width, kind=KINDS["embedding"])


def built(objective, *, student: int = 6, teacher: int = 6):
    torch.manual_seed(0)
    objective.build(teacher=shape(teacher), student=shape(student))
    return objective


def said(width: int = 6, *, teacher_width: int = 6):
    student = StudentSignal(F.normalize(randn(BATCH, width), dim=1))
    teacher = TeacherSignal(3.0 * randn(BATCH, teacher_width, seed=1))  # not yet of length 1
    group = torch.tensor([0, 1, 0, 1, 1])
    drawn = Answered(randn(2, DRAWN, teacher_width, seed=2))
    return student, teacher, Batch({}, torch.arange(BATCH)), Negatives(group, teacher=drawn)


@pytest.mark.parametrize("distance", ["squared", "l2"])
def test_a_distance_that_differs_from_the_papers(distance):
    student, teacher = randn(5, 6), randn(5, 6, seed=1)
    squared = [
        sum((float(a) - float(b)) ** 2 for a, b in zip(s, t, strict=True))
        for s, t in zip(student, teacher, strict=True)
    ]
    by_hand = mean(squared if distance == "squared" else map(math.sqrt, squared))
    assert embedding_mse_loss(student, teacher, distance=distance).item() == pytest.approx(by_hand, rel=1e-5)


def test_a_cosine_that_differs_from_the_papers():
    student, teacher = randn(5, 6), randn(5, 6, seed=1)
    by_hand = mean(1 - cosine(s, t) for s, t in zip(student, teacher, strict=True))
    assert embedding_cosine_loss(student, teacher).item() == pytest.approx(by_hand, rel=1e-5)


def test_a_distance_of_nothing_without_a_gradient():
    """The root of 0 has no slope: a student that starts as its teacher must still get numbers."""
    vectors = F.normalize(randn(3, 6), dim=1).requires_grad_()
    embedding_mse_loss(vectors, vectors.detach(), distance="l2").backward()
    assert torch.isfinite(vectors.grad).all()


@pytest.mark.parametrize(("teacher_tau", "estimator"), [(None, "soft"), (0.3, "soft"), (None, "info_nce")])
def test_a_contrast_that_differs_from_the_papers(teacher_tau, estimator):
    """SEED's eq. 4 (and InfoNCE) sentence by sentence: keys of the batch, then those drawn for its group."""
    student, teacher, batch, negatives = said()
    objective = built(EmbeddingContrast(estimator=estimator, teacher_temperature=teacher_tau))
    losses = []
    for row in range(BATCH):
        drawn = negatives.teacher.logits[negatives.group[row]]
        keys = [to_length_one(key) for key in [*teacher.logits, *drawn]]
        mine, its = to_length_one(student.logits[row]), to_length_one(teacher.logits[row])
        shares = softmax([dot(mine, key) / 0.1 for key in keys])
        wanted = softmax([dot(its, key) / (teacher_tau or 0.1) for key in keys])
        if estimator == "info_nce":
            wanted = [float(place == row) for place in range(len(keys))]
        losses.append(-sum(p * math.log(q) for p, q in zip(wanted, shares, strict=True)))
    assert objective(student, teacher, batch, negatives).item() == pytest.approx(mean(losses), rel=1e-5)


def test_a_soft_contrast_with_one_right_key_that_is_not_info_nce():
    anchors, positives = F.normalize(randn(4, 6), dim=1), F.normalize(randn(4, 6, seed=1), dim=1)
    others = F.normalize(randn(9, 6, seed=2), dim=1)
    scores = torch.cat([(anchors * positives).sum(dim=1, keepdim=True), anchors @ others.T], dim=1) / 0.1
    certain = F.one_hot(torch.zeros(4, dtype=torch.long), 10) * 1e4
    assert torch.allclose(soft_contrast(scores, certain), info_nce(anchors, positives, others, temperature=0.1))


def test_a_student_that_agrees_and_still_learns():
    """The soft contrast is least, and its gradient 0, where student and teacher are one."""
    _, teacher, batch, negatives = said()
    vectors = F.normalize(teacher.logits, dim=1).requires_grad_()
    loss = built(EmbeddingContrast())(StudentSignal(vectors), teacher, batch, negatives)
    loss.backward()
    assert vectors.grad.abs().max() < 1e-5
    other = built(EmbeddingContrast())(said()[0], teacher, batch, negatives)
    assert other > loss


@pytest.mark.parametrize("width", [4, 6])
def test_a_prefix_that_is_not_taught(width):
    """Whole vector and prefix weigh the same; without a map the teacher's own prefix is the target."""
    student, teacher, batch, negatives = said(width)
    objective = built(EmbeddingCosine(prefixes=(2,)), student=width)
    whole, prefix = objective.maps.maps
    target = teacher.logits[:, :2] if width == 6 else teacher.logits
    by_hand = [
        embedding_cosine_loss(whole(student.logits), teacher.logits),
        embedding_cosine_loss(prefix(student.logits[:, :2]), target),
    ]
    assert objective(student, teacher, batch, negatives).item() == pytest.approx(mean(by_hand).item(), rel=1e-5)


def test_a_soft_prefix_whose_target_is_not_the_whole_vector():
    student, teacher, batch, negatives = said()
    objective = built(EmbeddingContrast(prefixes=(2,)))
    keys = torch.cat([teacher.logits, negatives.teacher.logits[0]])
    row = 0  # of group 0
    its = F.normalize(teacher.logits, dim=1)[row] @ F.normalize(keys, dim=1).T
    parts = []
    for width in (6, 2):
        mine = F.normalize(student.logits[:, :width], dim=1)[row] @ F.normalize(keys[:, :width], dim=1).T
        parts.append(soft_contrast(mine[None] / 0.1, its[None] / 0.1))
    one = StudentSignal(student.logits[[row]]), TeacherSignal(teacher.logits)
    assert len(parts) == 2
    loss = objective(student, teacher, batch, negatives)
    assert torch.isfinite(loss)
    alone = built(EmbeddingContrast(prefixes=(2,)))
    alone_loss = alone(
        one[0], TeacherSignal(teacher.logits[[row]]), batch, Negatives(torch.tensor([0]), teacher=negatives.teacher)
    )
    keys = torch.cat([teacher.logits[[row]], negatives.teacher.logits[0]])
    its = F.normalize(teacher.logits, dim=1)[row] @ F.normalize(keys, dim=1).T
    parts = [
        soft_contrast(
            F.normalize(student.logits[[row], :width], dim=1) @ F.normalize(keys[:, :width], dim=1).T / 0.1,
            its[None] / 0.1,
        )
        for width in (6, 2)
    ]
    assert alone_loss.item() == pytest.approx(torch.stack(parts).mean().item(), rel=1e-5)


@pytest.mark.parametrize("objective", [EmbeddingMSE, EmbeddingCosine, EmbeddingContrast])
def test_widths_that_differ_without_a_map(objective):
    with pytest.raises(UserError, match="width_map"):
        built(objective(width_map="none"), student=4)
    assert built(objective(), student=4).maps.is_mapped


@pytest.mark.parametrize("prefix", [0, 6, 9])
def test_a_prefix_that_is_none(prefix):
    with pytest.raises(UserError, match="prefixes: expected lengths from 1 to 5"):
        VectorMaps(student_width=6, teacher_width=6, prefixes=(prefix,))


def test_objectives_over_vectors_for_a_classifier():
    classifier = ModelShape(num_layers=2, hidden=6, heads=2, classes=3, kind=KINDS["classification"])
    with pytest.raises(UserError, match="embedding_mse: expected a kind of task with"):
        EmbeddingMSE().build(teacher=classifier, student=classifier)
