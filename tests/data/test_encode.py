"""Texts, token ids, batches: lengths, truncation marks, orders that depend on seed and epoch alone."""

from __future__ import annotations

import copy

import datasets
import numpy as np
import pytest
import torch
from transformers import DataCollatorWithPadding

from codir.data import (
    DistillationCollator,
    EpochLengthGroupedSampler,
    RowCollator,
    column_of,
    encode,
    length_sorted_batches,
    prepare,
)
from codir.errors import UserError
from conftest import make_texts


def test_a_row_that_is_cut_and_not_marked(tokenizer):
    rows = datasets.Dataset.from_dict({"text": ["w1 w2", "w1 w2 w3 w4 w5 w6"], "text_pair": ["w1", "w1 w2"]})
    encoded = encode(rows, tokenizer, max_length=8)
    assert encoded["truncated"] == [False, True]
    assert encoded["length"] == [6, 8]


def test_a_row_that_loses_its_number(tokenizer, texts):
    encoded = prepare(texts, tokenizer, max_length=16)
    assert encoded["example_index"] == list(range(len(texts)))
    assert encoded["labels"] == texts["label"]


def test_token_ids_that_are_tokenised_again(tokenizer, texts):
    once = prepare(texts, tokenizer, max_length=16).remove_columns(["example_index", "length"])
    again = prepare(once, tokenizer, max_length=16)
    assert again["input_ids"] == once["input_ids"]
    assert again["example_index"] == list(range(len(texts)))


def test_lengths_and_numbers_of_rows_that_stood_elsewhere(tokenizer, texts):
    """Of a data set that was shuffled and cut after it was tokenised, and carries the columns of before."""
    once = prepare(texts, tokenizer, max_length=16).shuffle(seed=0).select(range(5, 25))
    again = prepare(once, tokenizer, max_length=16)
    assert again["length"] == [len(ids) for ids in once["input_ids"]]
    assert again["example_index"] == list(range(20))
    assert again["input_ids"] == once["input_ids"]


def test_a_data_set_without_texts_or_token_ids(tokenizer):
    with pytest.raises(UserError, match=r"column `text`.*got columns sentence"):
        prepare(datasets.Dataset.from_dict({"sentence": ["a"]}), tokenizer, max_length=8)


def test_batches_for_inference_that_miss_or_repeat_a_row(tokenizer, texts):
    encoded = prepare(texts, tokenizer, max_length=16)
    seen, lengths = [], []
    for rows, inputs in length_sorted_batches(encoded, tokenizer, batch_size=7):
        seen += rows.tolist()
        lengths.append(inputs["input_ids"].shape[1])
        for row, ids in zip(rows, inputs["input_ids"], strict=True):
            assert [i for i in ids.tolist() if i] == [i for i in encoded[int(row)]["input_ids"] if i]
    assert sorted(seen) == list(range(len(texts)))
    assert lengths == sorted(lengths, reverse=True)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("columns", [("input_ids",), ("input_ids", "token_type_ids"), ("input_ids", "attention_mask")])
def test_rows_padded_otherwise_than_transformers_pads_them(tokenizer, side, columns):
    """Masks with zeros of their own, segments of a pair, a padding token other than 0, rows out of order and twice."""
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.padding_side, tokenizer.pad_token = side, "w7"
    rows = datasets.Dataset.from_dict({"text": ["w1 w2", "w1", "w1 w2 w3 w4"], "text_pair": ["w1", "w1 w2 w9", "w3"]})
    encoded = encode(rows, tokenizer, max_length=16)
    encoded = encoded.map(lambda row: {"attention_mask": [0, *row["attention_mask"][1:]]}).select_columns(columns)
    chosen = [2, 0, 0, 1]
    expected = DataCollatorWithPadding(tokenizer)([encoded[row] for row in chosen])
    found = RowCollator(encoded.with_format("torch"), tokenizer)(chosen)
    assert found.keys() == expected.keys()
    assert (found["input_ids"] == tokenizer.pad_token_id).sum() == 5
    for name, tensor in found.items():
        assert tensor.dtype == expected[name].dtype
        assert torch.equal(tensor, expected[name])


def test_a_column_that_the_tokenizer_alone_can_pad(tokenizer):
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.model_input_names = [*tokenizer.model_input_names, "special_tokens_mask"]
    rows = datasets.Dataset.from_dict({"input_ids": [[1, 2, 3], [1]], "special_tokens_mask": [[1, 0, 1], [1]]})
    assert RowCollator(rows, tokenizer)([0, 1])["special_tokens_mask"].tolist() == [[1, 0, 1], [1, 1, 1]]


def test_an_epochs_order_that_depends_on_what_ran_before():
    lengths = np.random.default_rng(0).integers(3, 30, 200).tolist()
    sampler = EpochLengthGroupedSampler(8, lengths, seed=3)
    first = list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    sampler.set_epoch(0)
    assert list(sampler) == first
    assert second != first
    assert list(EpochLengthGroupedSampler(8, lengths, seed=4)) != second  # seed 3 at epoch 1 is not seed 4 at epoch 0
    assert sorted(second) == list(range(200))


def test_evaluation_batches_that_draw_negatives(tokenizer):
    encoded = prepare(make_texts(4), tokenizer, max_length=16)
    assert "negative_index" not in DistillationCollator(tokenizer)([encoded[0], encoded[1]])


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([3, -100, 2**40], "int64"),
        ([3, 1], "int8"),
        ([0.1, float("nan")], "float32"),
        ([0.1, 1e300], "float64"),
        ([1, None], "int64"),
        (["a", "b"], "string"),
        ([True, False], "bool"),
    ],
)
def test_a_column_read_fast_that_reads_otherwise(values, dtype):
    rows = datasets.Dataset.from_dict({"labels": values}, datasets.Features({"labels": datasets.Value(dtype)}))
    for part in (rows, rows.select([1, 0, 0])):
        fast, plain = column_of(part, "labels"), np.asarray(part["labels"])
        assert fast.dtype == plain.dtype
        assert repr(fast.tolist()) == repr(plain.tolist())
