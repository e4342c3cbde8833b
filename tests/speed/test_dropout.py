"""Cheaper dropout: the same law as PyTorch's, drawn from the same generator."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from codir.speed import FastDropout, fast_dropout

DTYPES = [torch.float32, torch.bfloat16, torch.float16]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_another_share_than_p_is_dropped_or_the_mean_moves(dtype: torch.dtype, p: float) -> None:
    torch.manual_seed(0)
    count = 400_000
    dropped = fast_dropout(torch.ones(count, dtype=dtype), p).double()
    standard_error = math.sqrt(p * (1 - p) / count)
    assert abs((dropped == 0).double().mean() - p) < 5 * standard_error
    assert abs(dropped.mean() - 1.0) < 5 * standard_error / (1 - p) + torch.finfo(dtype).eps


def test_neighbours_are_dropped_together() -> None:
    torch.manual_seed(1)
    kept = (fast_dropout(torch.ones(400_000), 0.3) != 0).double()
    centred = kept - kept.mean()
    for lag in (1, 2, 3, 4, 5, 8, 64):  # four masks come out of one random number
        correlation = (centred[:-lag] * centred[lag:]).mean() / centred.var()
        assert abs(correlation) < 5 / math.sqrt(len(kept))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_kept_element_is_not_scaled_as_pytorch_scales_it(dtype: torch.dtype) -> None:
    torch.manual_seed(2)
    x = torch.randn(7, 13).to(dtype)
    dropped = fast_dropout(x, 0.25)  # a multiple of 1 / 65,536: the scale is 4 / 3 on both sides
    expected = (x.float() * (4 / 3)).to(dtype)
    assert torch.equal(dropped[dropped != 0], expected[dropped != 0])


def test_the_gradient_passes_where_the_value_was_dropped() -> None:
    torch.manual_seed(3)
    x = torch.randn(5, 3, 11).transpose(0, 1).requires_grad_()  # not contiguous
    dropped = fast_dropout(x, 0.4)
    (gradient,) = torch.autograd.grad(dropped.sum(), x)
    assert torch.equal(gradient == 0, dropped == 0)
    assert torch.allclose(gradient * x, dropped)


def test_masks_do_not_follow_torchs_seed() -> None:
    x = torch.ones(1000)
    torch.manual_seed(4)
    state = torch.get_rng_state()
    first, second = fast_dropout(x, 0.5), fast_dropout(x, 0.5)
    torch.set_rng_state(state)
    assert torch.equal(fast_dropout(x, 0.5), first)
    assert not torch.equal(first, second)


def test_recomputed_activations_get_another_mask() -> None:
    dropout = FastDropout(0.5)
    x = torch.randn(1000, requires_grad=True)
    torch.manual_seed(5)
    (straight,) = torch.autograd.grad(dropout(x).square().sum(), x)
    torch.manual_seed(5)
    (recomputed,) = torch.autograd.grad(checkpoint(dropout, x, use_reentrant=False).square().sum(), x)
    assert torch.equal(straight, recomputed)


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_the_ends_of_the_range_are_not_pytorchs(p: float) -> None:
    x = torch.randn(10)
    assert torch.equal(FastDropout(p)(x), nn.Dropout(p)(x))


def test_evaluation_drops() -> None:
    x = torch.randn(10)
    assert FastDropout(0.5).eval()(x) is x
