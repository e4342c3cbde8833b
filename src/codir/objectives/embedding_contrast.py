"""Sentence vectors among others: each must stand to many sentences as the teacher's does, or be found among them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from codir.config.words import EMBEDDING_CONTRAST, VECTORS, VectorEstimator, VectorMap
from codir.objectives.contrast.checks import check_word
from codir.objectives.contrast.keys import GroupedKeys
from codir.objectives.contrast.soft import soft_contrast
from codir.objectives.parts.vectors import OfVectors
from codir.signals import (
    Answered,
    Batch,
    Needs,
    NegativeNeeds,
    Negatives,
    StudentSignal,
    TeacherSignal,
)


class EmbeddingContrast(OfVectors):
    """A contrast of sentence vectors, whose keys are the teacher's own vectors, read from its cache.

    The keys of a sentence are the teacher's vectors of the batch and of K further sentences, drawn at random:

    - `estimator="soft"`: the student's similarities to all keys are to be distributed as the teacher's are; see
      `soft_contrast`. With a map, the student's vectors are compared in the teacher's space.
    - `estimator="info_nce"`: the key of the sentence itself is to be found among all others (van den Oord et al. 2018,
      arXiv 1807.03748, eq. 4; for sentences DistilCSE, Gao et al. 2021, arXiv 2112.05638).

    Departs from SEED in its keys: theirs are a queue of the last batches, these are drawn from the whole data anew at
    every step, since the teacher does not move and its vectors are kept. A prefix of the student's vector is compared
    with the same prefix of the keys; what it is to be like are the teacher's whole similarities.

    Args:
        estimator: `soft` or `info_nce`.
        contrastive_temperature: tau of the student.
        teacher_temperature: tau of the teacher; the student's by default. No meaning for `info_nce`.
        num_negatives: K.
        width_map: from the student's width to the teacher's; see `VectorMaps`.
        prefixes: lengths of prefixes that are to serve alone.

    Raises:
        UserError: an unknown estimator; when built, widths that differ without a map, or prefixes that are none.
    """

    def __init__(
        self,
        *,
        estimator: VectorEstimator = EMBEDDING_CONTRAST.estimator,
        contrastive_temperature: float = EMBEDDING_CONTRAST.contrastive_temperature,
        teacher_temperature: float | None = None,
        num_negatives: int = EMBEDDING_CONTRAST.num_negatives,
        width_map: VectorMap = VECTORS.width_map,
        prefixes: Sequence[int] = (),
    ) -> None:
        super().__init__()
        check_word("estimator", get_args(VectorEstimator), estimator)
        self.estimator, self.width_map, self.prefixes = estimator, width_map, tuple(prefixes)
        self.tau, self.teacher_tau = contrastive_temperature, teacher_temperature or contrastive_temperature
        negatives = NegativeNeeds(num_negatives, strategy="any", from_student=False, from_answers=True, term=self.term)
        self.needs = Needs(teacher_logits=True, negatives=negatives, of_kind=frozenset({"vectors"}))

    def forward(
        self, student: StudentSignal, teacher: TeacherSignal, batch: Batch, negatives: Negatives | None
    ) -> Float[Tensor, ""]:
        """Mean over all sentences, and over the whole vector and its prefixes."""
        assert negatives is not None, "the trainer looks up what `needs.negatives` asks for"
        assert isinstance(negatives.teacher, Answered)
        drawn, group = negatives.teacher.logits, negatives.group
        anchors = F.normalize(teacher.logits, dim=1)
        wanted = _scores(anchors, anchors, F.normalize(drawn, dim=2), group) / self.teacher_tau
        losses = []
        keys = torch.cat([teacher.logits, drawn.flatten(0, 1)])
        for mine, its in self.maps(student.logits, keys):
            of_batch, of_drawn = its[: len(mine)], its[len(mine) :].unflatten(0, drawn.shape[:2])
            scores = _scores(F.normalize(mine, dim=1), of_batch, of_drawn, group) / self.tau
            losses.append(self._judged(scores, wanted))
        return torch.stack(losses).mean()

    def _judged(self, scores: Tensor, wanted: Tensor) -> Tensor:
        if self.estimator == "soft":
            return soft_contrast(scores, wanted)
        return F.cross_entropy(scores, torch.arange(len(scores), device=scores.device))


def _scores(
    anchors: Float[Tensor, "batch dim"],
    of_batch: Float[Tensor, "batch dim"],
    drawn: Float[Tensor, "groups negatives dim"],
    group: Tensor,
) -> Float[Tensor, "batch keys"]:
    """Similarities to the batch's keys and to those that were drawn for an anchor's group."""
    return torch.cat([anchors @ of_batch.T, GroupedKeys(drawn, group).scores(anchors)], dim=1)
