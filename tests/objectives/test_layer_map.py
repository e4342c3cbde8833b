"""Layer maps against the pairs that the papers write out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codir.errors import UserError
from codir.objectives import match_layers

TWELVE_TO_SIX = {"teacher_depth": 12, "student_depth": 6}
depths = st.integers(1, 48)


@pytest.mark.parametrize(
    ("layer_map", "student_depth", "answers"),
    [
        ("skip", 6, [2, 4, 6, 8, 10]),  # PKD, §3.2
        ("skip", 3, [4, 8]),
        ("last", 6, [7, 8, 9, 10, 11]),
        ("last", 3, [10, 11]),
    ],
)
def test_pkd_matched_with_other_layers_of_twelve(layer_map, student_depth, answers):
    pairs = match_layers(layer_map, "all-but-last", teacher_depth=12, student_depth=student_depth)
    assert pairs == tuple(enumerate(answers, start=1))


def test_tinybert_matched_with_other_layers_than_three_m():
    assert match_layers("uniform", teacher_depth=12, student_depth=4) == ((1, 3), (2, 6), (3, 9), (4, 12))


@given(teacher_depth=depths, student_depth=depths)
def test_a_uniform_map_that_leaves_the_teacher_or_turns_back(teacher_depth, student_depth):
    pairs = match_layers("uniform", teacher_depth=teacher_depth, student_depth=student_depth)
    answers = [answer for _, answer in pairs]
    assert [layer for layer, _ in pairs] == list(range(1, student_depth + 1))
    assert answers == sorted(answers)
    assert answers[0] >= 1
    assert answers[-1] == teacher_depth
    if student_depth <= teacher_depth:
        assert len(set(answers)) == student_depth


@given(teacher_depth=depths, student_depth=depths, layer_map=st.sampled_from(["uniform", "skip", "last"]))
def test_a_layer_whose_answer_depends_on_its_neighbours(teacher_depth, student_depth, layer_map):
    """One layer at a time, as stages open them, gives the pairs of all at once."""
    given_depths = {"teacher_depth": teacher_depth, "student_depth": student_depth}
    if layer_map != "uniform" and student_depth > teacher_depth:
        with pytest.raises(UserError, match="take `uniform`"):
            match_layers(layer_map, **given_depths)
        return
    alone = [match_layers(layer_map, (layer,), **given_depths)[0] for layer in range(1, student_depth + 1)]
    assert tuple(alone) == match_layers(layer_map, **given_depths)
    assert match_layers(layer_map, "last", **given_depths) == (alone[-1],)


def test_pairs_that_are_not_taken_as_written():
    pairs = ((1, 4), (1, 6), (3, 12))
    assert match_layers(pairs, **TWELVE_TO_SIX) == pairs
    assert match_layers(pairs, (1,), **TWELVE_TO_SIX) == ((1, 4), (1, 6))


@pytest.mark.parametrize(
    ("layer_map", "student_layers", "said"),
    [
        (((7, 1),), "all", "student layers of 1 to 6"),
        (((1, 13),), "all", "teacher layers of 1 to 12"),
        (((0, 0),), "all", "layers of 1"),
        (((1, 2),), "last", "no pair"),
        (((1, 2),), (1, 2), r"\(1, 2\)"),
        ((), "all", "no pair"),
        ("uniform", (7,), "between 1 and 6"),
    ],
)
def test_a_map_to_a_layer_that_is_not_there(layer_map, student_layers, said):
    with pytest.raises(UserError, match=said):
        match_layers(layer_map, student_layers, **TWELVE_TO_SIX)


def test_a_student_of_one_layer_with_nothing_below_its_last():
    with pytest.raises(UserError, match="no pair"):
        match_layers("skip", "all-but-last", teacher_depth=12, student_depth=1)
