"""Principal axes against numpy's whole SVD."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import codir.signals.axes
from codir.signals import principal_axes


def rows_of(count: int, width: int, *, seed: int = 0) -> torch.Tensor:
    """Vectors whose axes are of clearly different strengths, around a mean that is not 0."""
    g = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(torch.randn(width, width, generator=g)).Q
    return torch.randn(count, width, generator=g) * 0.8 ** torch.arange(width) @ turn + torch.randn(width, generator=g)


@pytest.mark.parametrize("is_exact", [True, False])
@pytest.mark.parametrize(("count", "width", "axes"), [(200, 30, 7), (50, 30, 30), (40, 12, 1)])
def test_axes_that_differ_from_the_singular_vectors(monkeypatch, count, width, axes, is_exact):
    if not is_exact:
        monkeypatch.setattr(codir.signals.axes, "EXACT_WIDTH", 0)
    monkeypatch.setattr(codir.signals.axes, "ROWS_AT_ONCE", 17)  # several parts
    rows = rows_of(count, width)
    mean, found = principal_axes(rows, axes)
    table = rows.double().numpy()
    expected = np.linalg.svd(table - table.mean(axis=0), full_matrices=False)[2][:axes].T
    assert np.allclose(mean.numpy(), table.mean(axis=0))
    assert np.allclose((found.T @ found).numpy(), np.eye(axes), atol=1e-10)
    assert np.allclose(np.abs((found.numpy() * expected).sum(axis=0)), 1.0, atol=1e-6)
    assert (found.gather(0, found.abs().argmax(dim=0, keepdim=True)) > 0).all()


@pytest.mark.parametrize("width", [40, 1100])
def test_axes_that_differ_from_run_to_run_or_with_the_random_state(width):
    rows = torch.randn(60, width, generator=torch.Generator().manual_seed(1))
    before = torch.get_rng_state()
    first = principal_axes(rows, 5)
    torch.manual_seed(7)
    assert all(torch.equal(one, other) for one, other in zip(first, principal_axes(rows, 5), strict=True))
    torch.set_rng_state(before)


@pytest.mark.parametrize("width", [20, 1100])
def test_fewer_rows_than_axes_giving_directions_that_are_not_at_a_right_angle(width):
    """Three rows span two directions; the rest of the axes are any others."""
    rows = torch.randn(3, width, generator=torch.Generator().manual_seed(2))
    mean, axes = principal_axes(rows, 10)
    assert torch.allclose(axes.T @ axes, torch.eye(10, dtype=torch.float64), atol=1e-9)
    centred = rows.double() - mean
    assert torch.allclose(((centred @ axes) ** 2).sum(), (centred**2).sum())
