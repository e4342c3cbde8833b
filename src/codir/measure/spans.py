"""A model's answers to questions over contexts, window by window."""

from __future__ import annotations

import datasets
import numpy as np

from codir.data import decode, encode_windows
from codir.measure.predict import predict_logits
from codir.measure.runner import Runner
from codir.tasks.squad import Gold
from codir.tasks.thresholds import move


def ask_spans(runner: Runner, rows: datasets.Dataset, *, max_length: int, batch_size: int) -> np.ndarray:
    """The best span of each context, `[rows, 4]`; see `codir.data.decode`.

    A question may have no answer where any of `rows` has none.

    Args:
        runner: a model with a question answering head.
        rows: questions, contexts and answers.
        max_length: tokens of a window at most.
        batch_size: windows per batch.
    """
    encoded = encode_windows(rows, runner.tokenizer, max_length=max_length, with_offsets=True)
    logits = predict_logits(runner, encoded, batch_size=batch_size)
    found = decode(logits, encoded, len(rows), may_be_none=any(start < 0 for start, _ in rows["label"]))
    if runner.thresholds is not None:
        found[:, 3:] = move(found[:, 3:], runner.thresholds)
    return found


def golds_of(rows: datasets.Dataset) -> np.ndarray:
    """What is right for each question, `[rows]`."""
    found = np.empty(len(rows), dtype=object)
    for row, (context, answers) in enumerate(zip(rows["text_pair"], rows["answers"], strict=True)):
        found[row] = Gold(context, tuple(answers))
    return found
