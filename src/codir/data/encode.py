"""Texts become token ids, one row each, under the tokenizer of the model that will read them.

A row carries `example_index`, its place in the training set, because teacher features, memory slots and negatives are
all found by it. Knows tokenizers; knows nothing of models or losses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import datasets
import numpy as np
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import BatchEncoding, DataCollatorWithPadding, PreTrainedTokenizerBase

from codir.data.sources.columns import not_a_text
from codir.data.words import POSITIONS, check_labels_of_words, check_words, join_words, pad_positions, positions_of
from codir.errors import UserError
from codir.signals import TokenPosition
from codir.system import progress
from codir.tasks import Kind, kind_of_outputs

SAMPLED_ROWS, SAMPLED_TOKENS = 1000, 512
"""How much is read to see how many tokens are unknown."""

MOST_UNKNOWN = 0.03
"""A share of unknown tokens above it is noted. Byte-level and SentencePiece tokenizers have next to none."""


def encode(dataset: datasets.Dataset, tokenizer: PreTrainedTokenizerBase, *, max_length: int) -> datasets.Dataset:
    """Tokenise `text` (and `text_pair`), or `words`, and number the rows.

    Args:
        dataset: columns `text`, optionally `text_pair` and `label`; or `words`, a list of texts in each row.
        tokenizer: of the model that will read the result.
        max_length: tokens at most, special ones included; longer rows are cut and marked in column `truncated`.

    Returns:
        What the tokenizer gives, and `example_index`, `length`, `truncated`, and `labels` where `dataset` has `label`;
        of words, `word_positions` too: the first token of each, -1 for a word without one.

    Raises:
        UserError: a text is missing or is none, words have more or fewer labels, or `max_length` leaves no room.
    """
    if "words" in dataset.column_names:
        return _encode_words(dataset, tokenizer, max_length=max_length)
    has_pair = "text_pair" in dataset.column_names
    check_room(tokenizer, max_length, pairs=has_pair)

    def tokenise(rows: dict[str, list[Any]], indices: list[int]) -> dict[str, Any]:
        encoded = tokenizer(
            rows["text"], rows["text_pair"] if has_pair else None, truncation=True, max_length=max_length
        )
        return {**encoded, **_facts_of(encoded, indices, max_length)}

    texts = ["text", "text_pair"] if has_pair else ["text"]
    for column in texts:
        check_texts(dataset, column)
    return _tokenised(dataset, tokenise, texts)


def _encode_words(
    dataset: datasets.Dataset, tokenizer: PreTrainedTokenizerBase, *, max_length: int
) -> datasets.Dataset:
    """The same of lists of words, and where each begins: column `word_positions`."""
    check_room(tokenizer, max_length)
    check_words(tokenizer)
    check_labels_of_words(dataset)

    def tokenise(rows: dict[str, list[Any]], indices: list[int]) -> dict[str, Any]:
        encoded = tokenizer([join_words(words) for words in rows["words"]], truncation=True, max_length=max_length)
        places = [positions_of(w, one.offsets) for w, one in zip(rows["words"], encoded.encodings, strict=True)]
        return {**encoded, **_facts_of(encoded, indices, max_length), POSITIONS: places}

    return _tokenised(dataset, tokenise, ["words"])


def _facts_of(encoded: BatchEncoding, indices: list[int], max_length: int) -> dict[str, Any]:
    """Number and length of each row, and whether it was cut."""
    lengths = [len(ids) for ids in encoded["input_ids"]]
    truncated = [length >= max_length for length in lengths]
    if encoded.encodings is not None:
        truncated = [bool(encoding.overflowing) for encoding in encoded.encodings]
    progress.advance(len(indices))
    return {"example_index": indices, "length": lengths, "truncated": truncated}


def _tokenised(dataset: datasets.Dataset, tokenise: Callable[..., Any], texts: list[str]) -> datasets.Dataset:
    with progress.phase("tokenising", len(dataset)):
        encoded = dataset.map(tokenise, batched=True, with_indices=True, remove_columns=texts, desc="tokenise")
    return encoded.rename_column("label", "labels") if "label" in encoded.column_names else encoded


def check_room(tokenizer: PreTrainedTokenizerBase, max_length: int, *, pairs: bool = False) -> None:
    """Refuse a length that special tokens alone fill: a tokenizer then cuts nothing, and the model sees no text.

    Raises:
        UserError: there is no room for a token of each text.
    """
    least = tokenizer.num_special_tokens_to_add(pair=pairs) + (2 if pairs else 1)
    if max_length < least:
        raise UserError(
            "max_length",
            expected=f"at least {least}, for the special tokens and one token of {'each' if pairs else 'the'} text",
            got=str(max_length),
            otherwise="no text would have been read, or none cut",
            do=f"set `--max-length {least}` or higher",
        )


def check_texts(dataset: datasets.Dataset, column: str) -> None:
    """Refuse a column in which anything but a text stands.

    Raises:
        UserError: a value is missing, or not a string; the message says in which row.
    """
    are_strings = getattr(dataset.features[column], "dtype", None) in ("string", "large_string")
    if are_strings and not dataset.data.column(column).null_count:
        return
    for row, value in enumerate(dataset.with_format(None)[column], start=1):
        if not isinstance(value, str):
            raise not_a_text(value, f"data set, column '{column}', row {row}")


def note_unknown_tokens(dataset: datasets.Dataset, tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Say so where a tokenizer does not know a noticeable part of the words; `SAMPLED_ROWS` rows are looked at.

    Args:
        dataset: texts, or token ids of this tokenizer.
        tokenizer: of the model that reads them.
    """
    unknown = tokenizer.unk_token_id
    others = (tokenizer.eos_token_id, tokenizer.bos_token_id, tokenizer.pad_token_id)  # GPT-2's is its end of text
    sample = dataset.select(range(min(len(dataset), SAMPLED_ROWS)))
    if unknown is None or unknown in others or not len(sample):
        return []
    if "input_ids" in sample.column_names:
        rows = [list(ids) for ids in sample["input_ids"]]
    else:
        columns = [name for name in ("text", "text_pair") if name in sample.column_names]
        for column in columns:
            check_texts(sample, column)
        texts = [text for column in columns for text in sample[column]]
        texts += [join_words(words) for words in (sample["words"] if "words" in sample.column_names else ())]
        rows = tokenizer(texts, add_special_tokens=False, truncation=True, max_length=SAMPLED_TOKENS)["input_ids"]
    tokens = sum(map(len, rows))
    share = sum(row.count(unknown) for row in rows) / max(tokens, 1)
    if share <= MOST_UNKNOWN:
        return []
    return [f"{share:.0%} of the tokens are unknown to the tokenizer: is it the right one for these texts?"]


def with_example_index(dataset: datasets.Dataset) -> datasets.Dataset:
    """Number the rows of a data set that was tokenised elsewhere, and note their lengths."""
    stale = [name for name in ("example_index", "length") if name in dataset.column_names]
    dataset = dataset.remove_columns(stale)  # from before it was shuffled or selected from
    if "label" in dataset.column_names:
        dataset = dataset.rename_column("label", "labels")
    lengths = pc.list_value_length(dataset.select_columns(["input_ids"]).with_format("arrow")[:]["input_ids"])
    dataset = dataset.add_column("example_index", list(range(len(dataset))))
    return dataset.add_column("length", lengths.to_pylist())


def prepare(
    dataset: datasets.Dataset, tokenizer: PreTrainedTokenizerBase | None, *, max_length: int
) -> datasets.Dataset:
    """Encode a data set of texts, or number one that is tokenised already.

    Raises:
        UserError: the data set holds neither `text` nor `input_ids`, or texts come without a tokenizer.
    """
    if not isinstance(dataset, datasets.Dataset):
        raise UserError(
            "data set",
            expected="a `datasets.Dataset`, whose rows can be numbered",
            got=type(dataset).__name__,
            do="make one with `datasets.Dataset.from_list`, or from a stream with `Dataset.from_generator`",
        )
    columns = dataset.column_names
    if {"label", "labels"} <= set(columns):
        raise UserError("data set", expected="`label` or `labels`", got="both", do="remove one of the columns")
    if "input_ids" in columns:
        return with_example_index(dataset)
    if not {"text", "words"} & {*columns}:
        raise UserError(
            "data set",
            expected="a column `text` (and optionally `text_pair`) or `words`, or the columns of a tokenizer with "
            "`input_ids`",
            got=f"columns {', '.join(columns)}",
            do="rename the text column with `dataset.rename_column(..., 'text')`, or tokenise the data set first",
        )
    if tokenizer is None:
        raise UserError(
            "processing_class",
            expected="a tokenizer, since the data set holds texts",
            got="None",
            do="pass `processing_class=tokenizer`",
        )
    return encode(dataset, tokenizer, max_length=max_length)


def fit_labels(encoded: datasets.Dataset, num_labels: int, kind: Kind | None = None) -> datasets.Dataset:
    """Check that the labels are what a model with this many outputs can learn; scores become floats.

    Args:
        encoded: with or without a column `labels`.
        num_labels: outputs of the model.
        kind: of the task; what the outputs say by default.

    Raises:
        UserError: class labels that are not indices below `num_labels` or `IGNORED_CLASS`, scores that are no numbers.
    """
    if "labels" not in encoded.column_names:
        return encoded
    kind = kind or kind_of_outputs(num_labels)
    labels = labels_of(encoded, kind, "labels")
    dtype = fitted_dtype(labels, num_labels, kind)
    return (
        encoded if dtype == str(labels.dtype) else encoded.cast_column("labels", label_feature(kind, num_labels, dtype))
    )


def fitted_dtype(labels: NDArray[Any], num_labels: int, kind: Kind) -> str:
    """The dtype in which a model with this many outputs learns labels, rows first.

    Raises:
        UserError: as `fit_labels`.
    """
    dtype = kind.fitted(labels, num_labels)
    if dtype is not None:
        return dtype
    raise UserError(
        "labels",
        expected=kind.labels_in_words(num_labels),
        got=f"{labels[kind.misfit(labels, num_labels)].tolist()!r} ({labels.dtype})",
        do="number the classes, for instance with `codir.load_data`, or take a model with as many outputs",
    )


def label_feature(kind: Kind, outputs: int, dtype: str | None = None) -> Any:
    """What a column of labels is to `datasets`.

    Args:
        kind: of the task.
        outputs: of a model of this task.
        dtype: of its numbers; that of column `label` by default.

    Example:
        >>> from codir.tasks import KINDS
        >>> label_feature(KINDS["classification"], 3)
        Value('int64')
    """
    feature: Any = datasets.Value(dtype or kind.label_dtype)
    for size in reversed(kind.label_shape(outputs)):
        feature = datasets.Sequence(feature, length=-1 if size is None else size)
    return feature


def labels_of(dataset: datasets.Dataset, kind: Kind, name: str = "label") -> NDArray[Any]:
    """A column of labels as one array, rows first; see `Kind.stack`.

    Raises:
        UserError: rows have other numbers of labels, where all should have the same.
    """
    if not kind.label_shape(1):
        return column_of(dataset, name)
    rows = dataset[name][:]
    widths = set() if kind.label_shape(1) == (None,) else {len(row) for row in rows if isinstance(row, list)} - {0}
    if len(widths) > 1:
        raise UserError(
            name,
            expected=f"as many in each row, for task `{kind.name}`",
            got=f"{min(widths)} in one row, {max(widths)} in another",
            otherwise="those that are missing would have counted as unknown",
            do="give every row a number for each label",
        )
    return kind.stack(rows)


def column_of(dataset: datasets.Dataset, name: str) -> NDArray[Any]:
    """A column as `np.asarray` gives it, to the bit, but without a Python object for each number: 40 times faster.

    Example:
        >>> column_of(datasets.Dataset.from_dict({"labels": [1, 0]}), "labels")
        array([1, 0])
    """
    dtype = str(getattr(dataset.features[name], "dtype", ""))
    if not dtype.startswith(("int", "uint", "float")) or dataset.data.column(name).null_count:
        return np.asarray(dataset[name])
    wide = np.float64 if dtype.startswith("float") else np.int64
    return np.asarray(dataset.with_format("numpy", columns=[name], dtype=wide)[name][:])


def model_columns(dataset: datasets.Dataset, tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """The columns of an encoded data set that the model itself reads."""
    return [name for name in tokenizer.model_input_names if name in dataset.column_names]


def length_sorted_batches(
    encoded: datasets.Dataset,
    tokenizer: PreTrainedTokenizerBase,
    *,
    batch_size: int,
    rows: Sequence[int] | None = None,
    words: bool = False,
) -> Iterator[tuple[np.ndarray, dict[str, Tensor]]]:
    """Batches for inference, longest first, so that hardly any padding is computed and memory peaks at once.

    Args:
        encoded: the result of `encode`.
        tokenizer: pads the batches.
        batch_size: rows per batch.
        rows: only these rows; all by default.
        words: whether the positions of words come along, where rows have any.

    Yields:
        Row numbers `[batch]` in `encoded`, and what the model reads of them.
    """
    chosen = np.arange(len(encoded)) if rows is None else np.asarray(rows)
    lengths = column_of(encoded, "length")[chosen]
    order = chosen[np.argsort(-lengths, kind="stable")]
    collate = RowCollator(encoded, tokenizer, words=words)
    for start in range(0, len(order), batch_size):
        indices = order[start : start + batch_size]
        yield indices, collate(indices.tolist())


class RowCollator:
    """Takes rows by number: what the model reads of them, in the order asked for, padded to the longest.

    To the same tensors as `transformers.DataCollatorWithPadding`, without a Python object for each token.

    Args:
        encoded: the result of `encode`.
        tokenizer: says what stands at padding, and on which side.
        words: whether the positions of words come along, where rows have any.
    """

    def __init__(self, encoded: datasets.Dataset, tokenizer: PreTrainedTokenizerBase, *, words: bool = False) -> None:
        self._columns = encoded.select_columns(model_columns(encoded, tokenizer)).with_format("arrow")
        self._words = encoded.select_columns([POSITIONS]) if words and POSITIONS in encoded.column_names else None
        self._is_left = tokenizer.padding_side == "left"
        self._fill = {
            "input_ids": tokenizer.pad_token_id,
            "attention_mask": 0,
            "token_type_ids": tokenizer.pad_token_type_id,
        }
        self._makes_mask = "attention_mask" in tokenizer.model_input_names
        self._pad = DataCollatorWithPadding(tokenizer)

    def __call__(self, rows: Sequence[int]) -> dict[str, Tensor]:
        """Collate these rows."""
        batch = self._padded(rows)
        if self._words is None:
            return batch
        return {**batch, POSITIONS: pad_positions(self._words[list(rows)][POSITIONS], self._padding_before(rows))}

    def _padding_before(self, rows: Sequence[int]) -> list[int] | None:
        """Tokens of padding before each row of a batch; `None` where padding stands behind."""
        if not self._is_left:
            return None
        lengths = pc.list_value_length(self._columns[list(rows)]["input_ids"]).to_numpy()
        return (lengths.max() - lengths).tolist()

    def _padded(self, rows: Sequence[int]) -> dict[str, Tensor]:
        table = self._columns[list(rows)]
        if any(self._fill.get(name) is None for name in table.column_names):
            return dict(self._pad(table.to_pylist()))  # a column that the tokenizer alone can pad, or none to pad with
        lengths = pc.list_value_length(table["input_ids"]).to_numpy()
        is_real = np.arange(lengths.max()) < lengths[:, None]
        is_real = is_real[:, ::-1] if self._is_left else is_real
        padded = {}
        for name in table.column_names:
            padded[name] = np.full(is_real.shape, self._fill[name], np.int64)
            padded[name][is_real] = pc.list_flatten(table[name]).to_numpy()
        if self._makes_mask and "attention_mask" not in padded:
            padded["attention_mask"] = is_real.astype(np.int64)
        return {name: torch.from_numpy(values) for name, values in padded.items()}


def cls_token_position(tokenizer: PreTrainedTokenizerBase) -> TokenPosition:
    """Where the token stands that speaks for the sequence: `[CLS]` where there is one, else the last token read."""
    ids = tokenizer("a").input_ids
    return "first" if tokenizer.cls_token_id is not None and ids[0] == tokenizer.cls_token_id else "last"
