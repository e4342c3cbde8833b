"""A fixed space for the teacher's pooled layers: principal components, fitted once on a part of the training set.

Knows vectors; knows neither models nor data.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from codir.signals import principal_axes

SAMPLE_ROWS = 4096
"""A space is fitted on so many rows of the training set, or on all where there are fewer."""
SAMPLE_SEED = 0
"""Of which rows these are. The same for every run, so that runs of several seeds share a cache."""


def sample_rows(count: int) -> NDArray[np.int64]:
    """The rows of a training set that a space is fitted on, in rising order.

    Example:
        >>> sample_rows(3)
        array([0, 1, 2])
    """
    drawn = np.random.default_rng(SAMPLE_SEED).choice(count, min(count, SAMPLE_ROWS), replace=False)
    return np.sort(drawn)


@dataclass(frozen=True)
class PrincipalSpace:
    """Pooled layers, each centred and normalised, concatenated, on their principal axes: `z = (x - mean) V`.

    `x = [normalize(p_1 - m_1); ...; normalize(p_L - m_L)]`, so that every layer counts alike, whatever its scale, and
    what all texts have in common does not count. Nothing in it is trained.

    Attributes:
        layer_means: `m_l`, of each layer.
        mean: of `x`.
        axes: V, the strongest first.

    Example:
        >>> pooled = torch.randn(20, 2, 3, generator=torch.Generator().manual_seed(0))
        >>> PrincipalSpace.fit(pooled, 4).project(pooled).shape
        torch.Size([20, 4])
    """

    layer_means: Float[Tensor, "layers hidden"]
    mean: Float[Tensor, " width"]
    axes: Float[Tensor, "width dim"]

    @classmethod
    def fit(cls, pooled: Float[Tensor, "rows layers hidden"], dim: int) -> PrincipalSpace:
        """Fit it on some rows; computed in double precision, see `codir.signals.principal_axes`."""
        layer_means = pooled.double().mean(dim=0).float()
        mean, axes = principal_axes(_scaled(pooled, layer_means), dim, seed=SAMPLE_SEED)
        return cls(layer_means, mean.float(), axes.float().contiguous())

    def project(self, pooled: Float[Tensor, "*shape layers hidden"]) -> Float[Tensor, "*shape dim"]:
        """The same rows or others in this space; any leading axes."""
        return (_scaled(pooled, self.layer_means) - self.mean) @ self.axes

    def to(self, device: torch.device) -> PrincipalSpace:
        """The same on another device."""
        return PrincipalSpace(*(tensor.to(device) for tensor in self.tensors().values()))

    def tensors(self) -> dict[str, Tensor]:
        """What it consists of."""
        return {"layer_means": self.layer_means, "mean": self.mean, "axes": self.axes}

    def save(self, path: Path) -> None:
        """Write it beside the table of a cache."""
        save_file({name: tensor.cpu() for name, tensor in self.tensors().items()}, path)

    @classmethod
    def load(cls, path: Path) -> PrincipalSpace:
        """Read what `save` wrote."""
        return cls(**load_file(path))


def _scaled(pooled: Tensor, layer_means: Tensor) -> Tensor:
    return F.normalize(pooled.float() - layer_means, dim=-1).flatten(start_dim=-2)
