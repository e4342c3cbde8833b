"""Words and the tokens that a tokenizer makes of them: where in a row of tokens each word begins.

A text is its words with a space between them, whatever tokenizer reads it. So teacher and student may read with
different ones: both answer at the first piece of word `i`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import datasets
import numpy as np
import pyarrow.compute as pc
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from codir.errors import UserError
from codir.tasks import IGNORED_CLASS, pad_rows

UNREAD = -1
"""The position of a word that has no token: its row was cut before it, or its tokenizer makes nothing of it."""
POSITIONS = "word_positions"
"""The column of positions."""


def check_words(tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse a tokenizer that does not say where its tokens stand in a text.

    Raises:
        UserError: it is a slow one.
    """
    if not tokenizer.is_fast:
        raise UserError(
            "tokenizer",
            expected="a fast one, which says which token begins a word",
            got=type(tokenizer).__name__,
            do="save its fast version into the model's folder: `AutoTokenizer.from_pretrained(..., use_fast=True)`",
        )


def check_labels_of_words(dataset: datasets.Dataset) -> None:
    """Refuse a row whose labels are not one for each word; a row may have none at all.

    Raises:
        UserError: a row has more or fewer; the message says which.
    """
    name = next((name for name in ("label", "labels") if name in dataset.column_names), None)
    if name is None or not isinstance(dataset.features[name], datasets.List | datasets.Sequence):
        return
    table = dataset.select_columns(["words", name]).with_format("arrow")[:]
    words, labels = (pc.fill_null(pc.list_value_length(table[one]), 0).to_numpy() for one in ("words", name))
    wrong = np.flatnonzero((labels != words) & (labels != 0))
    if not len(wrong):
        return
    row = int(wrong[0])
    raise UserError(
        f"data set, row {row + 1}",
        expected=f"a label for each of its {words[row]} words, or none at all",
        got=str(labels[row]),
        otherwise="words without one would have been left out in silence",
        do=f"give each word its label, {IGNORED_CLASS} to one that nobody tagged",
    )


def join_words(words: Sequence[str]) -> str:
    """The text that models read.

    Example:
        >>> join_words(["New", "York"])
        'New York'
    """
    return " ".join(words)


def positions_of(words: Sequence[str], offsets: Sequence[tuple[int, int]]) -> list[int]:
    """The first token of each word, `UNREAD` for a word without one.

    Args:
        words: of one row.
        offsets: where each token stands in the text that `join_words` makes of them; empty for special tokens.

    Example:
        >>> positions_of(["New", "York", "ers"], [(0, 0), (0, 3), (4, 6), (6, 8), (0, 0)])
        [1, 2, -1]
    """
    tokens = [(place, start, end) for place, (start, end) in enumerate(offsets) if end > start]
    found: list[int] = []
    begin = next_token = 0
    for word in words:
        end_of_word = begin + len(word)
        while next_token < len(tokens) and tokens[next_token][2] <= begin:
            next_token += 1
        is_there = next_token < len(tokens) and tokens[next_token][1] < end_of_word
        found.append(tokens[next_token][0] if is_there else UNREAD)
        begin = end_of_word + 1
    return found


def pad_positions(rows: Sequence[Sequence[int]], before: Sequence[int] | None = None) -> Tensor:
    """Positions of words in a padded batch as `[rows, words]`, `UNREAD` behind the last word of a row.

    Args:
        rows: the position of each word in its row of tokens.
        before: how many tokens of padding stand before each row; none by default.

    Example:
        >>> pad_positions([[1, 2], [1]], before=[0, 3])
        tensor([[ 1,  2],
                [ 4, -1]])
    """
    found = torch.from_numpy(pad_rows(rows, UNREAD))
    return found if before is None else torch.where(found >= 0, found + torch.tensor(before).unsqueeze(1), found)


def mask_unread(encoded: datasets.Dataset) -> datasets.Dataset:
    """Take the labels of words away that have no token: nothing can be learnt of them. A row may have no labels."""
    if not count_unread(encoded) or "labels" not in encoded.column_names:
        return encoded

    def mask(rows: dict[str, list[Any]]) -> dict[str, Any]:
        return {
            "labels": [
                [label if place != UNREAD else IGNORED_CLASS for label, place in zip(labels, places, strict=False)]
                for labels, places in zip(rows["labels"], rows[POSITIONS], strict=True)
            ]
        }

    return encoded.map(mask, batched=True)


def count_unread(encoded: datasets.Dataset) -> int:
    """How many words have no token."""
    if POSITIONS not in encoded.column_names:
        return 0
    return sum(list(row).count(UNREAD) for row in encoded[POSITIONS])


def words_of_tokens(encoded: datasets.Dataset) -> datasets.Dataset:
    """Rows that were tokenised elsewhere, with a label for each token as `transformers`' examples have them.

    Each token with a label begins a word; the others have `IGNORED_CLASS`.

    Raises:
        UserError: there are no labels, or not one for each token, so that nobody knows where words begin.
    """
    if POSITIONS in encoded.column_names:
        return encoded
    has_labels = "labels" in encoded.column_names and isinstance(
        encoded.features["labels"], datasets.List | datasets.Sequence
    )
    if not has_labels or any(len(a) != len(b) for a, b in zip(encoded["labels"], encoded["input_ids"], strict=True)):
        raise UserError(
            "data set",
            expected=f"rows of token ids with a label for each token, {IGNORED_CLASS} but at the first of each word",
            got="no such labels",
            do="pass the data set with its columns `words` and `label`",
        )

    def split(rows: dict[str, list[Any]]) -> dict[str, Any]:
        places = [[place for place, label in enumerate(row) if label != IGNORED_CLASS] for row in rows["labels"]]
        labels = [[row[place] for place in of_row] for row, of_row in zip(rows["labels"], places, strict=True)]
        return {"labels": labels, POSITIONS: places}

    return encoded.map(split, batched=True)
