"""A model's answers on a data set."""

from __future__ import annotations

import datasets
import numpy as np

from codir.data import POSITIONS, length_sorted_batches
from codir.measure.runner import Runner
from codir.signals import take_words
from codir.system.progress import advance
from codir.tasks import NO_LOGIT, NOWHERE
from codir.tasks.thresholds import move


def predict_logits(runner: Runner, encoded: datasets.Dataset, *, batch_size: int = 64) -> np.ndarray:
    """Logits in fp32, in the order of the rows: `[rows, classes]`, or `[rows, words, classes]` of rows of words.

    Less those of the model's thresholds, if it has any. Words that a model has not read, and those behind the last of a
    row, have minus infinity.

    Of windows they are `[rows, tokens, 2]`, padded; their threshold counts where whole questions are answered.

    Args:
        runner: a model of any kind of task.
        encoded: the data set under the model's own tokenizer; at least one row.
        batch_size: rows per batch.
    """
    logits: np.ndarray | None = None
    words = max(map(len, encoded[POSITIONS]), default=0) if POSITIONS in encoded.column_names else None
    with runner.running():
        for rows, inputs in length_sorted_batches(encoded, runner.tokenizer, batch_size=batch_size, words=True):
            positions = inputs.pop(POSITIONS, None)
            found = runner.logits(runner.place(inputs)).float()
            if positions is not None:
                found = take_words(found, positions.to(found.device))
            answers = found.cpu().numpy()
            if logits is None:
                shape = answers.shape[1:] if words is None else (words, answers.shape[2])
                nothing = NO_LOGIT if words is not None else NOWHERE  # of windows; the longest rows come first
                logits = np.full((len(encoded), *shape), nothing, dtype=np.float32)
            logits[rows, : answers.shape[1]] = answers
            advance(len(rows))
    assert logits is not None, "an empty data set is refused when it is loaded"
    return move(logits, runner.thresholds) if logits.ndim == 2 else logits
