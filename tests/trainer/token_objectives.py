"""Two plain objectives over tokens, for what must hold of the trainer whatever objectives there are."""

from __future__ import annotations

import torch
from torch import Tensor

from codir.objectives import Objective
from codir.signals import Needs, TokenSignal, masked_mean


class TokenMse(Objective):
    """Squared error of the last hidden states, mean over the real tokens of each example."""

    needs = Needs(hidden_states=True)

    def forward(self, student, teacher, batch, negatives) -> Tensor:
        errors = (student.tokens.hidden_states[-1] - teacher.tokens.hidden_states[-1]).square().mean(dim=2)
        return masked_mean(errors.unsqueeze(2), student.tokens.mask).mean()


class AttentionMse(Objective):
    """Squared error of the last layer's attention probabilities, mean over pairs of real tokens."""

    needs = Needs(attention=True)

    def forward(self, student, teacher, batch, negatives) -> Tensor:
        mask = student.tokens.mask
        pairs = (mask[:, None, :] & mask[:, :, None]).unsqueeze(1)
        errors = (last_probabilities(student.tokens) - last_probabilities(teacher.tokens)).square()
        return errors[pairs.expand_as(errors)].mean()


def last_probabilities(tokens: TokenSignal) -> Tensor:
    layer = tokens.attention[-1]
    scores = layer.query @ layer.key.transpose(2, 3) * layer.scaling
    return torch.softmax(scores.masked_fill(~tokens.mask[:, None, None, :], -torch.inf), dim=-1)
