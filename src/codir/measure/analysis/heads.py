"""Attention heads of a teacher that its student kept or lost: how alike the maps are that they make of the same texts.

Kovaleva et al. 2019 (arXiv 1908.08593) compare each head before and after fine-tuning by the cosine of its flattened
maps; here heads of two models are compared, each with all of the other's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import datasets
import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from codir.data import RowCollator, encode
from codir.measure.runner import TorchRunner
from codir.models import capture_attention, check_attention, reads_ahead
from codir.system.progress import advance

LONGEST = 128
"""Tokens of a text that are looked at: maps grow with their square."""


@dataclass(frozen=True)
class ClosestHead:
    """The teacher's head whose maps are most like those of a head of the student.

    Attributes:
        cosine: of the two.
        layer: of the teacher, from 1.
        head: in it, from 1.
    """

    cosine: float
    layer: int
    head: int


@dataclass(frozen=True)
class HeadComparison:
    """How alike the attention maps of all heads are, by cosine: 1 for the same maps.

    Attributes:
        kept: of each head of the teacher, the cosine with the student's head that is most like it, by layer.
        closest: of each head of the student, the teacher's head that is most like it, by layer.
        typical: mean over all pairs of heads; above 0 even for unlike ones, since no map is negative anywhere.
        rows: texts that were read.
    """

    kept: tuple[tuple[float, ...], ...]
    closest: tuple[tuple[ClosestHead, ...], ...]
    typical: float
    rows: int


def compare_heads(
    teacher: TorchRunner, student: TorchRunner, rows: datasets.Dataset, *, max_length: int
) -> HeadComparison:
    """Compare the attention maps of all heads of two models that share a tokenizer.

    A map is `softmax(q k^T * scaling)`, without the window or the relative positions that some families add, and
    without later tokens where a model does not read ahead.

    Args:
        teacher: whose heads are kept or lost.
        student: with the same tokenizer.
        rows: texts, each read alone.
        max_length: tokens per text at most; no more than `LONGEST` are read.

    Raises:
        UserError: the attention of a model cannot be captured.
    """
    readers = (teacher, _reads_ahead(teacher)), (student, _reads_ahead(student))
    encoded = encode(rows, teacher.tokenizer, max_length=min(max_length, LONGEST))
    collate = RowCollator(encoded, teacher.tokenizer)
    heads = [_Heads(0, 0), _Heads(0, 0)]
    dots, squares = np.zeros(()), [np.zeros(()), np.zeros(())]
    for row in range(len(rows)):
        maps = [_maps(runner, collate([row]), ahead=ahead) for runner, ahead in readers]
        heads = [_Heads(len(of_model), of_model.shape[1]) for of_model in maps]
        ours, theirs = (of_model.flatten(2).flatten(0, 1).double().cpu().numpy() for of_model in maps)
        dots = dots + ours @ theirs.T
        squares = [total + np.square(one).sum(axis=1) for total, one in zip(squares, (ours, theirs), strict=True)]
        advance()
    return _describe(dots / np.sqrt(np.outer(*squares)), *heads, rows=len(rows))


def _reads_ahead(runner: TorchRunner) -> bool:
    """Whether a model's tokens attend to later ones; refuses one whose attention cannot be captured."""
    assert isinstance(runner.model, PreTrainedModel)
    with runner.running():
        check_attention(runner.model)
        return reads_ahead(runner.model)


def _maps(runner: TorchRunner, one_text: Mapping[str, Tensor], *, ahead: bool) -> Float[Tensor, "layers heads i j"]:
    """What every token `i` of a text attends to."""
    assert isinstance(runner.model, PreTrainedModel)
    with runner.running(), capture_attention(runner.model) as captured:
        runner.logits(runner.place(one_text))
    scores = torch.stack([one.scaling * one.query[0] @ one.key[0].transpose(-1, -2) for one in captured])
    if not ahead:
        scores = scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(diagonal=1), float("-inf"))
    return scores.softmax(dim=-1)


class _Heads(NamedTuple):
    """How many there are, by layer."""

    layers: int
    in_each: int


def _describe(cosines: NDArray[np.float64], teacher: _Heads, student: _Heads, *, rows: int) -> HeadComparison:
    """Sort cosines `[teacher heads, student heads]`, all layers in a row, into layers and heads."""
    kept = cosines.max(axis=1).reshape(teacher)
    best, most = cosines.argmax(axis=0).reshape(student), cosines.max(axis=0).reshape(student)
    closest = tuple(
        tuple(
            ClosestHead(float(cosine), int(place) // teacher.in_each + 1, int(place) % teacher.in_each + 1)
            for place, cosine in zip(places, of_layer, strict=True)
        )
        for places, of_layer in zip(best, most, strict=True)
    )
    return HeadComparison(tuple(tuple(map(float, layer)) for layer in kept), closest, float(cosines.mean()), rows)
