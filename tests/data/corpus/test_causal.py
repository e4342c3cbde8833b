"""What each position is to predict: the next token, as the models of `transformers` count it themselves."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM

from codir.data import CausalCollator, build_negative_sampler
from codir.signals import IGNORED_CLASS
from families import FAMILIES
from vocabularies import next_token


def rows() -> list[dict]:
    return [
        {"input_ids": [3, 0, 5, 6], "example_index": 9},  # 0 is padding and end of text at once; here it is text
        {"input_ids": [7, 8], "example_index": 2},
        {"input_ids": [9, 4, 3, 5, 6, 0], "example_index": 5},
    ]


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_position_that_predicts_padding_itself_or_the_token_after_next(side):
    tokenizer = next_token()
    tokenizer.padding_side = side
    batch = CausalCollator(tokenizer)(rows())
    for row, ids, mask, labels in zip(
        rows(), batch["input_ids"], batch["attention_mask"].bool(), batch["token_labels"], strict=True
    ):
        assert ids[mask].tolist() == row["input_ids"]
        assert labels[mask].tolist() == [*row["input_ids"][1:], IGNORED_CLASS]
        assert set(labels[~mask].tolist()) <= {IGNORED_CLASS}
    assert batch["example_index"].tolist() == [9, 2, 5]


@pytest.mark.parametrize("family", ["gpt2", "llama", "qwen2"])
def test_a_loss_that_is_not_the_models_own(family):
    tokenizer = next_token()
    batch = CausalCollator(tokenizer)(rows())
    model = AutoModelForCausalLM.from_config(FAMILIES[family]()).eval()
    inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
    with torch.no_grad():
        output = model(**inputs, labels=inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, IGNORED_CLASS))
    loss = F.cross_entropy(output.logits.flatten(0, 1), batch["token_labels"].flatten(), ignore_index=IGNORED_CLASS)
    assert torch.allclose(loss, output.loss, atol=1e-5)


def test_negatives_that_batches_of_next_tokens_lack():
    sampler = build_negative_sampler(None, num_examples=20, count=3, batch_size=3)
    batch = CausalCollator(next_token(), negative_sampler=sampler)(rows())
    assert batch["negative_index"].shape == (1, 3)
