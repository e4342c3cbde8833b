"""Slow plain-loop arithmetic that the oracles of objectives are written in: lists of Python numbers, no tensor."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from codir.signals import AttentionInputs


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def mean(numbers) -> float:
    numbers = list(numbers)
    return sum(numbers) / len(numbers)


def dot(left, right) -> float:
    return sum(float(a) * float(b) for a, b in zip(left, right, strict=True))


def squared_error(left, right) -> float:
    """Mean over the vector."""
    return mean((float(a) - float(b)) ** 2 for a, b in zip(left, right, strict=True))


def cosine(left, right) -> float:
    return dot(left, right) / math.sqrt(dot(left, left) * dot(right, right))


def to_length_one(vector) -> list[float]:
    return [float(x) / math.sqrt(dot(vector, vector)) for x in vector]


def layer_norm(vector) -> list[float]:
    centre = mean(map(float, vector))
    spread = math.sqrt(mean((float(x) - centre) ** 2 for x in vector) + 1e-5)
    return [(float(x) - centre) / spread for x in vector]


def softmax(numbers) -> list[float]:
    exps = [math.exp(float(x)) for x in numbers]
    return [e / sum(exps) for e in exps]


def kl(teacher, student) -> float:
    return sum(p * math.log(p / q) for p, q in zip(teacher, student, strict=True))


def real(mask: Tensor, row: int) -> list[int]:
    """Positions of a row's real tokens."""
    return [place for place, is_real in enumerate(mask[row].tolist()) if is_real]


def mask_of(*lengths: int, tokens: int = 4) -> Tensor:
    return torch.arange(tokens) < torch.tensor(lengths).unsqueeze(1)


def attention_of(heads: int, head_dim: int, *, batch: int = 3, tokens: int = 4, seed: int = 0) -> AttentionInputs:
    return AttentionInputs(*randn(3, batch, heads, tokens, head_dim, seed=seed), scaling=0.6)
