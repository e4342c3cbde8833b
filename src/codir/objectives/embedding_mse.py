"""Sentence vectors matched by their distance: what LEAF and sentence-transformers' own distillation do."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from codir.config.words import VECTORS, VectorDistance, VectorMap
from codir.objectives.parts.vectors import OfVectors
from codir.signals import Batch, Needs, Negatives, StudentSignal, TeacherSignal


def embedding_mse_loss(
    student_vectors: Float[Tensor, "batch width"],
    teacher_vectors: Float[Tensor, "batch width"],
    *,
    distance: VectorDistance = VECTORS.distance,
) -> Float[Tensor, ""]:
    """`||W s - t||^2`, or its root, mean over sentences; `t` has length 1.

    The squared distance is that of Reimers and Gurevych 2020 (arXiv 2004.09813), which takes the mean over the
    vector; the sum is taken here, so that the value means the same at any width: `2 (1 - cos)` where both have length
    1. The root is the L2 distance of LEAF (Vujanic and Rueckstiess 2025, arXiv 2509.12539) and of EmbedDistill (Kim et
    al. 2023, arXiv 2301.12005): all sentences pull equally hard, however far they are.

    Args:
        student_vectors: mapped to the teacher's width.
        teacher_vectors: of length 1.
        distance: `squared`, or `l2` for its root.

    Example:
        >>> student, teacher = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 1.0]])
        >>> embedding_mse_loss(student, teacher), embedding_mse_loss(student, teacher, distance="l2")
        (tensor(5.), tensor(2.2361))
    """
    apart = torch.linalg.vector_norm(student_vectors - teacher_vectors, dim=1)
    return (apart if distance == "l2" else apart.square()).mean()


class EmbeddingMSE(OfVectors):
    """Each sentence's vector lies where the teacher's normalised one lies; see `embedding_mse_loss`.

    Departs from LEAF in that the student's vector has length 1 before its map, as the saved model gives it.

    Args:
        distance: `squared` or `l2`.
        width_map: from the student's width to the teacher's; see `VectorMaps`.
        prefixes: lengths of prefixes that are to serve alone.

    Raises:
        UserError: when built, for widths that differ without a map, or prefixes that are none.
    """

    needs = Needs(teacher_logits=True, of_kind=frozenset({"vectors"}))

    def __init__(
        self,
        *,
        distance: VectorDistance = VECTORS.distance,
        width_map: VectorMap = VECTORS.width_map,
        prefixes: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.distance, self.width_map, self.prefixes = distance, width_map, tuple(prefixes)

    def forward(
        self, student: StudentSignal, teacher: TeacherSignal, batch: Batch, negatives: Negatives | None
    ) -> Float[Tensor, ""]:
        """Mean over all sentences, and over the whole vector and its prefixes."""
        pairs = self.maps(student.logits, teacher.logits)
        return torch.stack([embedding_mse_loss(mine, its, distance=self.distance) for mine, its in pairs]).mean()
