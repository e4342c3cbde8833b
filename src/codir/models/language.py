"""Language models: which class a type has for it, who has a head, and how to run it at some positions instead of all.

The vocabulary matrix is the most expensive part of a small model's step, and masked-LM training asks for its answer at
one position in seven. Knows one model; knows nothing of masks or losses.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from codir.errors import UserError
from codir.tasks import language_task


def is_masked(config: PreTrainedConfig) -> bool:
    """Whether models of this type predict masked tokens; the others predict the next one.

    Example:
        >>> from transformers import GPT2Config, RobertaConfig
        >>> is_masked(RobertaConfig()), is_masked(GPT2Config())
        (True, False)
    """
    from transformers import MODEL_FOR_MASKED_LM_MAPPING  # not before: codir's own models are entered into such tables

    return type(config) in MODEL_FOR_MASKED_LM_MAPPING


def language_class(config: PreTrainedConfig) -> Any:
    """The auto class that gives this type of model its language-model head.

    Raises:
        UserError: the type has none, or has an encoder and a decoder.
    """
    import transformers

    has_head = is_masked(config) or type(config) in transformers.MODEL_FOR_CAUSAL_LM_MAPPING
    if has_head and not config.is_encoder_decoder:
        return getattr(transformers, language_task(is_masked=is_masked(config)).auto_class)
    raise UserError(
        "model",
        expected="an encoder or a decoder that transformers has a language-model head for",
        got=f"a model of type {config.model_type}",
        do="take one such as BERT, RoBERTa, ModernBERT, GPT-2, Llama or Qwen",
    )


def vocabulary_of(model: PreTrainedModel) -> int:
    """How many tokens a model's language-model head chooses from; 0 where it has no such head.

    Example:
        >>> from transformers import BertConfig, BertForMaskedLM, BertModel
        >>> config = BertConfig(hidden_size=8, num_attention_heads=2, num_hidden_layers=1, vocab_size=9)
        >>> vocabulary_of(BertForMaskedLM(config)), vocabulary_of(BertModel(config))
        (9, 0)
    """
    head = model.get_output_embeddings()
    return 0 if head is None else int(head.weight.shape[0])


@contextmanager
def predict_only(model: PreTrainedModel, predicted: Bool[Tensor, "batch tokens"]) -> Iterator[None]:
    """Let the head of a language model see these positions alone: its logits become `[1, predicted, vocabulary]`.

    What the base model hands to the head is replaced, whatever the head is made of: the positions of all rows stand in
    one row, in the order of rows and places. Hidden states and attention stay whole.

    Args:
        model: with a language-model head.
        predicted: true where an answer is wanted; there may be none.

    Example:
        >>> from transformers import BertConfig, BertForMaskedLM
        >>> config = BertConfig(hidden_size=8, num_attention_heads=2, num_hidden_layers=1, vocab_size=9)
        >>> model, ids = BertForMaskedLM(config), torch.tensor([[1, 2, 3], [4, 5, 6]])
        >>> with predict_only(model, ids > 4):
        ...     print(model(input_ids=ids).logits.shape)
        torch.Size([1, 2, 9])
    """
    handle = model.base_model.register_forward_hook(partial(_keep_predicted, predicted))
    try:
        yield
    finally:
        handle.remove()


def _keep_predicted(predicted: Bool[Tensor, "batch tokens"], module: nn.Module, args: Any, output: Any) -> Any:
    output.last_hidden_state = output.last_hidden_state[predicted].unsqueeze(0)
    return output


@torch.no_grad()
def reads_ahead(model: PreTrainedModel) -> bool:
    """Whether a token's vector depends on the tokens after it: two readings that differ in the last one will tell.

    Such a model would learn to copy the next token, not to predict it.

    Example:
        >>> from transformers import BertConfig, BertModel, GPT2Config, GPT2Model
        >>> sizes = {"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1, "vocab_size": 9}
        >>> reads_ahead(BertModel(BertConfig(**sizes))), reads_ahead(GPT2Model(GPT2Config(**sizes)))
        (True, False)
    """
    was_training = model.training
    ids = torch.tensor([[1, 2], [1, 3]], device=model.device)
    first = model.eval().base_model(input_ids=ids).last_hidden_state[:, 0]
    model.train(was_training)
    return not torch.allclose(first[0], first[1])
