"""The trained maps between a model's width and the space where teacher and student meet. Training scaffolding."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from codir.config.words import CONTRAST, HeadKind, TeacherHeadKind


class ProjectionHead(nn.Module):
    """One linear map to `dim`, then L2-normalisation: `z = normalize(W [h_1; ...; h_L] + b)`.

    Args:
        width: layers * hidden, of the concatenated representation.
        dim: P, of the contrast space.

    Example:
        >>> import torch
        >>> ProjectionHead(width=3 * 8, dim=4)(torch.randn(2, 3, 8)).norm(dim=-1).allclose(torch.ones(2))
        True
    """

    def __init__(self, width: int, dim: int = CONTRAST.projection_dim) -> None:
        super().__init__()
        self.linear = nn.Linear(width, dim)

    def forward(self, pooled_hidden: Float[Tensor, "*shape layers hidden"]) -> Float[Tensor, "*shape dim"]:
        """Project pooled layers; any leading axes."""
        return F.normalize(self.linear(pooled_hidden.flatten(start_dim=-2)), dim=-1)


class MLPHead(nn.Module):
    """`z = normalize(W2 relu(W1 [h_1; ...; h_L] + b1) + b2)`: SimCLR's non-linear head (Chen et al. 2020, §4.2).

    Differs from SimCLR (arXiv 2002.05709) in the hidden layer's width, P here and the input's there: the input is many
    layers wide, and negatives pass through the head too, so that such a head would cost more than a small student.

    Args:
        width: layers * hidden, of the concatenated representation.
        dim: P, of the contrast space and of the hidden layer.

    Example:
        >>> import torch
        >>> MLPHead(width=3 * 8, dim=4)(torch.randn(2, 3, 8)).norm(dim=-1).allclose(torch.ones(2))
        True
    """

    def __init__(self, width: int, dim: int = CONTRAST.projection_dim) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(width, dim), nn.Linear(dim, dim)

    def forward(self, pooled_hidden: Float[Tensor, "*shape layers hidden"]) -> Float[Tensor, "*shape dim"]:
        """Project pooled layers; any leading axes."""
        hidden = F.relu(self.first(pooled_hidden.flatten(start_dim=-2)))
        return F.normalize(self.second(hidden), dim=-1)


class FixedHead(nn.Module):
    """No map: L2-normalises the principal components that the teacher gives, `teacher_head: pca`. Nothing is trained.

    So teacher and student cannot agree on an easy space, no vector of the teacher is ever stale, and the cache keeps P
    numbers per row in place of all layers. The components are made in `codir.teacher`.

    Example:
        >>> import torch
        >>> FixedHead()(torch.randn(2, 1, 4)).norm(dim=-1).allclose(torch.ones(2))
        True
    """

    def forward(self, principal: Float[Tensor, "*shape layers hidden"]) -> Float[Tensor, "*shape dim"]:
        """One vector of components in the place of the layers; any leading axes."""
        return F.normalize(principal.flatten(start_dim=-2), dim=-1)


HEADS: dict[HeadKind, type[ProjectionHead] | type[MLPHead]] = {"linear": ProjectionHead, "mlp": MLPHead}


def build_teacher_head(kind: TeacherHeadKind, width: int, dim: int) -> nn.Module:
    """The teacher's side of a contrast, by its name."""
    return FixedHead() if kind == "pca" else HEADS[kind](width, dim)
