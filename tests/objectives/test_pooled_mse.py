"""Pooled layers against the formula of PKD in plain loops, and which layers are compared with which."""

from __future__ import annotations

import pytest
import torch
from plain import cosine, dot, layer_norm, mean, randn, squared_error, to_length_one

from codir.objectives import Contrastive, PooledMSE, cls_cosine_loss, pooled_mse_loss
from codir.signals import Batch, ModelShape, Representation, StudentSignal, TeacherSignal

TEACHER = ModelShape(num_layers=6, hidden=5, heads=1, classes=2)
STUDENT = ModelShape(num_layers=3, hidden=5, heads=1, classes=2)
NORMALISED = {"none": lambda vector: vector, "l2": to_length_one, "layer": layer_norm}


@pytest.mark.parametrize("normalisation", NORMALISED)
def test_a_value_that_differs_from_the_papers_formula(normalisation):
    """Eq. 7 of arXiv 1908.09355 for `l2`, with the mean over the vector that its release takes."""
    student, teacher, normalised = randn(4, 3, 5), randn(4, 3, 5, seed=1), NORMALISED[normalisation]
    by_hand = mean(
        squared_error(normalised(student[example, layer]), normalised(teacher[example, layer]))
        for example in range(4)
        for layer in range(3)
    )
    value = pooled_mse_loss(student, teacher, normalisation=normalisation)
    assert value.item() == pytest.approx(by_hand, rel=1e-4)


def test_pkd_that_is_not_the_cosine_in_disguise():
    student, teacher = randn(4, 3, 5), randn(4, 3, 5, seed=1)
    distance = pooled_mse_loss(student, teacher, normalisation="l2")
    assert distance.item() == pytest.approx(2 / 5 * cls_cosine_loss(student, teacher).item(), rel=1e-5)


@pytest.mark.parametrize("normalisation", ["l2", "layer"])
def test_a_size_that_counts_after_normalisation(normalisation):
    student, teacher = randn(4, 3, 50), randn(4, 3, 50, seed=1)
    values = [pooled_mse_loss(size * student, teacher, normalisation=normalisation) for size in (1.0, 7.0)]
    assert torch.allclose(*values, atol=1e-4)


def loss_of(objective: PooledMSE, student, teacher, *, pooling: str = "mean") -> torch.Tensor:
    asked, logits = Representation("all", pooling), torch.zeros(len(student), 2)
    signals = StudentSignal(logits, {asked: student}), TeacherSignal(logits, {asked: teacher})
    return objective(*signals, Batch({}, torch.arange(len(student))), None)


@pytest.mark.parametrize(
    ("student_layers", "layer_map", "student_index", "teacher_index"),
    [
        ("all-but-last", "skip", [0, 1], [1, 3]),
        ("all-but-last", "last", [0, 1], [3, 4]),
        ("all", "uniform", [0, 1, 2], [1, 3, 5]),
        ((2,), "uniform", [1], [3]),
        ("all", ((1, 6), (3, 1)), [0, 2], [5, 0]),
    ],
)
def test_a_layer_compared_with_anothers_answer(student_layers, layer_map, student_index, teacher_index):
    objective = PooledMSE(student_layers=student_layers, layer_map=layer_map, width_map="none")
    objective.build(teacher=TEACHER, student=STUDENT)
    student, teacher = randn(4, 3, 5), randn(4, 6, 5, seed=1)
    expected = pooled_mse_loss(student[:, student_index], teacher[:, teacher_index])
    assert torch.equal(loss_of(objective, student, teacher), expected)


def test_a_teacher_layer_left_out_of_all():
    objective = PooledMSE(target="all", normalisation="none")
    objective.build(teacher=TEACHER, student=STUDENT)
    teacher = randn(4, 6, 5, seed=1).requires_grad_()
    loss_of(objective, randn(4, 3, 5), teacher).backward()
    assert (teacher.grad.abs().sum(dim=(0, 2)) > 0).all()


def test_other_vectors_than_those_asked_for():
    objective = PooledMSE(pooling="cls", width_map="none")
    assert objective.needs.teacher_pooled == objective.needs.student_pooled == {Representation("all", "cls")}
    objective.build(teacher=TEACHER, student=STUDENT)
    with pytest.raises(KeyError):
        loss_of(objective, randn(4, 3, 5), randn(4, 6, 5), pooling="mean")


def test_a_fixed_space_that_is_not_the_contrasts_or_not_its_cosine():
    """`2 / P (1 - cos(W [h_1; ...; h_M] + b, z_T))` by hand, on the vectors that a contrast with `pca` asks for."""
    objective = PooledMSE(target="principal", normalisation="l2", projection_dim=4)
    contrast = Contrastive(anchor="student", teacher_head="pca", projection_dim=4)
    assert objective.needs.teacher_pooled == contrast.needs.teacher_pooled
    assert objective.needs.student_pooled == contrast.needs.student_pooled
    objective.build(teacher=TEACHER, student=STUDENT)
    student, principal = randn(3, 3, 5), randn(3, 1, 4, seed=1)
    weight, bias = objective.map.linear.weight.tolist(), objective.map.linear.bias.tolist()
    by_hand = []
    for layers, components in zip(student.flatten(1).tolist(), principal[:, 0].tolist(), strict=True):
        mapped = [dot(row, layers) + offset for row, offset in zip(weight, bias, strict=True)]
        by_hand.append(2 / 4 * (1 - cosine(mapped, components)))
    logits = torch.zeros(3, 2)
    signals = (
        StudentSignal(logits, {objective.representation: student}),
        TeacherSignal(logits, {objective.teacher_representation: principal}),
    )
    value = objective(*signals, Batch({}, torch.arange(3)), None)
    assert value.item() == pytest.approx(mean(by_hand), rel=1e-5)


def test_more_components_than_the_teacher_has_numbers():
    objective = PooledMSE(target="principal", projection_dim=256)
    objective.build(teacher=TEACHER, student=STUDENT)
    assert objective.map.linear.out_features == 6 * 5
