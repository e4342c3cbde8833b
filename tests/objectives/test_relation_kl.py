"""MiniLM's relations against their formula, for models of different width and number of heads."""

from __future__ import annotations

import math

import pytest
import torch
from plain import attention_of, dot, kl, mask_of, mean, real, softmax

from codir.errors import UserError
from codir.objectives import RelationKL, attention_kl_loss, relation_kl_loss
from codir.objectives.relation_kl import choose_relation_heads
from codir.signals import AttentionInputs, ModelShape

MASK = mask_of(4, 1, 3)


def relation_by_hand(layer: AttentionInputs, relation: str, heads: int, i: int, head: int, row: int) -> list[float]:
    """A row of `softmax(X Y^T / sqrt(d_r))`: the vectors of all heads joined, and cut again."""
    own = {"q": layer.query, "k": layer.key, "v": layer.value}

    def part(letter: str, token: int) -> list[float]:
        joined = [float(x) for vector in own[letter][i, :, token] for x in vector]
        size = len(joined) // heads
        return joined[head * size : (head + 1) * size]

    left = part(relation[0], row)
    return softmax([dot(left, part(relation[1], key)) / math.sqrt(len(left)) for key in real(MASK, i)])


@pytest.mark.parametrize("relations", [("qq", "kk", "vv"), ("qk", "vv")], ids=["v2", "v1"])
@pytest.mark.parametrize("heads", [1, 2, 4])
def test_a_value_that_differs_from_the_papers_formula(relations, heads):
    """§3.1 of arXiv 2012.15828: a student of 4 heads and width 8, a teacher of 3 heads and width 12."""
    student, teacher = attention_of(4, 2), attention_of(3, 4, seed=1)
    by_hand = sum(
        mean(
            mean(
                kl(
                    relation_by_hand(teacher, relation, heads, i, head, row),
                    relation_by_hand(student, relation, heads, i, head, row),
                )
                for head in range(heads)
                for row in real(MASK, i)
            )
            for i in range(3)
        )
        for relation in relations
    )
    value = relation_kl_loss(student, teacher, MASK, relations=relations, relation_heads=heads)
    assert value.item() == pytest.approx(by_hand, rel=1e-4)


def test_minilm_that_looks_at_other_attention_than_the_models():
    """With the models' own heads and usual scaling, `qk` is attention."""
    student, teacher = (
        AttentionInputs(layer.query, layer.key, layer.value, scaling=layer.query.shape[-1] ** -0.5)
        for layer in (attention_of(2, 3), attention_of(2, 5, seed=1))
    )
    value = relation_kl_loss(student, teacher, MASK, relations=("qk",), relation_heads=2)
    assert torch.allclose(value, attention_kl_loss(student, teacher, MASK))


@pytest.mark.parametrize(
    ("teacher", "student_width", "expected"),
    [((12, 384), 384, 12), ((12, 384), 192, 12), ((12, 768), 128, 8), ((12, 768), 5, 1)],
)
def test_heads_that_do_not_fit_both(teacher, student_width, expected):
    heads, width = teacher
    assert choose_relation_heads(teacher_heads=heads, teacher_width=width, student_width=student_width) == expected


def test_heads_that_do_not_divide_found_in_the_middle_of_a_step():
    with pytest.raises(UserError, match=r"divides the width.*here 8.*got 5"):
        RelationKL(relation_heads=5).build(
            teacher=ModelShape(4, 10, 2, classes=2), student=ModelShape(2, 8, 2, classes=2)
        )
    with pytest.raises(UserError, match=r"divides the width.*here 8.*got 5"):
        relation_kl_loss(attention_of(4, 2), attention_of(4, 2), MASK, relation_heads=5)


def test_a_student_without_attention():
    with pytest.raises(UserError, match="two models with attention, got 2 heads of the teacher and 0"):
        RelationKL().build(teacher=ModelShape(4, 10, 2, classes=2), student=ModelShape(2, 8, 0, classes=2))


@pytest.mark.parametrize(
    ("student_layers", "layer_map", "pairs"), [("last", "uniform", ((2, 4),)), ("all", ((2, 3),), ((2, 3),))]
)
def test_another_layer_than_the_one_that_was_chosen(student_layers, layer_map, pairs):
    objective = RelationKL(student_layers=student_layers, layer_map=layer_map)
    objective.build(teacher=ModelShape(4, 12, 2, classes=2), student=ModelShape(2, 8, 2, classes=2))
    assert objective.pairs == pairs
