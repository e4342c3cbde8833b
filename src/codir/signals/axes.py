"""Principal axes: the few directions in which many vectors differ most. Pure functions of tensors."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

EXACT_WIDTH = 1024
"""Up to this width the axes are exact; wider vectors take a randomised search."""
OVERSAMPLING, POWER_ITERATIONS = 16, 4
"""Of the randomised search: further directions that it looks at, and how often it looks."""
ROWS_AT_ONCE = 8192
"""Rows that are held in double precision at a time."""


def principal_axes(
    rows: Float[Tensor, "rows width"], count: int, *, seed: int = 0
) -> tuple[Float[Tensor, " width"], Float[Tensor, "width count"]]:
    """Mean and principal axes of some vectors: the first right singular vectors of the centred rows.

    Computed in double precision, and the same for the same rows and seed. Exact up to a width of 1,024, from the
    covariance; above that by a randomised search with power iterations (Halko et al. 2011, arXiv 0909.4061, algorithms
    4.4 and 5.1). Each axis points where its largest entry is positive, since an axis has no sign of its own.

    Args:
        rows: the vectors, one per row.
        count: how many axes, the strongest first; at most the width. With fewer rows than that, the rest are any that
            stand at a right angle.
        seed: of the randomised search.

    Returns:
        Mean `[width]` and axes `[width, count]`, orthonormal columns, both in double precision.

    Example:
        >>> mean, axes = principal_axes(torch.tensor([[0.0, 1.0], [4.0, 1.0], [2.0, 1.0]]), 1)
        >>> mean.tolist(), axes.flatten().tolist()
        ([2.0, 1.0], [1.0, 0.0])
    """
    width = rows.shape[1]
    assert 1 <= count <= width, "no more axes than dimensions"
    mean = _sum(rows) / len(rows)
    if width <= EXACT_WIDTH:
        covariance = mean.new_zeros(width, width)
        for part in torch.split(rows, ROWS_AT_ONCE):
            centred = part.double() - mean
            covariance.addmm_(centred.T, centred)
        axes = torch.linalg.eigh(covariance).eigenvectors.flip(dims=(1,))[:, :count]
    else:
        axes = _search(rows, mean, count, seed)
    strongest = axes.gather(0, axes.abs().argmax(dim=0, keepdim=True))
    return mean, axes * strongest.sign()


def _sum(rows: Tensor) -> Tensor:
    return torch.stack([part.double().sum(dim=0) for part in torch.split(rows, ROWS_AT_ONCE)]).sum(dim=0)


def _search(rows: Tensor, mean: Tensor, count: int, seed: int) -> Tensor:
    """Axes of wide vectors: the range of the centred rows, found from random directions, and the exact axes in it."""
    width = rows.shape[1]
    generator = torch.Generator().manual_seed(seed)  # on the CPU, so that every device draws the same
    size = min(count + OVERSAMPLING, width)
    basis = torch.randn(width, size, generator=generator, dtype=torch.float64).to(rows.device)
    for _ in range(POWER_ITERATIONS):
        basis = torch.linalg.qr(basis).Q
        basis = _back(rows, mean, _forth(rows, mean, basis))
    basis = torch.linalg.qr(basis).Q
    found = _forth(rows, mean, basis)
    inside = torch.linalg.eigh(found.T @ found).eigenvectors.flip(dims=(1,))
    return (basis @ inside)[:, :count]


def _forth(rows: Tensor, mean: Tensor, basis: Tensor) -> Tensor:
    return torch.cat([(part.double() - mean) @ basis for part in torch.split(rows, ROWS_AT_ONCE)])


def _back(rows: Tensor, mean: Tensor, found: Tensor) -> Tensor:
    total = mean.new_zeros(rows.shape[1], found.shape[1])
    for part, of_part in zip(torch.split(rows, ROWS_AT_ONCE), torch.split(found, ROWS_AT_ONCE), strict=True):
        total.addmm_((part.double() - mean).T, of_part)
    return total
