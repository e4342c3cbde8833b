"""Long contexts in windows that overlap: questions become rows that a model can read, and spans of windows answers.

Knows tokenizers; knows nothing of models or losses.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import datasets
import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from codir.data.encode import check_texts
from codir.errors import UserError
from codir.system import progress
from codir.tasks import IGNORED_CLASS
from codir.tasks.question_answering import LONGEST_ANSWER

BEST = 20
"""Starts and ends of a window that are combined, as in BERT's release."""
LEAST_CONTEXT = 8
"""Tokens of the context that a window must have room for beside the question."""
OFFSETS, ROW = "offsets", "row"


def stride_for(max_length: int) -> int:
    """Tokens that two windows share: a third of a window, as the usual 128 of 384.

    Example:
        >>> stride_for(384)
        128
    """
    return max_length // 3


def encode_windows(
    dataset: datasets.Dataset, tokenizer: PreTrainedTokenizerBase, *, max_length: int, with_offsets: bool = False
) -> datasets.Dataset:
    """Tokenise questions and contexts; a context that is too long gives several rows, its windows, in its order.

    Args:
        dataset: columns `text` (the question), `text_pair` (the context) and perhaps `label`: where the answer starts
            and ends in the context, in characters, -1 for no answer.
        tokenizer: of the model that will read the result.
        max_length: tokens of a window at most.
        with_offsets: keep where each token of the context stands in it, as `decode` needs it.

    Returns:
        What the tokenizer gives, and `row` (of `dataset`), `example_index`, `length`, `truncated`, and `labels`: the
        positions of the answer's first and last token, or of the first token of all where the window has none.

    Raises:
        UserError: a slow tokenizer, which does not say where tokens stand, a text that is missing, or a question that
            leaves no room.
    """
    _check(dataset, tokenizer, max_length)
    stride = stride_for(max_length)

    def tokenise(rows: dict[str, list[Any]], indices: list[int]) -> dict[str, list[Any]]:
        questions = [question.strip() for question in rows["text"]]
        room = max_length - tokenizer.num_special_tokens_to_add(pair=True)
        longest = max(_question_lengths(questions, indices, tokenizer, room))
        encoded = tokenizer(
            questions,
            rows["text_pair"],
            truncation="only_second",
            max_length=max_length,
            stride=min(stride, max(room - longest - 1, 0)),
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        places, offsets = encoded.pop("overflow_to_sample_mapping"), encoded.pop("offset_mapping")
        windows_of = Counter(places)
        found: dict[str, list[Any]] = {
            **encoded,
            ROW: [indices[place] for place in places],
            "length": [len(ids) for ids in encoded["input_ids"]],
            "truncated": [windows_of[place] > 1 for place in places],
        }
        of_context = [
            [span if part == 1 else (-1, -1) for span, part in zip(spans, encoded.sequence_ids(window), strict=True)]
            for window, spans in enumerate(offsets)
        ]
        if "label" in rows:
            spans = [_trimmed(*pair) for pair in zip(rows["text_pair"], rows["label"], strict=True)]
            found["labels"] = [
                _positions(of_window, spans[place]) for of_window, place in zip(of_context, places, strict=True)
            ]
        if with_offsets:
            found[OFFSETS] = of_context
        progress.advance(len(indices))
        return found

    with progress.phase("tokenising", len(dataset)):
        encoded = dataset.map(
            tokenise, batched=True, with_indices=True, remove_columns=dataset.column_names, desc="tokenise"
        )
    return encoded.add_column("example_index", list(range(len(encoded))))


def decode(
    logits: Float[np.ndarray, "windows tokens 2"], encoded: datasets.Dataset, rows: int, *, may_be_none: bool
) -> Float[np.ndarray, "rows 4"]:
    """The best span of each context, of all its windows.

    Args:
        logits: of starting and of ending at each token.
        encoded: from `encode_windows`, with offsets.
        rows: how many questions there are.
        may_be_none: whether a question may have no answer: its score is then the least of all windows' at their first
            token, as in BERT's release for SQuAD 2.0; otherwise it is lower than any.

    Returns:
        Start and end in the context, in characters, the span's score and that of no answer.
    """
    found = np.tile(np.array([-1.0, -1.0, -1e9, 1e9]), (rows, 1))
    for one, of_window in zip(logits, encoded.with_format(None).select_columns([ROW, OFFSETS]), strict=True):
        offsets = np.asarray(of_window[OFFSETS])
        best = found[of_window[ROW]]
        best[3] = min(best[3], one[0].sum())
        start, end, score = _best_span(one[: len(offsets)], offsets)
        if score > best[2]:
            best[:3] = start, end, score
    if not may_be_none:
        found[:, 3] = -1e9 - 1
    return found


def _best_span(logits: NDArray[np.float32], offsets: NDArray[np.int64]) -> tuple[int, int, float]:
    inside = np.flatnonzero(offsets[:, 1] > offsets[:, 0])
    starts, ends = (inside[np.argsort(-logits[inside, place], kind="stable")[:BEST]] for place in (0, 1))
    apart = ends[None] - starts[:, None]
    scores = logits[starts, 0][:, None] + logits[ends, 1][None]
    scores = np.where((apart >= 0) & (apart < LONGEST_ANSWER), scores, -np.inf)
    if not scores.size or not np.isfinite(scores).any():
        return -1, -1, -np.inf
    first, last = np.unravel_index(scores.argmax(), scores.shape)
    return int(offsets[starts[first], 0]), int(offsets[ends[last], 1]), float(scores[first, last])


def _trimmed(context: str, label: list[int]) -> tuple[int, int]:
    """Start and end of an answer without the white space around it, of which there are no tokens."""
    start, end = label
    if start < 0 or not context[start:end].strip():
        return start, end
    text = context[start:end]
    return start + len(text) - len(text.lstrip()), end - len(text) + len(text.rstrip())


def _positions(offsets: list[tuple[int, int]], label: tuple[int, int]) -> list[int]:
    """The first and the last token of an answer that stands in this window as a whole; else the first of all, twice.

    Characters at its ends of which the tokenizer makes nothing do not count, where tokens stand before and behind them.
    """
    start, end = label
    if start == IGNORED_CLASS:
        return [IGNORED_CLASS, IGNORED_CLASS]
    tokens = [place for place, (first, last) in enumerate(offsets) if last > first]
    inside = [place for place in tokens if offsets[place][1] > start and offsets[place][0] < end]
    if start < 0 or not inside:
        return [0, 0]
    begins = offsets[inside[0]][0] <= start or inside[0] > tokens[0]
    ends = offsets[inside[-1]][1] >= end or inside[-1] < tokens[-1]
    return [inside[0], inside[-1]] if begins and ends else [0, 0]


def _check(dataset: datasets.Dataset, tokenizer: PreTrainedTokenizerBase, max_length: int) -> None:
    if not tokenizer.is_fast:
        raise UserError(
            "tokenizer",
            expected="a fast one, which says where in a text its tokens stand",
            got=type(tokenizer).__name__,
            do="load it with `AutoTokenizer.from_pretrained(..., use_fast=True)`",
        )
    if tokenizer.padding_side != "right" or tokenizer.truncation_side != "right":
        raise UserError(
            "tokenizer",
            expected="one that pads and cuts at the right, for questions and contexts",
            got=f"padding at the {tokenizer.padding_side}, cutting at the {tokenizer.truncation_side}",
            do="set `padding_side` and `truncation_side` to `right`",
        )
    missing = [name for name in ("text", "text_pair") if name not in dataset.column_names]
    if missing:
        raise UserError(
            "data set",
            expected="columns `text`, the question, and `text_pair`, the context",
            got=f"columns {', '.join(dataset.column_names)}",
            do="rename the columns, or read SQuAD's files with `codir.load_data(..., task='question_answering')`",
        )
    for column in ("text", "text_pair"):
        check_texts(dataset, column)


def _question_lengths(
    questions: list[str], indices: list[int], tokenizer: PreTrainedTokenizerBase, room: int
) -> list[int]:
    """Tokens of each question; one that leaves no room for its context is refused."""
    lengths = [len(ids) for ids in tokenizer(questions, add_special_tokens=False)["input_ids"]]
    most = room - LEAST_CONTEXT
    for index, length in zip(indices, lengths, strict=True):
        if length > most:
            raise UserError(
                f"question {index + 1}",
                expected=f"at most {most} tokens, so that its window has room for {LEAST_CONTEXT} of its context",
                got=str(length),
                do="set `--max-length 384`, or shorten the question",
            )
    return lengths
