"""Layers of two models: which of them hold the same, and how much of the task each of them knows.

A layer speaks through one vector per text, the mean over its tokens. Layer 0 is the embedding output.
"""

from __future__ import annotations

from typing import Any

import datasets
import numpy as np
import torch
from numpy.typing import NDArray

from codir.data import encode, length_sorted_batches
from codir.errors import CodirError
from codir.measure.ridge import read_out
from codir.measure.runner import TorchRunner
from codir.signals import masked_mean, token_mask
from codir.system.progress import advance
from codir.tasks import Kind
from codir.tasks.metrics import find_metric

Vectors = NDArray[np.float32]
BATCH = 32


class NoHiddenStatesError(CodirError):
    """A model that does not give the vectors of its layers; its message is the model's name."""


def pooled_layers(runner: TorchRunner, rows: datasets.Dataset, *, max_length: int) -> Vectors:
    """One vector per layer and text, `[layers + 1, rows, hidden]`: the mean over real tokens, embeddings first.

    Args:
        runner: a model that gives its hidden states.
        rows: texts, at least one.
        max_length: tokens per text at most.

    Raises:
        NoHiddenStatesError: the model gives none.
    """
    encoded = encode(rows, runner.tokenizer, max_length=max_length)
    vectors: Vectors | None = None
    with runner.running():
        for places, inputs in length_sorted_batches(encoded, runner.tokenizer, batch_size=BATCH):
            placed = runner.place(inputs)
            states = getattr(runner.model(**placed, output_hidden_states=True), "hidden_states", None)
            if states is None:  # an encoder with a decoder has states of each
                raise NoHiddenStatesError(type(runner.model).__name__)
            if vectors is None:
                vectors = np.empty((len(states), len(rows), states[0].shape[-1]), dtype=np.float32)
            with torch.autocast(states[0].device.type, enabled=False):  # sums over tokens in fp32
                pooled = [masked_mean(state, token_mask(placed)) for state in states]
            vectors[:, places] = torch.stack(pooled).cpu().numpy()
            advance(len(places))
    assert vectors is not None, "there is a row"
    return vectors


# ---- Which layers hold the same ----


def linear_cka(vectors: NDArray[Any], others: NDArray[Any]) -> float:
    """How alike two sets of vectors of the same texts are, from 0 to 1, however each is turned or scaled.

    `||Y^T X||_F^2 / (||X^T X||_F ||Y^T Y||_F)` of centred columns: linear CKA of Kornblith et al. 2019 (arXiv
    1905.00414, §3). With few texts, vectors that have nothing in common come out above 0 too; `compare_layers` says
    how far.

    Args:
        vectors: `[rows, dim]`.
        others: `[rows, other_dim]`, of the same texts in the same order.

    Example:
        >>> one = np.array([[0.0, 1.0], [2.0, 0.0], [1.0, 5.0]])
        >>> round(linear_cka(one, 3 * one[:, ::-1] + 7), 6)
        1.0
    """
    return float(_cka(_gram(vectors), _gram(others)))


def compare_layers(teacher: Vectors, student: Vectors, *, seed: int = 0) -> tuple[NDArray[np.float64], float]:
    """Linear CKA of every layer of the teacher (down) and of the student (across), and what chance gives.

    Args:
        teacher: as `pooled_layers` gives it.
        student: of the same texts.
        seed: of the order in which the student's texts are dealt out for the second number.

    Returns:
        `[teacher layers + 1, student layers + 1]`, and the mean of all of them after the student's texts were shuffled.
    """
    ours, theirs = [_gram(layer) for layer in teacher], [_gram(layer) for layer in student]
    shuffled = np.random.default_rng(seed).permutation(len(theirs[0]))
    found = np.array([[_cka(one, other) for other in theirs] for one in ours])
    by_chance = np.mean([[_cka(one, other[np.ix_(shuffled, shuffled)]) for other in theirs] for one in ours])
    return found, float(by_chance)


def _gram(vectors: NDArray[Any]) -> NDArray[np.float64]:
    """Products of all pairs of centred rows, so that `||Y^T X||_F^2` is a sum over pairs, whatever the widths are."""
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    return centred @ centred.T


def _cka(gram: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    lengths = np.linalg.norm(gram) * np.linalg.norm(other)
    return float((gram * other).sum() / lengths) if lengths > 0 else 0.0


# ---- Where the task is known ----


def probe_layers(
    train: Vectors,
    train_labels: NDArray[np.generic],
    dev: Vectors,
    dev_labels: NDArray[np.generic],
    *,
    kind: Kind,
    metric: str,
) -> list[float]:
    """What a linear head reads out of each layer: its score on the dev texts, one number per layer.

    A ridge head on standardised vectors, its penalty chosen by leave-one-out on the training texts (scikit-learn). It
    shows where a model knows the task, as the probes of Tenney et al. 2019 (arXiv 1905.05950) do, but reads one vector
    per text, where theirs read spans with a small network.

    Args:
        train: as `pooled_layers` gives it.
        train_labels: of these texts.
        dev: of other texts.
        dev_labels: of these.
        kind: of the task.
        metric: what is reported.
    """
    score = find_metric(metric, kind)
    return [
        score(read_out(layer, kind.targets(train_labels), of_dev, are_classes=kind.one_class), dev_labels)
        for layer, of_dev in zip(train, dev, strict=True)
    ]
