"""The five ways to ask whether anchors find their partners, behind one interface: vectors in, scalar out.

The mathematics is in pure functions, a file each; what is added here is how keys are scored, and NCE's one number.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from codir.config.words import EstimatorName
from codir.objectives.contrast.info_nce import grouped_info_nce, info_nce_from_scores
from codir.objectives.contrast.jsd import jsd
from codir.objectives.contrast.keys import GroupedKeys, Keys, SharedKeys
from codir.objectives.contrast.nce import log_mean_exp, nce
from codir.objectives.contrast.soft import soft_contrast
from codir.objectives.contrast.supcon import supcon
from codir.objectives.contrast.temperature import Tau
from codir.system import gather

NORMALISER_MOMENTUM = 0.99
"""Share of NCE's normaliser that a batch leaves as it was."""


class Estimator(nn.Module, ABC):
    """Judges anchors by the similarity to their positives and to their keys; all vectors are L2-normalised."""

    @abstractmethod
    def forward(
        self, anchors: Float[Tensor, "batch dim"], positives: Float[Tensor, "batch dim"], keys: Keys, temperature: Tau
    ) -> Float[Tensor, ""]:
        """Mean over the anchors; row `i` of `positives` belongs to anchor `i`."""


class InfoNCE(Estimator):
    """See `codir.objectives.contrast.info_nce`."""

    def forward(
        self, anchors: Float[Tensor, "batch dim"], positives: Float[Tensor, "batch dim"], keys: Keys, temperature: Tau
    ) -> Float[Tensor, ""]:
        """Between `ln(K + 1)` and 0."""
        if isinstance(keys, GroupedKeys) and isinstance(temperature, float):
            return grouped_info_nce(anchors, positives, keys.vectors, keys.group, temperature=temperature)
        return info_nce_from_scores(*_scores(anchors, positives, keys, temperature), temperature=1.0)


class NCE(Estimator):
    """See `codir.objectives.contrast.nce`. Keeps `log c`, the normaliser, which a checkpoint saves with the heads.

    The first batch sets it; each later one moves `c` by a hundredth towards the mean of `exp(a.k / tau)` over its own
    negatives, those of all processes. The releases of Wu et al. and of CRD freeze what the first batch gave, from heads
    that had learned nothing, and count the positives in.
    """

    log_mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("log_mean", torch.tensor(math.nan))

    def forward(
        self, anchors: Float[Tensor, "batch dim"], positives: Float[Tensor, "batch dim"], keys: Keys, temperature: Tau
    ) -> Float[Tensor, ""]:
        """Mean over the anchors; follows the normaliser in training mode."""
        positive_scores, negative_scores = _scores(anchors, positives, keys, temperature)
        if self.training:
            self._follow(log_mean_exp(negative_scores.detach()))
        return nce(positive_scores, negative_scores, log_mean=self.log_mean.nan_to_num(nan=0.0))

    def _follow(self, of_batch: Tensor) -> None:
        everywhere = gather(of_batch.reshape(1))
        now = everywhere.logsumexp(dim=0) - math.log(len(everywhere))
        before = torch.where(self.log_mean.isnan(), now, self.log_mean)
        kept, moved = before + math.log(NORMALISER_MOMENTUM), now + math.log(1.0 - NORMALISER_MOMENTUM)
        self.log_mean.copy_(torch.where(now.isnan(), self.log_mean, torch.logaddexp(kept, moved)))


class JSD(Estimator):
    """See `codir.objectives.contrast.jsd`."""

    def forward(
        self, anchors: Float[Tensor, "batch dim"], positives: Float[Tensor, "batch dim"], keys: Keys, temperature: Tau
    ) -> Float[Tensor, ""]:
        """`2 ln 2` where nothing is told apart."""
        return jsd(*_scores(anchors, positives, keys, temperature))


class SupCon(Estimator):
    """See `supcon`. Its positives are among the keys: the anchor's partner and those of its class."""

    def forward(
        self, anchors: Float[Tensor, "batch dim"], positives: Float[Tensor, "batch dim"], keys: Keys, temperature: Tau
    ) -> Float[Tensor, ""]:
        """Mean over the anchors; `positives` are not looked at, since `keys` hold them."""
        assert isinstance(keys, SharedKeys)
        assert keys.is_positive is not None
        scores = (anchors @ keys.vectors.T) / temperature
        return supcon(scores, is_positive=keys.is_positive, is_negative=keys.is_negative)


class Soft(Estimator):
    """See `soft_contrast`. The keys are the positive and the negatives; what they weigh is the teacher's to say.

    Args:
        teacher_temperature: tau_t.
    """

    def __init__(self, teacher_temperature: float) -> None:
        super().__init__()
        self.teacher_temperature = teacher_temperature

    def target(
        self, anchors: Float[Tensor, "batch dim"], positives: Float[Tensor, "batch dim"], keys: Keys
    ) -> Float[Tensor, "batch keys"]:
        """The teacher's similarities to its own keys, the positive first, over tau_t."""
        return _all_scores(anchors.detach(), positives.detach(), keys, self.teacher_temperature).detach()

    def forward(
        self,
        anchors: Float[Tensor, "batch dim"],
        positives: Float[Tensor, "batch dim"],
        keys: Keys,
        temperature: Tau,
        target: Float[Tensor, "batch keys"] | None = None,
        kept: Bool[Tensor, "batch keys"] | None = None,
    ) -> Float[Tensor, ""]:
        """Mean over the anchors, which are the student's; `target` is of the same keys, of which those `kept` count."""
        assert target is not None, "the space asks the teacher first"
        scores = _all_scores(anchors, positives, keys, temperature)
        if kept is not None:
            scores, target = (found.masked_fill(~kept, -math.inf) for found in (scores, target))
        return soft_contrast(scores, target)


ESTIMATORS: dict[EstimatorName, type[Estimator]] = {
    "info_nce": InfoNCE,
    "nce": NCE,
    "jsd": JSD,
    "supcon": SupCon,
    "soft": Soft,
}


def build_estimator(name: EstimatorName, *, teacher_temperature: float) -> Estimator:
    """An estimator by its name; tau_t is for the one that asks the teacher."""
    return Soft(teacher_temperature) if name == "soft" else ESTIMATORS[name]()


def _all_scores(anchors: Tensor, positives: Tensor, keys: Keys, temperature: Tau) -> Tensor:
    """The same as `_scores`, in one table with the positive in column 0."""
    to_positives, to_keys = _scores(anchors, positives, keys, temperature)
    return torch.cat([to_positives.unsqueeze(1), to_keys], dim=1)


def _scores(anchors: Tensor, positives: Tensor, keys: Keys, temperature: Tau) -> tuple[Tensor, Tensor]:
    """Similarities over tau, to the positive and to the negatives."""
    scaled = anchors / temperature  # not the scores: with those of `-inf`, a learned tau would get a gradient of NaN
    return (scaled * positives).sum(dim=1), keys.scores(scaled)
