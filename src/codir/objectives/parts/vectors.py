"""Sentence vectors of teacher and student, brought to one width, whole and by their first dimensions."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from codir.config.words import VECTORS, VectorMap
from codir.errors import UserError
from codir.objectives.base import Objective
from codir.objectives.parts.width_map import build_width_map
from codir.signals import ModelShape


class VectorMaps(nn.Module):
    """What is compared of two sentence vectors: the whole, and each prefix that is to serve alone (Matryoshka).

    Kusupati et al. 2022 (arXiv 2205.13147): the first m dimensions of a vector are to be a good vector by themselves.
    Where a map is trained, each prefix has one of its own to the teacher's whole vector; without a map, a prefix is
    compared with the teacher's. All maps go when the training ends.

    Args:
        student_width: of the student's vectors.
        teacher_width: of the teacher's.
        width_map: `linear`, `none`, or `auto`: linear where the widths differ.
        prefixes: lengths of the prefixes.

    Raises:
        UserError: widths that differ without a map, or a prefix that is no shorter than the student's vector.

    Example:
        >>> import torch
        >>> maps = VectorMaps(student_width=4, teacher_width=6, prefixes=(2,))
        >>> [(mine.shape[1], its.shape[1]) for mine, its in maps(torch.randn(3, 4), torch.randn(3, 6))]
        [(6, 6), (6, 6)]
        >>> maps = VectorMaps(student_width=4, teacher_width=4, prefixes=(2,))
        >>> [(mine.shape[1], its.shape[1]) for mine, its in maps(torch.randn(3, 4), torch.randn(3, 4))]
        [(4, 4), (2, 2)]
    """

    def __init__(
        self,
        *,
        student_width: int,
        teacher_width: int,
        width_map: VectorMap = VECTORS.width_map,
        prefixes: Sequence[int] = (),
    ) -> None:
        super().__init__()
        check_prefixes(prefixes, student_width)
        if width_map == "auto":
            width_map = "none" if student_width == teacher_width else "linear"
        self.widths = [student_width, *prefixes]
        self.is_mapped = width_map == "linear"
        self.maps = nn.ModuleList(
            build_width_map(width_map, student_width=width, teacher_width=teacher_width)
            if self.is_mapped or not place
            else nn.Identity()
            for place, width in enumerate(self.widths)
        )

    def forward(
        self, student: Float[Tensor, "batch student_width"], teacher: Float[Tensor, "rows teacher_width"]
    ) -> list[tuple[Float[Tensor, "batch width"], Float[Tensor, "rows width"]]]:
        """Pairs of the student's vectors, mapped, and what they are compared with, which has length 1."""
        return [
            (one(student[:, :width]), F.normalize(teacher if self.is_mapped else teacher[:, :width], dim=1))
            for one, width in zip(self.maps, self.widths, strict=True)
        ]


class OfVectors(Objective):
    """An objective that compares sentence vectors: both sides' are brought to one width before.

    The map learns no faster than the student. It goes when the training ends, so what it learns is lost, and steps that
    are large for it move what the student is asked for.

    Attributes:
        width_map: from the student's width to the teacher's.
        prefixes: lengths of prefixes that are to serve alone.
        maps: made when built.
    """

    rate_factor = 1.0
    width_map: VectorMap
    prefixes: tuple[int, ...]

    def make_weights(self, *, teacher: ModelShape | None, student: ModelShape) -> None:
        """Make the maps between widths."""
        assert teacher is not None, "`needs` asks for one"
        self.maps = VectorMaps(
            student_width=student.classes,
            teacher_width=teacher.classes,
            width_map=self.width_map,
            prefixes=self.prefixes,
        )


def check_prefixes(prefixes: Sequence[int], width: int) -> None:
    """Refuse prefixes that are none, or are as long as the vector.

    Raises:
        UserError: names the prefix.
    """
    for prefix in prefixes:
        if not 0 < prefix < width:
            raise UserError(
                "prefixes",
                expected=f"lengths from 1 to {width - 1}, below the student's {width} dimensions",
                got=str(prefix),
                do="name shorter prefixes; the whole vector is always compared",
            )
