"""Maps between widths: what they start as, and who has to do without."""

from __future__ import annotations

import pytest
import torch
from plain import randn

from codir.errors import UserError
from codir.objectives import ClsCosine, HiddenMSE, PooledMSE, TokenCosine
from codir.signals import ModelShape

TEACHER = ModelShape(num_layers=4, hidden=6, heads=2, classes=2)
AS_WIDE = ModelShape(num_layers=2, hidden=6, heads=2, classes=2)
NARROW = ModelShape(num_layers=2, hidden=4, heads=2, classes=2)
OVER_TOKENS = pytest.mark.parametrize("kind", [HiddenMSE, TokenCosine])
OVER_POOLED = pytest.mark.parametrize("kind", [PooledMSE, ClsCosine])


@pytest.mark.parametrize("kind", [PooledMSE, ClsCosine, HiddenMSE, TokenCosine])
def test_different_widths_compared_without_a_map(kind):
    with pytest.raises(UserError, match=r"as wide as its teacher \(6\).*got width 4.*width_map: linear"):
        kind(width_map="none").build(teacher=TEACHER, student=NARROW)


@pytest.mark.parametrize("kind", [PooledMSE, ClsCosine, HiddenMSE, TokenCosine])
def test_a_map_where_the_paper_has_none(kind):
    objective = kind(width_map="none")
    objective.build(teacher=TEACHER, student=AS_WIDE)
    assert list(objective.parameters()) == []


@OVER_TOKENS
def test_copied_states_torn_apart_by_a_fresh_map(kind):
    objective = kind(width_map="linear")
    objective.build(teacher=TEACHER, student=AS_WIDE)
    states = randn(3, 5, 6)
    assert torch.equal(objective.map(states), states)
    assert len(list(objective.parameters())) == 2  # shared by all layers


@OVER_POOLED
def test_copied_layers_torn_apart_by_fresh_maps(kind):
    objective = kind(width_map="linear")
    objective.build(teacher=TEACHER, student=AS_WIDE)
    pooled = randn(3, 2, 6)
    assert torch.equal(objective.map(pooled), pooled)
    assert len(list(objective.parameters())) == 2 * 2  # one per layer


def test_layers_mapped_by_anothers_map():
    objective = PooledMSE()
    objective.build(teacher=TEACHER, student=NARROW)
    pooled = randn(3, 2, 4)
    mapped = objective.map(pooled)
    for layer, own in enumerate(objective.map.maps):
        assert torch.allclose(mapped[:, layer], pooled[:, layer] @ own.weight.T + own.bias, atol=1e-6)
