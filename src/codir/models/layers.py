"""Where inside a model each layer's output appears, to read it there instead of keeping all layers to the end.

Nothing is assumed of how a model is built: the place of a layer is the call of a submodule that returns the very tensor
which the model gives as that layer's hidden state. Knows one model; knows nothing of pooling.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

LayerPlaces = tuple[tuple[nn.Module, int], ...]
"""For each layer above the embeddings, a submodule and which of its calls in a forward pass: ALBERT calls one often."""


@torch.no_grad()
def find_layers(model: PreTrainedModel) -> LayerPlaces | None:
    """Find where each layer's output appears, by reading two tokens; `None` where one appears nowhere.

    So it is with XLNet, which turns the axes of its hidden states around, and with a layer that is changed after its
    module has returned it.

    Args:
        model: of any type; read in eval mode, and left in the mode that it was in.

    Example:
        >>> from transformers import AlbertConfig, AlbertModel
        >>> sizes = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8, "vocab_size": 9}
        >>> model = AlbertModel(AlbertConfig(**sizes, num_hidden_layers=3))
        >>> [(type(module).__name__, call) for module, call in find_layers(model)]
        [('AlbertLayerGroup', 0), ('AlbertLayerGroup', 1), ('AlbertLayerGroup', 2)]
    """
    returned: list[tuple[nn.Module, int, Tensor, Tensor]] = []
    calls: Counter[nn.Module] = Counter()

    def note(module: nn.Module, arguments: Any, output: Any) -> None:
        if (hidden := _tensor_of(output)) is not None:
            returned.append((module, calls[module], hidden, hidden.clone()))
        calls[module] += 1

    was_training, body = model.training, model.base_model
    with ExitStack() as stack:
        stack.callback(model.train, was_training)
        for module in body.modules():
            stack.callback(module.register_forward_hook(note).remove)
        ids = torch.ones(1, 2, dtype=torch.long, device=model.device)
        states = model.eval().base_model(input_ids=ids, output_hidden_states=True).hidden_states
    found = [_place_of(state, returned) for state in states[1:]]
    places = tuple(place for place in found if place is not None)
    return places if len(places) == len(found) == model.config.num_hidden_layers else None


@contextmanager
def reading_layers(places: LayerPlaces, layers: Collection[int], read: Callable[[int, Tensor], None]) -> Iterator[None]:
    """While the block lasts and the model runs once, hand the output of each of these layers to `read`.

    Args:
        places: from `find_layers`.
        layers: their numbers; 1 is the first above the embeddings.
        read: gets a layer's number and its output `[batch, tokens, hidden]`, which it must not change.
    """
    number_of = {places[layer - 1]: layer for layer in layers}
    calls: Counter[nn.Module] = Counter()
    with ExitStack() as stack:
        for module in dict.fromkeys(module for module, _ in number_of):
            stack.callback(module.register_forward_hook(partial(_hand_over, number_of, calls, read)).remove)
        yield


def _hand_over(
    number_of: dict[tuple[nn.Module, int], int],
    calls: Counter[nn.Module],
    read: Callable[[int, Tensor], None],
    module: nn.Module,
    arguments: Any,
    output: Any,
) -> None:
    layer, hidden = number_of.get((module, calls[module])), _tensor_of(output)
    calls[module] += 1
    if layer is not None and hidden is not None:
        read(layer, hidden)


def _tensor_of(output: Any) -> Tensor | None:
    """What a module returns, or the first of several things that it returns."""
    first = output[0] if isinstance(output, tuple) and output else output
    return first if isinstance(first, Tensor) else None


def _place_of(state: Tensor, returned: list[tuple[nn.Module, int, Tensor, Tensor]]) -> tuple[nn.Module, int] | None:
    """The last call that returned this tensor, with the values that it still has."""
    for module, call, hidden, when_returned in reversed(returned):
        is_same = (hidden.data_ptr(), hidden.shape, hidden.stride()) == (state.data_ptr(), state.shape, state.stride())
        if is_same and torch.equal(when_returned, state):
            return module, call
    return None
