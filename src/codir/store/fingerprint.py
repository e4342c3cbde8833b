"""Fingerprints of all that decides what a cache holds: change any of it, and the cache is another one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.compute as pc
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

VOLATILE_CONFIG_KEYS = (
    "_name_or_path",
    "transformers_version",
    "architectures",
    "dtype",
    "id2label",
    "label2id",
    "use_cache",
)
UNREAD_COLUMNS = ("label", "labels", "group", "id", "example_index", "length", "truncated")
"""What a data set may hold and no teacher reads."""


def _digest(chunks: Iterable[bytes]) -> str:
    hasher = hashlib.blake2b(digest_size=16)
    for chunk in chunks:
        hasher.update(chunk)
    return hasher.hexdigest()


def fingerprint_model(model: PreTrainedModel) -> str:
    """Of the weights, to the bit, and of the configuration that says what they mean."""

    def chunks() -> Iterable[bytes]:
        config = {k: v for k, v in model.config.to_dict().items() if k not in VOLATILE_CONFIG_KEYS}
        yield json.dumps(config, sort_keys=True, default=str).encode()
        for name, tensor in sorted(model.state_dict().items()):
            yield f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode()
            yield memoryview(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())  # type: ignore[misc]

    return _digest(chunks())


def fingerprint_tokenizer(tokenizer: PreTrainedTokenizerBase) -> str:
    """Of what it does to a text; how it last padded or cut one does not count."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        slow = {"class": type(tokenizer).__name__, "init": tokenizer.init_kwargs, "vocab": tokenizer.get_vocab()}
        rules = json.dumps(slow, sort_keys=True, default=str)
    else:
        rules = _without(backend.to_str(), "truncation", "padding")
    sides = [tokenizer.truncation_side, tokenizer.padding_side, *tokenizer.model_input_names]
    return _digest([rules.encode(), json.dumps(sides).encode()])


def _without(written: str, *keys: str) -> str:
    """A JSON object without the values of keys that stand before all others; the rest, a vocabulary, is not parsed.

    Example:
        >>> _without('{"version":"1.0","padding":{"pad_id":0},"model":{"padding":1}}', "padding")
        '{"version":"1.0","padding":,"model":{"padding":1}}'
    """
    for key in keys:
        start = written.index(f'"{key}":') + len(f'"{key}":')
        end = json.JSONDecoder().raw_decode(written, start)[1]
        written = written[:start] + written[end:]
    return written


def fingerprint_texts(dataset: datasets.Dataset) -> str:
    """Of every text (or row of token ids and masks) and its place; labels do not count, since no teacher sees them."""
    columns = [name for name in sorted(dataset.column_names) if name not in UNREAD_COLUMNS]
    texts = dataset.select_columns(columns).with_format(None)
    return _digest(json.dumps(rows, sort_keys=True).encode() for rows in texts.iter(batch_size=4096))


def fingerprint_labels(dataset: datasets.Dataset, column: str = "labels") -> str:
    """Of the label of every row; empty where there is no such column."""
    if column not in dataset.column_names:
        return ""
    columns = dataset.select_columns([column]).with_format("arrow")

    def chunks() -> Iterable[bytes]:
        for table in columns.iter(batch_size=65_536):
            labels = table[column].combine_chunks()
            while pa.types.is_nested(labels.type):  # NumPy would give the addresses of lists
                yield pc.list_value_length(labels).to_numpy(zero_copy_only=False).tobytes()
                labels = pc.list_flatten(labels)
            yield labels.to_numpy(zero_copy_only=False).tobytes()

    return _digest(chunks())


def fingerprint_sequences(corpus: datasets.Dataset) -> str:
    """Of the token ids of a corpus, sequence by sequence, without a Python object for each: there may be billions."""

    def chunks() -> Iterable[bytes]:
        for table in corpus.select_columns(["input_ids"]).with_format("arrow").iter(batch_size=65_536):
            sequences = table["input_ids"]
            yield pc.list_value_length(sequences).to_numpy().tobytes()
            yield pc.list_flatten(sequences).to_numpy().tobytes()

    return _digest(chunks())


def fingerprint_files(files: Sequence[Path]) -> str:
    """Of what stands in files, in this order, and of the endings that say how to read it; names do not count."""

    def chunks() -> Iterable[bytes]:
        for file in files:
            with file.open("rb") as content:
                yield f"{file.suffix.lower()} {hashlib.file_digest(content, 'blake2b').hexdigest()}".encode()

    return _digest(chunks())
