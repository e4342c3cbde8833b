"""Which of the teacher's layers a student should keep: candidates are read and judged before any training.

Some choices of layers lose ten points to others before training, and none of it shows in the teacher's own layers: a
layer that has moved down reads what it was never trained to read. So each candidate runs by itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import datasets
import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from codir.config.words import MAX_LENGTH
from codir.data import cls_token_position, column_of, length_sorted_batches, prepare, to_learn_from
from codir.errors import UserError
from codir.measure.ridge import read_out
from codir.measure.runner import TorchRunner
from codir.models import kind_of_model, run_model, shape_of, vocabulary_of
from codir.signals import Representation
from codir.student import copy_layers, find_layer_stack, select_layers
from codir.system import seeded, weights_cast_once
from codir.system.progress import phase
from codir.tasks import Kind, better_than
from codir.tasks.metrics import find_metric

LAST = Representation("last")
READ_ROWS = 512
MOST_CANDIDATES = 32
FOLDS = 4
BATCH = 64
FEWEST_ROWS = 16


@dataclass(frozen=True)
class KeptLayers:
    """Some of the teacher's layers, and how well a linear head reads their output.

    Attributes:
        layers: 1-based, rising.
        score: by the metric of the ranking.
    """

    layers: tuple[int, ...]
    score: float


@dataclass(frozen=True)
class LayerRanking:
    """Candidates, the best first.

    Attributes:
        candidates: at least one.
        metric: what their scores are: a metric of the task, or `agreement`, the share of the variance of the teacher's
            last layer that the head explains.
        rows: how many were read.
        ways: how many candidates there could have been.
    """

    candidates: tuple[KeptLayers, ...]
    metric: str
    rows: int
    ways: int

    @property
    def best(self) -> KeptLayers:
        """The first."""
        return self.candidates[0]


def rank_layers(
    teacher: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    dataset: datasets.Dataset,
    layers: int,
    *,
    max_length: int = MAX_LENGTH,
    rows: int = READ_ROWS,
    candidates: int = MOST_CANDIDATES,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> LayerRanking:
    """Rank the ways to keep some of the teacher's layers, by what a linear head reads out of each before training.

    A candidate is the student that `build_student(teacher, layers=...)` would copy. It reads a part of the training
    rows; a ridge head on the mean over tokens of its last layer predicts their labels, on rows that the head has not
    seen (four folds). Where rows have no label that is one number, the head predicts the teacher's own last layer.

    Args:
        teacher: read and never changed.
        tokenizer: of the teacher.
        dataset: training rows: texts, or token ids.
        layers: n, how many to keep.
        max_length: tokens per row at most, for texts.
        rows: a seeded part of the rows is read, of so many, 16 or more; labelled ones where there are enough.
        candidates: every way to take n of L layers, or where there are more a seeded part of so many, among which are
            those of `every-other`, `lower` and `upper`.
        seed: of rows, candidates and folds.
        dtype: of the matrix products.

    Returns:
        The candidates with their scores, the best first; of equal ones, those with the lower layers.

    Raises:
        UserError: too few rows, or a teacher whose layers share their weights, so that there is nothing to choose.
    """
    if rows < FEWEST_ROWS:
        raise UserError(
            "rows",
            expected=f"at least {FEWEST_ROWS}, by which layers can be judged",
            got=str(rows),
            do="leave it out, or read more rows",
        )
    depth = int(teacher.config.num_hidden_layers)
    if find_layer_stack(teacher) is None:
        raise UserError(
            "layer selection",
            expected="layers with weights of their own, for `best`",
            got=f"{type(teacher).__name__}, whose layers share one set of weights",
            do="take `every-other`: which layers are chosen makes no difference",
        )
    chosen, ways = _candidates(depth, layers, candidates, seed)
    part, labels, kind = _rows(teacher, to_learn_from(dataset, shape_of(teacher).kind), rows, seed)
    prepared = prepare(part, tokenizer, max_length=max_length)
    with phase("ranking the layers", len(prepared) * (len(chosen) + (labels is None))) as progress:

        def read(model: PreTrainedModel) -> NDArray[np.float64]:
            vectors = _last_layer(model, tokenizer, prepared, dtype)
            progress.advance(len(prepared))
            return vectors

        target = read(teacher) if labels is None else labels
        scores = []
        for one in chosen:
            with seeded(seed):  # new weights are drawn and then replaced
                candidate, *_ = copy_layers(teacher, one)
            scores.append(_score(read(candidate.to(teacher.device)), target, kind, seed))
    metric = "agreement" if kind is None else kind.metrics[0]
    sign = -1 if better_than(metric, 1.0, 0.0) else 1
    ranked = sorted(zip(chosen, scores, strict=True), key=lambda each: (sign * each[1], each[0]))
    return LayerRanking(tuple(KeptLayers(*each) for each in ranked), metric, len(prepared), ways)


def _candidates(depth: int, count: int, most: int, seed: int) -> tuple[list[tuple[int, ...]], int]:
    usual = [select_layers(depth, count, "every-other"), select_layers(depth, count, "lower")]
    usual.append(select_layers(depth, count, "upper"))
    ways = math.comb(depth, count)
    if ways <= most:
        return list(combinations(range(1, depth + 1), count)), ways
    generator, found = np.random.default_rng(seed), dict.fromkeys(usual)
    while len(found) < most:
        drawn = np.sort(generator.choice(depth, count, replace=False)) + 1
        found[tuple(drawn.tolist())] = None
    return sorted(found), ways


def _rows(
    teacher: PreTrainedModel, dataset: datasets.Dataset, most: int, seed: int
) -> tuple[datasets.Dataset, NDArray[np.generic] | None, Kind | None]:
    """Rows to read, their labels, and the kind of task; no labels where the teacher's own vectors are predicted."""
    generator = np.random.default_rng(seed)
    labels, kind = _labels(teacher, dataset)
    places = np.arange(len(dataset))
    if kind is not None and labels is not None:
        is_labelled = kind.is_labelled(torch.from_numpy(labels)).numpy()
        labelled = np.flatnonzero(is_labelled)
        if len(labelled) >= FEWEST_ROWS and len(np.unique(labels[labelled])) > 1:
            places = labelled
        else:
            kind = None
    if len(places) < FEWEST_ROWS:
        raise UserError(
            "layer selection",
            expected=f"for `best`, at least {FEWEST_ROWS} training rows to judge by",
            got=f"{len(places)}",
            do="take `every-other`, or name the layers",
        )
    places = np.sort(generator.choice(places, min(most, len(places)), replace=False))
    return dataset.select(places), None if kind is None or labels is None else labels[places], kind


def _labels(teacher: PreTrainedModel, dataset: datasets.Dataset) -> tuple[NDArray[np.generic] | None, Kind | None]:
    """One number per row to predict, where the rows and the kind of task have such labels."""
    name = next((name for name in ("label", "labels") if name in dataset.column_names), None)
    if name is None or vocabulary_of(teacher):
        return None, None
    kind = kind_of_model(teacher)
    return (None, None) if kind.label_shape(teacher.config.num_labels) else (column_of(dataset, name), kind)


def _last_layer(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prepared: datasets.Dataset, dtype: torch.dtype
) -> NDArray[np.float64]:
    """The mean over tokens of the last layer, `[rows, hidden]`."""
    vectors: NDArray[Any] | None = None
    runner, position = TorchRunner(model, tokenizer, dtype), cls_token_position(tokenizer)
    with runner.running(), weights_cast_once(model, dtype):
        for places, inputs in length_sorted_batches(prepared, tokenizer, batch_size=BATCH):
            _, pooled, *_ = run_model(model, runner.place(inputs), pooled=[LAST], cls_position=position)
            if vectors is None:
                vectors = np.empty((len(prepared), pooled[LAST].shape[-1]))
            vectors[places] = pooled[LAST].squeeze(1).cpu().numpy()
    assert vectors is not None, "there is a row"
    return vectors


def _score(vectors: NDArray[np.float64], target: NDArray[Any], kind: Kind | None, seed: int) -> float:
    """How well a ridge head predicts the target, on rows that it has not seen."""
    said = _held_out(vectors, target, are_classes=kind is not None and kind.one_class, seed=seed)
    if kind is None:
        missed, spread = ((target - said) ** 2).sum(), ((target - target.mean(axis=0)) ** 2).sum()
        return float(1.0 - missed / spread) if spread > 0 else 0.0
    return float(find_metric(kind.metrics[0], kind)(said, target))


def _held_out(vectors: NDArray[np.float64], target: NDArray[Any], *, are_classes: bool, seed: int) -> NDArray[Any]:
    said = np.empty(target.shape, target.dtype if are_classes else np.float64)
    fold = np.random.default_rng(seed).permutation(len(target)) % FOLDS
    for number in range(FOLDS):
        others, own = fold != number, fold == number
        if are_classes and len(np.unique(target[others])) < 2:
            said[own] = target[others][0]
            continue
        said[own] = read_out(vectors[others], target[others], vectors[own], are_classes=are_classes)
    return said


def ranking_in_words(ranking: LayerRanking, usual: Sequence[int]) -> str:
    """What was chosen, out of what, in one sentence.

    Args:
        ranking: from `rank_layers`.
        usual: the layers that would have been kept without it.

    Example:
        >>> kept = (KeptLayers((2, 3), 0.9), KeptLayers((1, 2), 0.75))
        >>> ranking_in_words(LayerRanking(kept, "accuracy", 64, ways=3), [1, 2]).partition(": ")[2]
        'accuracy 0.900 on 64 training rows, where layers 1, 2 (every-other) have 0.750'
    """
    scores = {one.layers: one.score for one in ranking.candidates}
    best, usual = ranking.best, tuple(usual)
    beside = f", where layers {_numbers(usual)} (every-other) have {scores[usual]:.3f}" if usual != best.layers else ""
    return (
        f"layers {_numbers(best.layers)} are kept, the best of {len(scores)} candidates by a linear head before "
        f"training: {ranking.metric} {best.score:.3f} on {ranking.rows:,} training rows{beside}"
    )


def _numbers(layers: Sequence[int]) -> str:
    return ", ".join(map(str, layers))
