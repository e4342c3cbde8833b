"""The two texts of a row, read one by one: what a model reads that gives a vector for each text."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from datasets import Dataset, Features, Sequence, Value
from jaxtyping import Float, Int
from numpy.typing import NDArray

from codir.tasks import Kind


def texts_apart(rows: Dataset) -> Dataset:
    """Each row of two texts as two rows of one, the first before the second.

    Args:
        rows: columns `text`, `text_pair` and perhaps `label`; those with a single text stay as they are.

    Returns:
        Columns `text` and `label`: the label of the pair (NaN where it has none), and the number of the text; equal
        texts have equal numbers.

    Example:
        >>> pairs = Dataset.from_dict({"text": ["a", "b"], "text_pair": ["b", "c"], "label": [1.0, 0.0]})
        >>> texts_apart(pairs)[:]
        {'text': ['a', 'b', 'b', 'c'], 'label': [[1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [0.0, 2.0]]}
    """
    if "text_pair" not in rows.column_names:
        return rows
    texts = [text for pair in zip(rows["text"], rows["text_pair"], strict=True) for text in pair]
    of_pairs = list(rows["label"]) if "label" in rows.column_names else [math.nan] * len(rows)
    numbers = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    labels = [[float(of_pairs[place // 2]), float(numbers[text])] for place, text in enumerate(texts)]
    features = Features({"text": Value("string"), "label": Sequence(Value("float32"), length=2)})
    return Dataset.from_dict({"text": texts, "label": labels}, features=features)


def as_read(dataset: Any, kind: Kind) -> Any:
    """The same rows, or both texts of each as rows of their own where a model reads them one by one."""
    are_pairs = isinstance(dataset, Dataset) and {"text", "text_pair"} <= {*dataset.column_names}
    return texts_apart(dataset) if kind.reads_apart and are_pairs else dataset


def to_learn_from(dataset: Any, kind: Kind | None) -> Any:
    """Training rows as they are; without their labels where a kind of task learns from none, and each text by itself.

    Args:
        dataset: texts, or token ids; `prepare` refuses what is no data set.
        kind: of the task; `None` for a language model.
    """
    if kind is None or "labels" in kind.offers or not isinstance(dataset, Dataset):
        return dataset
    return _unlabelled(as_read(_unlabelled(dataset), kind))  # `texts_apart` numbers the texts in their labels


def _unlabelled(dataset: Dataset) -> Dataset:
    return dataset.remove_columns([name for name in ("label", "labels") if name in dataset.column_names])


def texts_together(
    vectors: Float[np.ndarray, "texts width"], labels: Float[np.ndarray, "texts two"]
) -> tuple[NDArray[np.float32], NDArray[np.float32], Int[np.ndarray, "rows two"], Float[np.ndarray, " rows"]]:
    """What was said of the texts of `texts_apart`, pair by pair.

    Returns:
        Vectors of the first texts, of the second texts, the numbers of both, and the labels of the pairs.
    """
    numbers = labels[:, 1].astype(np.int64)
    return vectors[0::2], vectors[1::2], np.stack([numbers[0::2], numbers[1::2]], axis=1), labels[0::2, 0]


def answers_to_pairs(
    vectors: Float[np.ndarray, "texts width"], labels: Float[np.ndarray, "texts two"], kind: Kind
) -> tuple[Float[np.ndarray, "rows one"], Float[np.ndarray, " rows"]]:
    """What vectors of the texts of `texts_apart` answer to the pairs, and the labels of these.

    Args:
        vectors: of length 1.
        labels: as `texts_apart` gives them.
        kind: of the task, which compares the two vectors of a pair.
    """
    first, second, texts, of_pairs = texts_together(vectors, labels)
    return kind.compare(first, second, texts=texts), of_pairs
