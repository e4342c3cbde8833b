"""All of it for one teacher and one student, on as many rows as take seconds.

Left out, with a sentence that says so, is what two models or a data set do not allow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import datasets
import numpy as np
import torch
from numpy.typing import NDArray

from codir.data import labels_of
from codir.errors import UserError
from codir.measure.analysis.heads import HeadComparison, compare_heads
from codir.measure.analysis.layers import NoHiddenStatesError, Vectors, compare_layers, pooled_layers, probe_layers
from codir.measure.analysis.rows import Disagreement, find_disagreements
from codir.measure.analysis.vectors import Projection, VectorSpread, describe_vectors, project
from codir.measure.runner import TorchRunner
from codir.store import fingerprint_tokenizer
from codir.system.progress import phase
from codir.tasks import Kind, Task, kind_of
from codir.tasks.metrics import find_metric, predictions

READ_ROWS = 400
"""Rows of the training and of the evaluation set whose layers are read."""
HEAD_ROWS = 32
"""Rows whose attention is compared."""
FEWEST_ROWS = 8
"""With fewer, nothing is read out of layers."""


@dataclass(frozen=True)
class LayerAnalysis:
    """What the layers of a student and its teacher hold.

    Attributes:
        rows: of the evaluation set that were read.
        training_rows: that the probes learnt from; 0 where there are none.
        cka: linear CKA of every layer of the teacher (down) and of the student (across), the embedding output first.
        cka_by_chance: mean of the same with the student's texts shuffled.
        probes: score of a linear head on each layer, by model, the embedding output first; empty where left out.
        probe_floor: the same score of what answers without reading.
        spread: of the last layer's vectors, by model.
        groups: of each row in the projections: its class, or the third of the scores that its own lies in.
        projections: of the last layer's vectors, by model.
    """

    rows: int
    training_rows: int
    cka: tuple[tuple[float, ...], ...]
    cka_by_chance: float
    probes: dict[str, tuple[float, ...]]
    probe_floor: float
    spread: dict[str, VectorSpread]
    groups: tuple[str, ...]
    projections: dict[str, Projection]


@dataclass(frozen=True)
class Analysis:
    """What lies behind the scores of a student and its teacher.

    Attributes:
        metric: that probes are scored by.
        layers: what they hold; `None` where left out.
        heads: attention kept and lost; `None` where left out.
        differing: share of the evaluation rows that the two answer differently; `None` for scores.
        disagreements: the rows where they are farthest apart.
        left_out: what is missing, and why, one sentence each.
    """

    metric: str
    layers: LayerAnalysis | None
    heads: HeadComparison | None
    differing: float | None
    disagreements: tuple[Disagreement, ...]
    left_out: tuple[str, ...]


def analyse(
    runners: Mapping[str, TorchRunner],
    logits: Mapping[str, NDArray[np.float32]],
    dev: datasets.Dataset,
    train: datasets.Dataset,
    task: Task,
    *,
    max_length: int,
    seed: int = 0,
    shows_texts: bool = True,
) -> Analysis:
    """Look behind the scores.

    Args:
        runners: `teacher` and `student`.
        logits: what each answered to all of `dev`.
        dev: evaluation rows, in columns `text`, perhaps `text_pair`, and `label`.
        train: training rows; those without a label are not read.
        task: of both models.
        max_length: tokens per text at most.
        seed: of the rows that are read where there are more than `READ_ROWS`.
        shows_texts: whether rows where the two disagree come with their texts, or with their numbers alone.
    """
    kind, left_out = kind_of(task), list[str]()
    rows = dev.select(_some(np.arange(len(dev)), seed))
    if kind.reads_apart:
        rows = rows.remove_columns("text_pair")  # layers are compared on one text at a time
    is_labelled = kind.is_labelled(torch.from_numpy(labels_of(train, kind))).numpy()
    texts = train.select(_some(np.flatnonzero(is_labelled), seed))
    layers = _layers(runners, rows, texts, task, max_length, seed, left_out)
    heads = _heads(runners, rows, max_length, left_out)
    said = {name: predictions(one, kind) for name, one in logits.items()}
    differing = float(np.mean(said["teacher"] != said["student"])) if kind.one_class else None
    disagreements = find_disagreements(logits["teacher"], logits["student"], dev, task)
    if not shows_texts:
        disagreements = tuple(replace(one, text=None) for one in disagreements)
    return Analysis(task.metrics[0], layers, heads, differing, disagreements, tuple(left_out))


def _some(places: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """At most `READ_ROWS` of them, in their order."""
    if len(places) <= READ_ROWS:
        return places
    return np.sort(np.random.default_rng(seed).choice(places, READ_ROWS, replace=False))


# ---- Layers ----


def _layers(
    runners: Mapping[str, TorchRunner],
    rows: datasets.Dataset,
    texts: datasets.Dataset,
    task: Task,
    max_length: int,
    seed: int,
    left_out: list[str],
) -> LayerAnalysis | None:
    if len(rows) < FEWEST_ROWS:
        left_out.append(f"Layers are left out: fewer than {FEWEST_ROWS} evaluation rows say nothing about them.")
        return None
    kind, metric = kind_of(task), task.metrics[0]
    labels, of_texts = kind.stack(rows["label"]), kind.stack(texts["label"])
    if no_probes := _why_no_probes(of_texts, kind):
        left_out.append(no_probes)
        texts = texts.select([])
    read, learnt = dict[str, Vectors](), dict[str, Vectors]()
    with phase("looking into the layers", 2 * (len(rows) + len(texts))):
        try:
            for name, runner in runners.items():
                read[name] = pooled_layers(runner, rows, max_length=max_length)
                if len(texts):
                    learnt[name] = pooled_layers(runner, texts, max_length=max_length)
        except NoHiddenStatesError as error:
            left_out.append(f"Layers are left out: {error} gives no hidden states.")
            return None
    probes = {
        name: tuple(probe_layers(of_model, of_texts, read[name], labels, kind=kind, metric=metric))
        for name, of_model in learnt.items()
    }
    cka, by_chance = compare_layers(read["teacher"], read["student"], seed=seed)
    last, classes = {name: of_model[-1] for name, of_model in read.items()}, labels if kind.one_class else None
    return LayerAnalysis(
        rows=len(rows),
        training_rows=len(texts),
        cka=tuple(tuple(map(float, row)) for row in cka),
        cka_by_chance=by_chance,
        probes=probes,
        probe_floor=find_metric(metric, kind)(kind.floor(labels), labels),
        spread={name: describe_vectors(vectors, classes, seed=seed) for name, vectors in last.items()},
        groups=tuple(kind.groups(labels, task.id2label)),
        projections={name: project(vectors) for name, vectors in last.items()},
    )


def _why_no_probes(labels: NDArray[np.generic], kind: Kind) -> str:
    if kind.reads_windows:
        return "Probes of the layers are left out: answers are places in a text, which one vector does not hold."
    if kind.reads_words:
        return "Probes of the layers are left out: they read one vector for each text, and words have the labels here."
    if len(labels) < FEWEST_ROWS:
        return f"Probes of the layers are left out: there are fewer than {FEWEST_ROWS} rows to learn from."
    if kind.one_class and len(np.unique(labels)) < 2:
        return "Probes of the layers are left out: all rows that they would learn from are of one class."
    return ""


# ---- Heads ----


def _heads(
    runners: Mapping[str, TorchRunner], rows: datasets.Dataset, max_length: int, left_out: list[str]
) -> HeadComparison | None:
    teacher, student = runners["teacher"], runners["student"]
    if fingerprint_tokenizer(teacher.tokenizer) != fingerprint_tokenizer(student.tokenizer):
        left_out.append("Attention by head is left out: teacher and student read different tokens.")
        return None
    rows = rows.select(range(min(len(rows), HEAD_ROWS)))
    with phase("looking into the heads", len(rows)):
        try:
            return compare_heads(teacher, student, rows, max_length=max_length)
        except UserError:
            names = " or ".join(dict.fromkeys(type(runner.model).__name__ for runner in (teacher, student)))
            left_out.append(f"Attention by head is left out: that of {names} cannot be captured.")
            return None
