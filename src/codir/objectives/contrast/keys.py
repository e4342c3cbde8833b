"""What the anchors of a batch must not be matched with, in the two forms that sources give it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from codir.objectives.contrast.info_nce import grouped_scores


@dataclass(frozen=True)
class GroupedKeys:
    """Drawn rows: a set of K negatives per group, shared by the anchors of that group.

    Example:
        >>> keys = GroupedKeys(torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]]), group=torch.tensor([1, 0]))
        >>> keys.scores(torch.tensor([[3.0, 4.0], [5.0, 6.0]]))
        tensor([[4.],
                [5.]])
    """

    vectors: Float[Tensor, "groups negatives dim"]
    group: Int[Tensor, " batch"]

    def scores(self, anchors: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch negatives"]:
        """Similarity of each anchor to its own group's negatives."""
        return grouped_scores(anchors, self.vectors, self.group)


@dataclass(frozen=True)
class SharedKeys:
    """One set for all anchors (a queue, the rows of the step), of which each has negatives of its own.

    Example:
        >>> keys = SharedKeys(torch.eye(2), is_negative=torch.tensor([[True, False]]))
        >>> keys.scores(torch.tensor([[3.0, 4.0]]))
        tensor([[3., -inf]])
    """

    vectors: Float[Tensor, "keys dim"]
    is_negative: Bool[Tensor, "batch keys"]
    is_positive: Bool[Tensor, "batch keys"] | None = None

    def scores(self, anchors: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch keys"]:
        """Similarity of each anchor to its negatives, `-inf` to all other keys."""
        return (anchors @ self.vectors.T).masked_fill(~self.is_negative, -torch.inf)


Keys = GroupedKeys | SharedKeys


def hardest(keys: GroupedKeys, anchors: Float[Tensor, "batch dim"], count: int) -> GroupedKeys:
    """The `count` negatives of each group that are most similar to the mean of the group's anchors.

    Of a larger set that was drawn at random, so that the hardest of the whole data, which are often wrongly labelled,
    do not come back in every step. The choice has no gradient; the keys that are chosen keep theirs.

    Example:
        >>> keys = GroupedKeys(torch.tensor([[[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]]]), group=torch.tensor([0, 0]))
        >>> hardest(keys, torch.tensor([[0.0, 1.0], [0.1, 0.9]]), count=2).vectors[0]
        tensor([[0.0000, 1.0000],
                [0.6000, 0.8000]])
    """
    is_member = F.one_hot(keys.group, len(keys.vectors)).to(anchors.dtype)
    with torch.no_grad():
        sums = is_member.T @ anchors  # in the order of the means
        places = torch.einsum("gd,gkd->gk", sums, keys.vectors).topk(count, dim=1).indices
    wanted = places.unsqueeze(-1).expand(-1, -1, keys.vectors.shape[-1])
    return GroupedKeys(keys.vectors.gather(1, wanted), keys.group)


@torch.no_grad()
def nearest(scores: Float[Tensor, "batch keys"], count: int) -> Bool[Tensor, "batch keys"]:
    """Which keys are the `count` most similar to each anchor: its own neighbours, where `hardest` has those of a group.

    Example:
        >>> nearest(torch.tensor([[0.1, 0.9, 0.5], [0.7, 0.2, 0.3]]), count=2)
        tensor([[False,  True,  True],
                [ True, False,  True]])
    """
    places = scores.topk(count, dim=1).indices
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(1, places, True)
