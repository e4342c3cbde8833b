"""What several objectives ask for together: all of it, once, and nothing that cannot be had at once."""

from __future__ import annotations

from itertools import permutations

import pytest

from codir.errors import UserError
from codir.objectives import Contrastive, HardLabel, Objective, SoftTarget, WeightedObjectives
from codir.signals import ModelShape, Needs, NegativeNeeds, Representation

MEAN, CLS = Representation("all", "mean"), Representation("last", "cls")


class Asks(Objective):
    """Asks for what it is told to, and notes the shapes that it was built for."""

    def __init__(self, needs: Needs) -> None:
        super().__init__()
        self.needs = needs

    def build(self, *, teacher, student) -> None:
        self.built_for = (teacher, student)

    def forward(self, student, teacher, batch, negatives):
        return student.logits.sum()


def together(*objectives: Objective) -> WeightedObjectives:
    named = {f"term{i}": objective for i, objective in enumerate(objectives)}
    return WeightedObjectives(named, dict.fromkeys(named, 1.0))


def test_a_need_that_another_objective_hides():
    asked = (
        Needs(teacher_logits=True, teacher_pooled=frozenset({MEAN})),
        Needs(teacher_pooled=frozenset({CLS, MEAN}), student_pooled=frozenset({CLS}), attention=True),
        Needs(student_pooled=frozenset({MEAN}), hidden_states=True, negatives=NegativeNeeds(5)),
    )
    both = frozenset({MEAN, CLS})
    expected = Needs(True, both, both, hidden_states=True, attention=True, negatives=NegativeNeeds(5))
    for order in permutations(asked):
        assert together(*map(Asks, order)).needs == expected


@pytest.mark.parametrize(
    ("needs", "teacher", "tokens"),
    [
        (Needs(), False, False),
        (Needs(student_pooled=frozenset({MEAN})), False, False),
        (Needs(teacher_logits=True), True, False),
        (Needs(teacher_pooled=frozenset({MEAN})), True, False),
        (Needs(hidden_states=True), True, True),
        (Needs(attention=True), True, True),
    ],
)
def test_a_teacher_or_tokens_that_nothing_asks_for(needs, teacher, tokens):
    assert (needs.teacher, needs.tokens) == (teacher, tokens)


def test_two_kinds_of_negatives_of_which_one_is_forgotten():
    with pytest.raises(UserError, match="one kind of negatives"):
        _ = together(Contrastive(num_negatives=5), Contrastive(num_negatives=6)).needs
    twice = together(Contrastive(num_negatives=5), SoftTarget(), Contrastive(num_negatives=5))
    assert twice.needs.negatives == Contrastive(num_negatives=5).needs.negatives


def test_objectives_built_for_other_models_than_the_runs():
    teacher, student = ModelShape(6, 8, heads=2, classes=3), ModelShape(3, 4, heads=1, classes=3)
    asks = Asks(Needs())
    together(asks, HardLabel()).build(teacher=teacher, student=student)
    assert asks.built_for == (teacher, student)


@pytest.mark.parametrize(("layers", "width"), [("all", 48), ("last", 8), ((1, 5), 16)])
def test_a_head_of_another_width_than_its_representation(layers, width):
    contrast = Contrastive(teacher_layers=layers, student_layers="last")
    contrast.build(teacher=ModelShape(6, 8, heads=2, classes=3), student=ModelShape(3, 4, heads=1, classes=3))
    assert contrast.spaces[0].teacher_head.linear.in_features == width
    assert contrast.spaces[0].student_head.linear.in_features == 4
