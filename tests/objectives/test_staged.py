"""Stages by themselves: which is active when, what they need, and how layers open."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codir.errors import UserError
from codir.objectives import Contrastive, HardLabel, SoftTarget, Stage, StagedObjectives, WeightedObjectives
from codir.signals import Batch, ModelShape, StudentSignal, TeacherSignal

TEACHER, STUDENT = ModelShape(4, 8, 2, classes=3), ModelShape(3, 6, 2, classes=3)


def one(name, objective, weight=1.0) -> WeightedObjectives:
    return WeightedObjectives({name: objective}, {name: weight})


def labels() -> WeightedObjectives:
    return one("hard", HardLabel())


def answers() -> WeightedObjectives:
    return one("soft", SoftTarget(), 0.3)


def contrast(**settings) -> WeightedObjectives:
    return one("contrast", Contrastive(**{"num_negatives": 5, "projection_dim": 4, **settings}))


def in_turn(*shares: float) -> StagedObjectives:
    return StagedObjectives([Stage(labels(), share) for share in shares])


@given(st.lists(st.floats(0.1, 10.0), min_size=1, max_size=6), st.integers(200, 10_000))
def test_a_stage_longer_or_shorter_than_its_share(shares, num_steps):
    objectives = in_turn(*shares)
    try:
        firsts = objectives.first_steps(num_steps)
    except UserError:  # only ever where the shortest stage has no whole step to itself
        assert min(shares) / sum(shares) * num_steps <= 1.0 + 1e-6
        return
    ends = [*firsts[1:], num_steps]
    assert firsts[0] == 0
    for share, first, end in zip(shares, firsts, ends, strict=True):
        assert end - first == pytest.approx(share / sum(shares) * num_steps, abs=1.0 + 1e-6)
        for step in (first, end - 1):
            objectives.enter(step, of=num_steps)
            assert objectives.stages[objectives.position] == objectives.stages[firsts.index(first)]


def test_a_stage_without_a_single_step():
    with pytest.raises(UserError, match="at least one optimiser step for each of 3 stages, got 2 steps"):
        in_turn(1.0, 1.0, 1.0).first_steps(2)
    with pytest.raises(UserError, match="larger share"):
        in_turn(100.0, 1.0).first_steps(10)
    assert in_turn(1.0, 1.0, 1.0).first_steps(3) == (0, 1, 2)


@pytest.mark.parametrize("shares", [(), (1.0, 0.0), (1.0, -2.0)])
def test_a_share_that_means_nothing(shares):
    with pytest.raises(UserError, match="share above 0"):
        in_turn(*shares)


def test_terms_of_another_stage_in_the_sum():
    objectives = StagedObjectives([Stage(answers()), Stage(labels())])
    objectives.build(teacher=TEACHER, student=STUDENT)
    student, teacher = StudentSignal(torch.randn(4, 3)), TeacherSignal(torch.randn(4, 3))
    batch = Batch({}, torch.arange(4), torch.tensor([0, 1, 2, 0]))
    for step, name, weight in ((0, "soft", 0.3), (1, "hard", 1.0)):
        objectives.enter(step, of=2)
        breakdown = objectives(student, teacher, batch)
        assert set(breakdown.terms) == {name}
        assert breakdown.total == pytest.approx(weight * breakdown.terms[name].item())
        assert objectives.weights == {name: weight}


def rising(warmup_steps: int) -> WeightedObjectives:
    objective = SoftTarget()
    objective.warmup_steps = warmup_steps
    return WeightedObjectives({"soft": objective, "hard": HardLabel()}, {"soft": 0.3, "hard": 0.5})


@pytest.mark.parametrize("warmup_steps", [0, 1, 4, 100])
@pytest.mark.parametrize("is_staged", [False, True])
def test_a_weight_that_does_not_rise_in_a_straight_line(warmup_steps, is_staged):
    """Step by step, against the definition; a stage counts its own steps."""
    objectives = StagedObjectives([Stage(labels()), Stage(rising(warmup_steps))]) if is_staged else rising(warmup_steps)
    objectives.build(teacher=TEACHER, student=STUDENT)
    student, teacher = StudentSignal(torch.randn(4, 3)), TeacherSignal(torch.randn(4, 3))
    batch = Batch({}, torch.arange(4), torch.tensor([0, 1, 2, 0]))
    untold = rising(warmup_steps)(student, teacher, batch)  # in a loop of one's own
    assert untold.total.item() == pytest.approx(0.3 * untold.terms["soft"].item() + 0.5 * untold.terms["hard"].item())
    for step in range(8):
        objectives.enter(8 * is_staged + step, of=16)
        breakdown = objectives(student, teacher, batch)
        share = min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0
        expected = 0.3 * share * breakdown.terms["soft"].item() + 0.5 * breakdown.terms["hard"].item()
        assert breakdown.total.item() == pytest.approx(expected, rel=1e-6)
    assert not [name for name in objectives.state_dict() if name.endswith("step")]  # it follows from the run's step


def test_needs_of_a_later_stage_that_nobody_prepares():
    objectives = StagedObjectives([Stage(labels()), Stage(contrast()), Stage(answers())])
    assert objectives.needs.teacher_logits
    assert objectives.needs.negatives.count == 5
    assert objectives.contrast is objectives.stages[1].objectives.contrast
    assert objectives.active.needs.negatives is None


def test_heads_that_come_too_late_for_the_optimiser():
    objectives = StagedObjectives([Stage(labels()), Stage(contrast()), Stage(contrast())])
    objectives.build(teacher=TEACHER, student=STUDENT)
    assert len(list(objectives.parameters())) == 8  # two heads with weight and bias, in two stages
    assert len({name.split(".")[1] for name in objectives.state_dict()}) == 2


def test_stages_that_another_trainer_uses():
    objectives = in_turn(1.0, 1.0)
    objectives.build(teacher=TEACHER, student=STUDENT)
    with pytest.raises(UserError, match="built already"):
        objectives.build(teacher=TEACHER, student=STUDENT)


def test_two_contrasts_in_one_memory_of_another_size():
    objectives = StagedObjectives([Stage(contrast()), Stage(contrast(projection_dim=8))])
    with pytest.raises(UserError, match="one `projection_dim`"):
        objectives.build(teacher=TEACHER, student=STUDENT)


def opening(lowest) -> Stage:
    return Stage(
        contrast(),
        share=3.0,
        learning_rate=1e-3,
        opened_to=lambda layer: contrast(student_layers=tuple(range(lowest(layer), layer + 1))),
    )


@pytest.mark.parametrize(
    ("lowest", "expected"),
    [(lambda layer: layer, [(1,), (2,), (3,)]), (lambda layer: 1, [(1,), (1, 2), (1, 2, 3)])],
    ids=["one-by-one", "stacked"],
)
def test_layers_that_open_in_another_order(lowest, expected):
    objectives = StagedObjectives([opening(lowest), Stage(answers(), share=1.0)])
    assert objectives.needs.negatives.count == 5  # known before the student is
    objectives.build(teacher=TEACHER, student=STUDENT)
    *opened, last = objectives.stages
    assert [stage.objectives.contrast.student_representation.layers for stage in opened] == expected
    assert {(stage.share, stage.learning_rate) for stage in opened} == {(1.0, 1e-3)}
    assert objectives.first_steps(40) == (0, 10, 20, 30)
    assert last.objectives.weights == {"soft": 0.3}
