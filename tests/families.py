"""Tiny models of every family that codir supports: random weights, milliseconds to build, nothing downloaded.

Each config switches on what makes its family structurally unlike the others: DeBERTa-v2's convolution and relative
positions, ALBERT's and ELECTRA's narrower embeddings, grouped keys and mixed attention kinds, and so on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from transformers import (
    AlbertConfig,
    AutoModelForSequenceClassification,
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    GPT2Config,
    LlamaConfig,
    ModernBertConfig,
    MPNetConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    RobertaConfig,
    XLMRobertaConfig,
    XLNetConfig,
)

from codir.models import language_class

VOCAB_SIZE = 100
HIDDEN_SIZE = 32
PAD_TOKEN_ID = 0

SHAPE: dict[str, Any] = {
    "vocab_size": VOCAB_SIZE,
    "hidden_size": HIDDEN_SIZE,
    "num_attention_heads": 4,
    "num_hidden_layers": 4,
    "pad_token_id": PAD_TOKEN_ID,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
POSITIONS: dict[str, Any] = {"max_position_embeddings": 64}
ENCODER: dict[str, Any] = {**POSITIONS, "intermediate_size": 64}
DEBERTA_V2: dict[str, Any] = {
    "relative_attention": True,
    "position_buckets": 8,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_biased_input": False,
    "conv_kernel_size": 3,
    "conv_act": "gelu",
}
MODERNBERT: dict[str, Any] = {"cls_token_id": 1, "sep_token_id": 2, "local_attention": 4}
QWEN2: dict[str, Any] = {
    "num_key_value_heads": 2,
    "use_sliding_window": True,
    "sliding_window": 4,
    "max_window_layers": 2,
}


def _family(config_class: type[PreTrainedConfig], **settings: Any) -> Callable[..., PreTrainedConfig]:
    """A tiny config of one class; keyword arguments to the function returned override its settings."""

    def build(**overrides: Any) -> PreTrainedConfig:
        own_names = config_class.attribute_map  # XLNet checks `d_model` before it would read `hidden_size`
        chosen = {**SHAPE, **settings, **overrides}
        return config_class(**{own_names.get(name, name): value for name, value in chosen.items()})

    return build


FAMILIES: dict[str, Callable[..., PreTrainedConfig]] = {
    "bert": _family(BertConfig, **ENCODER),
    "roberta": _family(RobertaConfig, **ENCODER),
    "xlm-roberta": _family(XLMRobertaConfig, **ENCODER),
    "distilbert": _family(DistilBertConfig, **POSITIONS, hidden_dim=64),
    "electra": _family(ElectraConfig, **ENCODER, embedding_size=16),
    "deberta-v2": _family(DebertaV2Config, **ENCODER, **DEBERTA_V2),
    "mpnet": _family(MPNetConfig, **ENCODER),
    "albert": _family(AlbertConfig, **ENCODER, embedding_size=16),
    "xlnet": _family(XLNetConfig, d_inner=64),
    "modernbert": _family(ModernBertConfig, **ENCODER, **MODERNBERT),
    "gpt2": _family(GPT2Config, **POSITIONS),
    "llama": _family(LlamaConfig, **ENCODER, num_key_value_heads=2),
    "qwen2": _family(Qwen2Config, **ENCODER, **QWEN2),
}


def tiny_classifier(
    family: str, *, num_labels: int = 3, layers: int = 4, seed: int = 0, **overrides: Any
) -> PreTrainedModel:
    """A random classifier of one family, in eval mode; the same seed gives the same weights."""
    config = FAMILIES[family](num_hidden_layers=layers, num_labels=num_labels, **overrides)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return AutoModelForSequenceClassification.from_config(config).eval()


def tiny_language_model(family: str, *, layers: int = 4, seed: int = 0, **overrides: Any) -> PreTrainedModel:
    """A random model of one family with its language-model head, in eval mode; the same seed gives the same weights."""
    config = FAMILIES[family](num_hidden_layers=layers, **overrides)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return language_class(config).from_config(config).eval()
