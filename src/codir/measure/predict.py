"""A model's answers on a data set."""

from __future__ import annotations

import datasets
import numpy as np

from codir.data import length_sorted_batches
from codir.measure.runner import Runner
from codir.system.progress import advance
from codir.tasks.thresholds import move


def predict_logits(runner: Runner, encoded: datasets.Dataset, *, batch_size: int = 64) -> np.ndarray:
    """Logits `[rows, classes]` in fp32, in the order of the rows; less those of the model's thresholds, if it has any.

    Args:
        runner: a classification or regression model.
        encoded: the data set under the model's own tokenizer; at least one row.
        batch_size: rows per batch.
    """
    logits: np.ndarray | None = None
    with runner.running():
        for rows, inputs in length_sorted_batches(encoded, runner.tokenizer, batch_size=batch_size):
            answers = runner.logits(runner.place(inputs)).float().cpu().numpy()
            if logits is None:
                logits = np.empty((len(encoded), answers.shape[1]), dtype=np.float32)
            logits[rows] = answers
            advance(len(rows))
    assert logits is not None, "an empty data set is refused when it is loaded"
    return move(logits, runner.thresholds)
