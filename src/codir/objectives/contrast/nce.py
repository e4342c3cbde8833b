"""Noise-contrastive estimation: is this key the anchor's own partner, or noise? Pure functions of similarities."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def nce(
    positive_scores: Float[Tensor, " batch"],
    negative_scores: Float[Tensor, "batch negatives"],
    *,
    log_mean: Float[Tensor, ""],
) -> Float[Tensor, ""]:
    """`-log h(k0) - sum_{j=1..K} log(1 - h(kj))`, mean over anchors, where `h = p / (p + K/N)`.

    `p = exp(a.k / tau) / Z` is the probability of the key under the model, `1/N` that under uniform noise, and
    `Z = N c` with `c` the mean of `exp(a.k / tau)` over noise: Wu et al. 2018 (arXiv 1805.01978), eq. 4 to 8. CRD, Tian
    et al. 2020 (arXiv 1910.10699), §3, has this loss with h written without Z, which its release estimates all the
    same. N cancels, and leaves `h = sigmoid(a.k / tau - log c - log K)`.

    Each key is judged by itself, where InfoNCE compares all keys of an anchor with one another; so `c` matters here.
    Where every `exp(a.k / tau)` is `c`, nothing is told apart, and the loss is `ln(K+1) + K ln(1 + 1/K)`: 5.61 at
    K = 100.

    Differs from CRD's release in that no exponential is ever taken, so that half precision does not overflow (there
    `exp(1 / 0.07)` does), and no `eps` bends the logarithms.

    Args:
        positive_scores: similarities to the right keys, over tau.
        negative_scores: similarities to the K negatives, over tau; `-inf` where a key is none of this anchor's, and K
            is then the number of those that are. An anchor without any has loss 0.
        log_mean: `log c`; see `log_mean_exp`.

    Example:
        >>> import torch
        >>> nce(torch.zeros(1), torch.zeros(1, 100), log_mean=torch.tensor(0.0))
        tensor(5.6102)
    """
    count = (negative_scores > -float("inf")).sum(dim=1).to(negative_scores.dtype)
    right = F.logsigmoid(positive_scores - log_mean - count.log())
    wrong = F.logsigmoid(log_mean + count.clamp(min=1).log().unsqueeze(1) - negative_scores)
    return -(right + wrong.sum(dim=1)).mean()


def log_mean_exp(scores: Float[Tensor, "batch negatives"]) -> Float[Tensor, ""]:
    """`log c`: the logarithm of the mean of `exp(score)` over all scores that are not `-inf`; NaN where there is none.

    Example:
        >>> import torch
        >>> log_mean_exp(torch.tensor([[0.0, 3.0, -torch.inf]])).exp()  # (1 + e^3) / 2
        tensor(10.5428)
    """
    count = (scores > -float("inf")).sum()
    return scores.flatten().logsumexp(dim=0) - count.to(scores.dtype).log()
