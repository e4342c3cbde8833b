"""Which teacher layer answers: by hand from the papers, and refused where there is none."""

from __future__ import annotations

import pytest

from codir.errors import UserError
from codir.objectives import match_layers


def test_pkd_skip_and_last_not_being_the_papers():
    """PKD, §3.2: a 6-layer student of a 12-layer teacher."""
    skip = match_layers("skip", "all-but-last", teacher_depth=12, student_depth=6)
    last = match_layers("last", "all-but-last", teacher_depth=12, student_depth=6)
    assert [answer for _, answer in skip] == [2, 4, 6, 8, 10]
    assert [answer for _, answer in last] == [7, 8, 9, 10, 11]


def test_tinyberts_map_not_ending_at_the_last_layer():
    assert match_layers("uniform", teacher_depth=12, student_depth=4) == ((1, 3), (2, 6), (3, 9), (4, 12))
    for student_depth in range(1, 9):
        pairs = match_layers("uniform", teacher_depth=6, student_depth=student_depth)
        assert pairs[-1] == (student_depth, 6)
        assert [answer for _, answer in pairs] == sorted(answer for _, answer in pairs)


def test_a_layer_that_opens_alone_matched_with_anothers():
    assert match_layers("uniform", (2,), teacher_depth=6, student_depth=3) == ((2, 4),)
    assert match_layers(((1, 2), (2, 6)), (2,), teacher_depth=6, student_depth=3) == ((2, 6),)


@pytest.mark.parametrize(
    ("layer_map", "student_layers", "student_depth"),
    [
        ("last", "all", 8),  # deeper than the teacher
        ("skip", "all", 8),  # every 0th
        ("skip", "all-but-last", 1),  # nothing is left
        (((1, 9),), "all", 3),
        (((1, 2),), (2,), 3),  # no pair for the layer that is asked
        ("uniform", (4,), 3),
    ],
)
def test_a_map_that_leads_nowhere(layer_map, student_layers, student_depth):
    with pytest.raises(UserError, match="layer"):
        match_layers(layer_map, student_layers, teacher_depth=6, student_depth=student_depth)
