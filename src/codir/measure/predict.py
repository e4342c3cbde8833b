"""A model's answers on a data set, and what they are worth."""

from __future__ import annotations

import datasets
import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from codir.data import length_sorted_batches
from codir.system import autocast


@torch.inference_mode()
def predict_logits(
    model: PreTrainedModel,
    encoded: datasets.Dataset,
    tokenizer: PreTrainedTokenizerBase,
    *,
    batch_size: int = 64,
    dtype: torch.dtype = torch.float32,
) -> np.ndarray:
    """Logits `[rows, classes]` in the order of the rows; the model runs in eval mode on the device where it is.

    Args:
        model: a sequence classification or regression model.
        encoded: the data set under the model's own tokenizer.
        tokenizer: the model's.
        batch_size: rows per batch.
        dtype: of the matrix products.
    """
    was_training = model.training
    model.eval()
    logits: np.ndarray | None = None
    for rows, inputs in length_sorted_batches(encoded, tokenizer, batch_size=batch_size):
        on_device = {name: tensor.to(model.device) for name, tensor in inputs.items()}
        with autocast(model.device, dtype):
            answers = model(**on_device).logits.float().cpu().numpy()
        if logits is None:
            logits = np.empty((len(encoded), answers.shape[1]), dtype=np.float32)
        logits[rows] = answers
    model.train(was_training)
    assert logits is not None, "an empty data set is refused when it is loaded"
    return logits
