"""Models that answer questions, made to say their answers as all others do: under `logits`, padding told apart.

Knows transformers; knows nothing of questions or contexts.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedModel
from transformers.modeling_outputs import QuestionAnsweringModelOutput

from codir.models.shape import kind_of_model
from codir.tasks import NOWHERE

WIDTH = "codir_width"


@dataclass
class SpanOutput(QuestionAnsweringModelOutput):
    """What `transformers` gives, and `logits`."""

    logits: Tensor | None = None


def give_logits(model: PreTrainedModel, width: int | None = None) -> PreTrainedModel:
    """Have a model with a question answering head give `logits`, `[windows, tokens, 2]`; others stay as they are.

    They are its `start_logits` and `end_logits`, `NOWHERE` at padding. The model's class is replaced by a subclass of
    the same name, so that it is saved as it was.

    Args:
        model: of any kind.
        width: tokens that logits are padded to, so that all windows have as many; as they come by default.
    """
    if not kind_of_model(model).reads_windows:
        return model
    if not hasattr(model, WIDTH):
        model.__class__ = _answering(type(model))  # type: ignore[arg-type]  # a class is hashable
    setattr(model, WIDTH, width)
    return model


@functools.cache
def _answering(plain: type[PreTrainedModel]) -> type[PreTrainedModel]:
    """The subclass; made once, so that two models of one class stay of one class."""

    @functools.wraps(plain.forward)
    def forward(self: PreTrainedModel, *args: Any, **kwargs: Any) -> Any:
        output = plain.forward(self, *args, **kwargs)
        mask = kwargs.get("attention_mask")
        logits = _logits(output.start_logits, output.end_logits, mask, getattr(self, WIDTH, None))
        return SpanOutput(**output, logits=logits)

    return type(plain.__name__, (plain,), {"forward": forward, "__module__": plain.__module__, WIDTH: None})


def _logits(start: Tensor, end: Tensor, mask: Tensor | None, width: int | None) -> Tensor:
    logits = torch.stack([start, end], dim=-1)
    if mask is not None:
        logits = logits.masked_fill(mask.unsqueeze(-1) == 0, NOWHERE)
    if width is not None and width > logits.shape[1]:
        logits = F.pad(logits, (0, 0, 0, width - logits.shape[1]), value=NOWHERE)
    return logits
