"""One forward pass of either model, and of all that it computes what the objectives ask for.

Teacher and student go through the same function, so that both mean the same by a representation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from transformers import PreTrainedModel

from codir.models.attention import capture_attention
from codir.models.head import exact_scores
from codir.models.language import predict_only, vocabulary_of
from codir.models.layers import LayerPlaces, reading_layers
from codir.models.shape import kind_of_model
from codir.signals import (
    LayerPooling,
    Representation,
    TokenPosition,
    TokenSignal,
    pool_representations,
    take_words,
    token_mask,
)

ModelSays = tuple[Tensor, dict[Representation, Tensor], TokenSignal | None, Tensor | None]
"""Logits, pooled representations, tokens and token logits: the fields of a signal, in their order."""


def run_model(
    model: PreTrainedModel,
    model_inputs: Mapping[str, Tensor],
    *,
    pooled: Iterable[Representation] = (),
    hidden_states: bool = False,
    attention: bool = False,
    predicted: Bool[Tensor, "batch tokens"] | None = None,
    words: Int[Tensor, "batch words"] | None = None,
    cls_position: TokenPosition = "first",
    places: LayerPlaces | None = None,
) -> ModelSays:
    """Run a model once; everything comes back in fp32, whatever the products ran in.

    Args:
        model: a classifier, a regressor or a language model.
        model_inputs: on the model's device.
        pooled: representations to pool.
        hidden_states: whether every token's are wanted.
        attention: whether queries, keys and values are wanted.
        words: the first token of each word, for a model that answers words: its logits there, `[batch, words,
            classes]`; of no word without them.
        predicted: positions where a language model's answers are wanted; its head sees no others.
        cls_position: where the model's tokenizer puts the token that stands for the sequence.
        places: from `find_layers`; layers are then pooled while the model runs, and none is kept to the end.
    """
    pooled, mask, is_language_model = tuple(pooled), token_mask(model_inputs), vocabulary_of(model) > 0
    on_the_way = None
    with ExitStack() as stack:
        captured = stack.enter_context(capture_attention(model)) if attention else []
        if is_language_model:
            stack.enter_context(predict_only(model, torch.zeros_like(mask) if predicted is None else predicted))
        if pooled and places is not None and not hidden_states:
            on_the_way = LayerPooling(pooled, len(places), mask, cls_position=cls_position)
            stack.enter_context(reading_layers(places, on_the_way.layers, on_the_way.take))
        keeps_states = hidden_states or (bool(pooled) and on_the_way is None)
        if not model.training:  # a ranking is read off these scores; a loss does not need it
            stack.enter_context(exact_scores(model))
        output = model(**model_inputs, output_hidden_states=keeps_states)
    if on_the_way is not None:
        vectors = on_the_way.vectors()
    else:
        vectors = pool_representations(output.hidden_states, mask, pooled, cls_position=cls_position) if pooled else {}
    states = tuple(state.float() for state in output.hidden_states) if hidden_states else ()
    tokens = TokenSignal(mask, states, tuple(captured)) if hidden_states or attention else None
    logits = output.logits.float()
    if is_language_model:
        return logits.new_zeros(len(mask), 0), vectors, tokens, logits[0]
    if kind_of_model(model).reads_words:
        logits = logits[:, :0] if words is None else take_words(logits, words)
    return logits, vectors, tokens, None
