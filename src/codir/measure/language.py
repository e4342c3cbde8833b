"""An exam for language models: how well each predicts held-out text, how near its teacher it is, how its vectors lie.

All models read the very same batches, with the same masks. Knows models and batches; knows nothing of training.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedModel

from codir.measure.representation import alignment, uniformity
from codir.models import run_model
from codir.objectives import token_kl_loss, token_label_loss
from codir.signals import Batch, Representation
from codir.system import autocast

LAST_LAYER = Representation("last", "mean")
MOST_SPREAD = 10_000
"""Vectors whose pairs are compared for `uniformity`; of more, as many are taken, evenly over all of them."""


@dataclass
class _Sums:
    """What one model has said so far: sums over predicted tokens, and a vector per sequence and view."""

    loss: float = 0.0
    kl: float = 0.0
    tokens: int = 0
    views: list[list[Tensor]] = field(default_factory=lambda: [[], []])


@torch.no_grad()
def examine_language_models(
    models: Mapping[str, PreTrainedModel],
    batches: Iterable[tuple[Batch, Batch | None]],
    *,
    dtype: torch.dtype = torch.float32,
) -> dict[str, dict[str, float]]:
    """Put the same questions to all models.

    - `loss`: cross-entropy, mean over all predicted tokens; `perplexity`: its exponential.
    - `kl`: `KL(teacher || model)` of the distributions over tokens, in the mean over predicted tokens, where one of the
      models is called `teacher`, whatever its place among them.
    - `uniformity` of the last layer's means over tokens, on at most `MOST_SPREAD` sequences, since it compares all
      pairs; `alignment` of those of two views of a sequence.

    Args:
        models: by name, on their devices.
        batches: sequences with `token_labels`; beside each the same sequences masked otherwise, or `None` where a
            sequence has one view only.
        dtype: of the matrix products.

    Returns:
        These scores of each model, by the models' names; what cannot be measured is left out.
    """
    sums = {name: _Sums() for name in models}
    was_training = {name: model.training for name, model in models.items()}
    teacher_first = sorted(models.items(), key=lambda one: one[0] != "teacher")
    for batch, again in batches:
        of_teacher: Tensor | None = None
        for name, model in teacher_first:
            token_logits = _read(model.eval(), batch, sums[name].views[0], dtype)
            count, kept = len(token_logits), sums[name]
            kept.loss += count * float(token_label_loss(token_logits, batch.predicted_tokens.to(model.device)))
            kept.tokens += count
            if name == "teacher":
                of_teacher = token_logits
            elif of_teacher is not None:
                kept.kl += count * float(token_kl_loss(token_logits, of_teacher, temperature=1.0))
            if again is not None:
                _read(model, again, kept.views[1], dtype)
    for name, model in models.items():
        model.train(was_training[name])
    return {name: _scores(kept, has_kl=name != "teacher" and "teacher" in models) for name, kept in sums.items()}


def _read(model: PreTrainedModel, batch: Batch, views: list[Tensor], dtype: torch.dtype) -> Tensor:
    """Note the vectors of a batch, and give the logits at its predicted positions."""
    inputs = {name: tensor.to(model.device) for name, tensor in batch.model_inputs.items()}
    assert batch.predicted is not None, "an exam for language models"
    with autocast(model.device, dtype):
        _, pooled, _, token_logits = run_model(
            model, inputs, pooled=[LAST_LAYER], predicted=batch.predicted.to(model.device)
        )
    views.append(F.normalize(pooled[LAST_LAYER][:, 0], dim=-1).cpu())
    assert token_logits is not None, "language models alone are examined here"
    return token_logits


def _scores(sums: _Sums, *, has_kl: bool) -> dict[str, float]:
    loss = sums.loss / sums.tokens
    scores = {"loss": loss, "perplexity": math.exp(loss)}
    if has_kl:
        scores["kl"] = sums.kl / sums.tokens
    first, second = (torch.cat(view) if view else None for view in sums.views)
    assert first is not None, "an empty corpus is refused when it is loaded"
    if second is not None:
        scores["alignment"] = alignment(first, second)
    if len(first) > 1:
        scores["uniformity"] = uniformity(first[:: math.ceil(len(first) / MOST_SPREAD)])
    return scores
