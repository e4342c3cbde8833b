"""InfoNCE against the paper's formula in plain loops."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from codir.objectives import grouped_info_nce, info_nce
from codir.objectives.contrast.info_nce import grouped_scores, info_nce_from_scores


def vectors(*shape: int, seed: int = 0) -> Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=-1)


def info_nce_by_hand(anchors: Tensor, positives: Tensor, negatives: Tensor, temperature: float) -> float:
    """Eq. 2 of arXiv 2009.14167, one exponential at a time."""
    losses = []
    for i in range(len(anchors)):
        own = negatives[i] if negatives.ndim == 3 else negatives
        right = math.exp(sum(float(a * k) for a, k in zip(anchors[i], positives[i], strict=True)) / temperature)
        wrong = [math.exp(sum(float(a * k) for a, k in zip(anchors[i], key, strict=True)) / temperature) for key in own]
        losses.append(-math.log(right / (right + sum(wrong))))
    return sum(losses) / len(losses)


@settings(max_examples=30, deadline=None)
@given(
    batch=st.integers(1, 5),
    count=st.integers(1, 7),
    dim=st.integers(1, 6),
    temperature=st.floats(0.05, 2.0),
    is_shared=st.booleans(),
    seed=st.integers(0, 10_000),
)
def test_a_value_that_differs_from_the_papers_formula(batch, count, dim, temperature, is_shared, seed):
    anchors, positives = vectors(batch, dim, seed=seed), vectors(batch, dim, seed=seed + 1)
    negatives = vectors(count, dim, seed=seed + 2) if is_shared else vectors(batch, count, dim, seed=seed + 2)
    value = info_nce(anchors, positives, negatives, temperature=temperature)
    assert value.item() == pytest.approx(info_nce_by_hand(anchors, positives, negatives, temperature), abs=1e-9)


def test_groups_scored_against_anothers_negatives():
    anchors, positives, negatives = vectors(6, 4), vectors(6, 4, seed=1), vectors(3, 5, 4, seed=2)
    group = torch.tensor([0, 2, 1, 1, 0, 2])
    expected = info_nce(anchors, positives, negatives[group], temperature=0.1)
    assert torch.allclose(grouped_info_nce(anchors, positives, negatives, group, temperature=0.1), expected)
    scores = grouped_scores(anchors, negatives, group)  # one product for all, as on an accelerator
    found = info_nce_from_scores((anchors * positives).sum(dim=1), scores, temperature=0.1)
    assert torch.allclose(found, expected)


def test_gradients_that_differ_between_grouped_and_copied_negatives():
    group = torch.tensor([1, 0, 1])
    gradients = []
    for grouped in (True, False):
        anchors = vectors(3, 4).requires_grad_()
        negatives = vectors(2, 5, 4, seed=2).requires_grad_()
        positives = vectors(3, 4, seed=1)
        if grouped:
            loss = grouped_info_nce(anchors, positives, negatives, group)
        else:
            loss = info_nce(anchors, positives, negatives[group])
        gradients.append(torch.autograd.grad(loss, (anchors, negatives)))
    for ours, copied in zip(*gradients, strict=True):
        assert torch.allclose(ours, copied)


@pytest.mark.parametrize("count", [1, 100, 4096])
def test_indistinguishable_keys_not_giving_ln_k_plus_one(count):
    anchors = vectors(4, 8)
    negatives = anchors.unsqueeze(1).expand(-1, count, -1)
    assert info_nce(anchors, anchors, negatives).item() == pytest.approx(math.log(count + 1))


def test_a_perfect_match_not_giving_almost_zero():
    anchors = vectors(4, 8)
    assert info_nce(anchors, anchors, -anchors.unsqueeze(1), temperature=0.07).item() == pytest.approx(0.0, abs=1e-9)


def test_overflow_at_a_low_temperature_in_fp32():
    anchors, keys = vectors(4, 8).float(), vectors(16, 8, seed=1).float()
    group = torch.zeros(4, dtype=torch.long)
    assert torch.isfinite(info_nce(anchors, anchors, keys, temperature=1e-3))
    assert torch.isfinite(grouped_info_nce(anchors, anchors, keys.unsqueeze(0), group, temperature=1e-3))


def test_a_weight_that_means_something_else_at_another_batch_size():
    anchors, positives, negatives = vectors(8, 4), vectors(8, 4, seed=1), vectors(5, 4, seed=2)
    whole = info_nce(anchors, positives, negatives)
    halves = [info_nce(anchors[part], positives[part], negatives) for part in (slice(0, 4), slice(4, 8))]
    assert torch.allclose(whole, torch.stack(halves).mean())
