"""Sentence vectors that point the same way."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from codir.config.words import VECTORS, VectorMap
from codir.objectives.parts.vectors import OfVectors
from codir.signals import Batch, Needs, Negatives, StudentSignal, TeacherSignal


def embedding_cosine_loss(
    student_vectors: Float[Tensor, "batch width"], teacher_vectors: Float[Tensor, "batch width"]
) -> Float[Tensor, ""]:
    """`1 - cos(W s, t)`, mean over sentences; between 0 and 2.

    The first loss of Jasper and Stella (Zhang et al. 2024, arXiv 2412.19048). Half the squared distance of
    vectors of length 1 (`embedding_mse_loss`), and blind to the length that a map gives them.

    Example:
        >>> embedding_cosine_loss(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 1.0]]))
        tensor(1.)
    """
    return (1 - F.cosine_similarity(student_vectors, teacher_vectors, dim=1)).mean()


class EmbeddingCosine(OfVectors):
    """Each sentence's vector points where the teacher's points; see `embedding_cosine_loss`.

    Args:
        width_map: from the student's width to the teacher's; see `VectorMaps`.
        prefixes: lengths of prefixes that are to serve alone.

    Raises:
        UserError: when built, for widths that differ without a map, or prefixes that are none.
    """

    needs = Needs(teacher_logits=True, of_kind=frozenset({"vectors"}))

    def __init__(self, *, width_map: VectorMap = VECTORS.width_map, prefixes: Sequence[int] = ()) -> None:
        super().__init__()
        self.width_map, self.prefixes = width_map, tuple(prefixes)

    def forward(
        self, student: StudentSignal, teacher: TeacherSignal, batch: Batch, negatives: Negatives | None
    ) -> Float[Tensor, ""]:
        """Mean over all sentences, and over the whole vector and its prefixes."""
        pairs = self.maps(student.logits, teacher.logits)
        return torch.stack([embedding_cosine_loss(mine, its) for mine, its in pairs]).mean()
