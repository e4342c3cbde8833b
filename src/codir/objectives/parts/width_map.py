"""The trained map `W` from the student's width to the teacher's, for objectives that compare vector with vector."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from codir.config.words import WidthMap
from codir.errors import UserError


def build_width_map(width_map: WidthMap, *, student_width: int, teacher_width: int) -> nn.Module:
    """A linear map with a bias, or nothing.

    Where the widths are equal, the linear map starts as the identity, so that layers copied from the teacher are not
    first torn apart. (TinyBERT's starts at random, arXiv 1909.10351.)

    Raises:
        UserError: no map between different widths.

    Example:
        >>> build_width_map("linear", student_width=4, teacher_width=6)(torch.randn(2, 4)).shape
        torch.Size([2, 6])
        >>> ones = torch.ones(2, 4)
        >>> build_width_map("linear", student_width=4, teacher_width=4)(ones).equal(ones)
        True
    """
    if width_map == "linear":
        linear = nn.Linear(student_width, teacher_width)
        if student_width == teacher_width:
            nn.init.eye_(linear.weight)
            nn.init.zeros_(linear.bias)
        return linear
    if student_width != teacher_width:
        raise UserError(
            "width_map",
            expected=f"a student as wide as its teacher ({teacher_width}): the paper has no map between widths",
            got=f"width {student_width}",
            do="set `width_map: linear` to train one, or choose an objective whose paper has one, such as `hidden_mse`",
        )
    return nn.Identity()


class MapEachLayer(nn.Module):
    """A map of its own for each matched layer.

    Example:
        >>> MapEachLayer("linear", layers=2, student_width=4, teacher_width=6)(torch.randn(5, 2, 4)).shape
        torch.Size([5, 2, 6])
    """

    def __init__(self, width_map: WidthMap, *, layers: int, student_width: int, teacher_width: int) -> None:
        super().__init__()
        self.maps = nn.ModuleList(
            build_width_map(width_map, student_width=student_width, teacher_width=teacher_width) for _ in range(layers)
        )

    def forward(self, pooled: Float[Tensor, "batch layers hidden"]) -> Float[Tensor, "batch layers mapped"]:
        """Map layer by layer."""
        return torch.stack([one(pooled[:, place]) for place, one in enumerate(self.maps)], dim=1)


class MapAllLayers(nn.Module):
    """One linear map from all the student's layers, concatenated, to all the teacher's.

    Example:
        >>> MapAllLayers(student_shape=(2, 4), teacher_shape=(3, 6))(torch.randn(5, 2, 4)).shape
        torch.Size([5, 3, 6])
    """

    def __init__(self, *, student_shape: tuple[int, int], teacher_shape: tuple[int, int]) -> None:
        super().__init__()
        self.teacher_shape = teacher_shape
        self.linear = nn.Linear(math.prod(student_shape), math.prod(teacher_shape))

    def forward(self, pooled: Float[Tensor, "batch layers hidden"]) -> Float[Tensor, "batch all_layers mapped"]:
        """Every layer of the teacher is read from every layer of the student."""
        return self.linear(pooled.flatten(start_dim=1)).unflatten(1, self.teacher_shape)
