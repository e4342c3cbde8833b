"""Sizes and names that a loaded model has."""

from __future__ import annotations

import psutil
from torch.nn import Embedding
from transformers import PreTrainedConfig, PreTrainedModel

from codir.errors import UserError
from codir.models.language import vocabulary_of
from codir.signals import ModelShape
from codir.tasks import Kind, kind_of_config

MOST_LAYERS = 1000
"""Layers are made one by one before their weights are read: a billion would keep a machine busy for days."""


def label_names(model: PreTrainedModel) -> list[str] | None:
    """What a model calls its classes; `None` where it only numbers them (`LABEL_0`, ...)."""
    names = [str(model.config.id2label[i]) for i in range(model.config.num_labels)]
    return None if names[0] == "LABEL_0" else names


def count_positions(model: PreTrainedModel) -> int | None:
    """How many tokens a model has positions for; `None` where length has no bound.

    RoBERTa and its kin number positions from the padding index on, and so have fewer than their table has rows.
    """
    positions = getattr(model.config, "max_position_embeddings", None)
    tables = [
        m for name, m in model.named_modules() if name.endswith("position_embeddings") and isinstance(m, Embedding)
    ]
    if tables and tables[0].padding_idx is not None:
        return tables[0].num_embeddings - tables[0].padding_idx - 1
    return positions if positions and positions > 0 else None


def check_size(config: PreTrainedConfig, of: str = "model") -> None:
    """Refuse a model that this machine could not hold, before layers are made one by one until it gives up."""
    names = ("vocab_size", "hidden_size", "num_hidden_layers", "intermediate_size")
    sizes = [getattr(config, name, None) for name in names]
    vocabulary, width, layers, inner = (0 if size is None else int(size) for size in sizes)
    needed = 4 * (vocabulary * width + layers * width * (4 * width + 2 * inner))
    memory = psutil.virtual_memory().total
    positions = getattr(config, "max_position_embeddings", None)  # -1 where length has no bound
    has_none = positions == 0 or any(size is not None and size < 1 for size in sizes)
    if has_none or needed > memory or layers > MOST_LAYERS:
        raise UserError(
            of,
            expected=f"a model of 1 to {MOST_LAYERS} layers that fits into {memory / 1e9:.0f} GB of memory",
            got=f"vocabulary {vocabulary}, width {width}, {layers} layers, inner width {inner}, positions {positions}",
            do="correct these sizes",
        )


def check_one_stack(
    config: PreTrainedConfig, of: str, *, do: str = "name a model of another type, such as bert"
) -> None:
    """Refuse a type with an encoder and a decoder, whose layers and tokens are of two kinds.

    Args:
        config: of the model.
        of: what messages call it.
        do: what to do about it.

    Raises:
        UserError: it is one, such as T5 or BART.
    """
    if config.is_encoder_decoder:
        raise UserError(
            of,
            expected="an encoder or a decoder",
            got=f"model type {config.model_type}, which is both",
            do=do,
        )


def kind_of_model(model: PreTrainedModel) -> Kind:
    """What a loaded model answers, by its configuration and its class.

    Raises:
        UserError: a kind of task that codir does not have.
    """
    return kind_of_config(model.config, type(model).__name__)


def shape_of(model: PreTrainedModel) -> ModelShape:
    """The sizes of a model; a language model has a vocabulary in place of classes."""
    config, vocabulary = model.config, vocabulary_of(model)
    return ModelShape(
        num_layers=int(config.num_hidden_layers),
        hidden=int(config.hidden_size),
        heads=int(getattr(config, "num_attention_heads", 0)),
        classes=0 if vocabulary else int(config.num_labels),
        vocabulary=vocabulary,
        kind=None if vocabulary else kind_of_model(model),
    )
