"""codir's own arguments, checked where Python users pass, and read where users of `transformers` expect it."""

from __future__ import annotations

import pytest
from transformers import HfArgumentParser

import codir

ARGUMENTS = (codir.DistillationArguments, codir.PretrainingArguments)


@pytest.mark.parametrize("kind", ARGUMENTS)
def test_arguments_that_a_script_cannot_parse(kind, tmp_path):
    def parse(*words: str):
        return HfArgumentParser(kind).parse_args_into_dataclasses(["--output_dir", str(tmp_path), *words])[0]

    assert parse() == kind(str(tmp_path))
    assert parse("--teacher_cache", "False").teacher_cache is False
    assert parse("--teacher_cache", "True").teacher_cache is True
    assert parse("--head_learning_rate", "1e-3", "--precision", "fp32").head_learning_rate == 1e-3


@pytest.mark.parametrize(
    "values",
    [
        *({"precision": "bogus"}, {"teacher_cache": "yes"}, {"teacher_cache": 1}, {"cache_dtype": "int8"}),
        *({"max_length": -1}, {"max_length": True}, {"head_learning_rate": float("nan")}, {"head_learning_rate": 0.0}),
        *({"mask_probability": 7.0}, {"mask_probability": float("inf")}),
        *({"precision": "bf16", "fp16": True}, {"precision": "fp32", "bf16": True}),
    ],
    ids=str,
)
def test_a_value_that_only_a_recipe_refuses(values, tmp_path):
    with pytest.raises(codir.UserError, match=next(iter(values))):
        codir.PretrainingArguments(str(tmp_path), **values)


def test_epochs_of_a_pretraining_that_steps_override(tmp_path):
    def given(**values):
        args = codir.PretrainingArguments(str(tmp_path), **values)
        return args.max_steps, args.num_train_epochs

    assert given() == (10_000, 3.0)
    assert given(num_train_epochs=2) == (-1, 2)
    assert given(num_train_epochs=2, max_steps=5) == (5, 2)
