"""Does a tokenizer fit a model? Every mismatch here would train or answer in silence, and wrongly.

Recipes and the trainers ask the same functions, so both refuse in the same words. Knows one model and one tokenizer.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.nn import Embedding
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from codir.errors import UserError
from codir.models.language import is_masked, vocabulary_of
from codir.models.loading import load_tokenizer
from codir.models.shape import count_positions, label_names
from codir.store import fingerprint_tokenizer

logger = logging.getLogger(__name__)

LEAST_SHARE_OF_EMBEDDINGS = 0.5
"""A tokenizer that uses fewer of a model's embeddings is another model's; many are padded, none to twice the size."""

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "vocab.json",
    "spiece.model",
    "tokenizer.model",
    "sentencepiece.bpe.model",
)


def check_tokenizer_fits(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, pairs: bool = False, role: str = "model"
) -> None:
    """Refuse a tokenizer that was made for another model, as far as sizes show it.

    Args:
        model: a classifier, a regressor or a language model.
        tokenizer: that it is to read with.
        pairs: whether it is to read two texts at a time.
        role: what messages call the model.

    Raises:
        UserError: tokens without an embedding, embeddings without tokens, no padding, or segments without an embedding.
    """
    check_vocabulary(model, tokenizer, role=role)
    check_padding(model, tokenizer, role=role)
    if pairs:
        segments = max(tokenizer("a", "a").get("token_type_ids") or [0]) + 1
        check_segments(model, segments, role=role)


def check_vocabulary(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, role: str = "model") -> None:
    """Refuse a tokenizer whose numbers go beyond the model's embeddings, and one that uses few of them.

    Raises:
        UserError: it is too large or too small for this model.
    """
    rows, tokens = count_embeddings(model), max(tokenizer.get_vocab().values(), default=-1) + 1
    if tokens > rows:
        raise UserError(
            f"{role}'s tokenizer",
            expected=f"at most {rows} tokens, as many as the {role} has embeddings",
            got=f"{tokens} tokens",
            do=f"take the {role}'s own tokenizer; for added tokens call `model.resize_token_embeddings(len(tokenizer))`"
            " before fine-tuning",
        )
    if tokens < LEAST_SHARE_OF_EMBEDDINGS * rows:
        raise UserError(
            f"{role}'s tokenizer",
            expected=f"about {rows} tokens, as many as the {role} has embeddings",
            got=f"{tokens} tokens",
            otherwise=f"the {role} would have read other words than the text has",
            do=f"take the {role}'s own tokenizer, and save it into the {role}'s folder",
        )


def check_padding(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, role: str = "model") -> None:
    """Refuse a tokenizer that cannot pad, and one that pads with another token than the model's head looks for.

    Raises:
        UserError: there is no padding token, or a causal classifier would read its answer off padding.
    """
    if tokenizer.pad_token is None:
        raise UserError(
            f"{role}'s tokenizer",
            expected="a padding token, since texts of a batch differ in length",
            got="none",
            do="set `tokenizer.pad_token = tokenizer.eos_token`",
        )
    answers_at_the_last_token = not vocabulary_of(model) and _is_causal(model)
    if answers_at_the_last_token and model.config.pad_token_id != tokenizer.pad_token_id:
        raise UserError(
            role,
            expected=f"`config.pad_token_id` {tokenizer.pad_token_id}, as its tokenizer pads",
            got=str(model.config.pad_token_id),
            otherwise="its answer would have been read off the padding",
            do="set `model.config.pad_token_id = tokenizer.pad_token_id`, or take the model's own tokenizer",
        )


def check_segments(model: PreTrainedModel, segments: int, *, role: str = "model") -> None:
    """Refuse more segment numbers than a model has embeddings for.

    Raises:
        UserError: it would fail on the first pair.
    """
    known = count_segments(model)
    if known is not None and segments > known:
        raise UserError(
            f"{role}'s tokenizer",
            expected=f"segment numbers below {known}, as many as the {role} ({model.config.model_type}) has embeddings",
            got=f"{segments - 1}",
            do=f"take the {role}'s own tokenizer",
        )


def check_max_length(model: PreTrainedModel, max_length: int) -> None:
    """Refuse lengths that the model has no positions for.

    Raises:
        UserError: `max_length` is above what the model was built with.
    """
    positions = count_positions(model)
    if positions is not None and positions < max_length:
        raise UserError(
            "max_length",
            expected=f"at most {positions}, the positions that {model.config.model_type} was built with",
            got=str(max_length),
            do=f"set `--max-length {positions}` or lower",
        )


def check_own_tokenizer(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse to read a teacher with the student's tokenizer where another one is saved beside the teacher.

    Raises:
        UserError: the model was loaded from a folder whose tokenizer reads otherwise.
    """
    folder = Path(model.name_or_path or "")
    if not model.name_or_path or not any((folder / name).is_file() for name in TOKENIZER_FILES):
        return
    if fingerprint_tokenizer(load_tokenizer(folder)) == fingerprint_tokenizer(tokenizer):
        return
    raise UserError(
        "teacher_processing_class",
        expected=f"the teacher's tokenizer, since the one in {folder} reads otherwise than the student's",
        got="none",
        otherwise="the teacher would have been shown the student's token ids",
        do="pass `teacher_processing_class=AutoTokenizer.from_pretrained(...)`",
    )


def check_label_order(
    names: Sequence[str] | None, others: Sequence[str] | None, *, whose: str = "the teacher's", got: str = "the data's"
) -> None:
    """Refuse the same class names in another order; capitals do not count.

    Args:
        names: of one side, in the order of the class indices; `None` where its classes have none.
        others: of the other side.
        whose: what messages call the first side.
        got: what they call the second.

    Raises:
        UserError: a class index would mean one thing here and another there.
    """
    if names is None or others is None:
        return
    first, second = ([name.lower() for name in side] for side in (names, others))
    if first != second and sorted(first) == sorted(second):
        raise UserError(
            "label order",
            expected=f"{whose}: {', '.join(names)}",
            got=f"{got}: {', '.join(others)}",
            otherwise="each class would have been taken for another",
            do=f"number the classes alike: `--labels {','.join(names)}`, or in Python "
            "`dataset.align_labels_with_mapping(teacher.config.label2id, 'label')`",
        )


def in_full_precision(model: PreTrainedModel, role: str) -> None:
    """Cast weights that were saved in bf16 or fp16 to fp32, in place and with a warning; others stay as they are.

    Recipes load every model in fp32. Products may still run in bf16, by `precision`; updates smaller than bf16 can
    write would be lost.
    """
    halves = {torch.bfloat16, torch.float16}
    found = {parameter.dtype for parameter in model.parameters()} & halves
    if found and not getattr(model, "is_quantized", False):
        model.float()
        names = " and ".join(sorted(str(dtype).removeprefix("torch.") for dtype in found))
        logger.warning("The %s's weights are in %s; they were cast to float32.", role, names)


def count_embeddings(model: PreTrainedModel) -> int:
    """How many tokens a model has embeddings for."""
    return int(model.get_input_embeddings().weight.shape[0])


def count_segments(model: PreTrainedModel) -> int | None:
    """How many segments a model has embeddings for; `None` where it has no such table."""
    tables = (m for name, m in model.named_modules() if name.endswith("token_type_embeddings"))
    return next((table.num_embeddings for table in tables if isinstance(table, Embedding)), None)


def names_of(model: PreTrainedModel) -> list[str] | None:
    """What a classifier calls its classes; `None` for a language model, and where it only numbers them."""
    return None if vocabulary_of(model) else label_names(model)


def _is_causal(model: PreTrainedModel) -> bool:
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    return type(model.config) in MODEL_FOR_CAUSAL_LM_MAPPING and not is_masked(model.config)
