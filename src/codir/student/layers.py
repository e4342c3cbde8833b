"""Layers of the teacher become a shallower model: which ones, where a model keeps them, how their weights get across.

Works on the structure of the model and keeps no list of families. Knows nothing of other ways to start a student.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import get_args

from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from codir.config.words import LAYER_SELECTION, LayerSelection
from codir.errors import UserError, nearest


def select_layers(
    num_teacher_layers: int,
    num_student_layers: int,
    selection: LayerSelection | Sequence[int] = LAYER_SELECTION,
) -> tuple[int, ...]:
    """Choose the teacher layers that become the student's, from bottom to top, as 1-based numbers.

    Args:
        num_teacher_layers: L, how many there are.
        num_student_layers: n, how many to keep.
        selection: `"lower"` keeps 1..n, `"upper"` keeps L-n+1..L, `"every-other"` spreads them evenly from the first,
            `1 + floor(i * L / n)`; or the numbers themselves, n of them, rising. `"best"` is for whoever has rows to
            judge by: `codir.rank_layers` finds the numbers.

    Raises:
        UserError: where the student would be deeper than the teacher, or a list is not a rising choice of its layers.

    Example:
        >>> select_layers(6, 3), select_layers(6, 2), select_layers(6, 3, "upper"), select_layers(6, 2, [2, 5])
        ((1, 3, 5), (1, 4), (4, 5, 6), (2, 5))
    """
    _check_depth(num_teacher_layers, num_student_layers)
    if not isinstance(selection, str):
        return _check_list(num_teacher_layers, num_student_layers, tuple(selection))
    match selection:
        case "lower":
            return tuple(range(1, num_student_layers + 1))
        case "upper":
            return tuple(range(num_teacher_layers - num_student_layers + 1, num_teacher_layers + 1))
        case "every-other":
            return tuple(1 + i * num_teacher_layers // num_student_layers for i in range(num_student_layers))
        case "best":
            raise UserError(
                "layer selection",
                expected="`lower`, `upper`, `every-other`, or a list of layer numbers, where no rows are at hand",
                got="'best', which judges layers by training rows",
                do="pass the layers that `codir.rank_layers` puts first",
            )
        case _:
            raise _unknown_selection(selection)


def find_layer_stack(model: PreTrainedModel) -> tuple[str, nn.ModuleList] | None:
    """Find the blocks of a model by structure: the list inside the base model that is `num_hidden_layers` long.

    Of several such lists, the one with the most parameters. The name is the one that `model.get_submodule` takes.

    Returns:
        Name and list, or `None` where no list is that long: the layers are one block applied again and again (ALBERT).
    """
    inside_base = "" if model.base_model is model else f"{model.base_model_prefix}."
    stacks = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList)
        and name.startswith(inside_base)
        and len(module) == model.config.num_hidden_layers
    ]
    return max(stacks, key=lambda stack: _num_parameters(stack[1]), default=None)


def copy_layers(
    teacher: PreTrainedModel, layers: tuple[int, ...]
) -> tuple[PreTrainedModel, tuple[int, ...] | None, tuple[str, ...]]:
    """Build a model of the teacher's class from some of its layers and from everything that lies outside the layers.

    Where the layers share one set of weights (ALBERT), all weights are copied and applied `len(layers)` times.

    Returns:
        The model, the layers that it now has (`None` where there are none to choose from), and notes on what is new,
        left behind or reads differently.
    """
    shallow = type(teacher)._from_config(_shallower_config(teacher, layers), dtype=teacher.dtype)
    stack, shallow_stack = find_layer_stack(teacher), find_layer_stack(shallow)
    if stack is None:
        _copy_shared_layers(teacher, shallow)
        return shallow, None, (_note_on_sharing(teacher, layers),)
    if shallow_stack is None or shallow_stack[0] != stack[0]:
        raise _no_single_stack(teacher)
    notes = (*_copy_stack(teacher, shallow, stack[0], layers), *_notes_on_places(teacher, stack[0], layers))
    return shallow, layers, notes


def _shallower_config(teacher: PreTrainedModel, layers: tuple[int, ...]) -> PreTrainedConfig:
    """The teacher's config at the new depth; lists with one entry per layer keep the entries of `layers`.

    `layer_types` is such a list. transformers reads it rather than the rules that it once came from
    (`global_attn_every_n_layers`, `max_window_layers`), so each kept layer keeps its own kind of attention.
    """
    config = copy.deepcopy(teacher.config)
    for name, value in teacher.config.to_dict().items():
        if "layer" in name and isinstance(value, list) and len(value) == teacher.config.num_hidden_layers:
            setattr(config, name, [value[layer - 1] for layer in layers])
    try:
        config.num_hidden_layers = len(layers)  # its attribute_map knows it as `n_layers`, `n_layer`, ...
    except (AttributeError, NotImplementedError) as error:
        raise _no_single_stack(teacher) from error
    return config


def _copy_stack(
    teacher: PreTrainedModel, shallow: PreTrainedModel, stack: str, layers: tuple[int, ...]
) -> tuple[str, ...]:
    """Copy the weights; say what is new in the shallow model and what it has no place for."""
    outcome = shallow.load_state_dict(_rename_layers(teacher.state_dict(), stack, layers), strict=False)
    notes = []
    if outcome.missing_keys:
        notes.append(f"new, with random weights: {', '.join(outcome.missing_keys)}")
    if outcome.unexpected_keys:
        left = (_name_in_teacher(name, stack, layers) for name in outcome.unexpected_keys)
        notes.append(f"not copied, since the student has no place for it: {', '.join(left)}")
    return tuple(notes)


def _rename_layers(weights: Mapping[str, Tensor], stack: str, layers: tuple[int, ...]) -> dict[str, Tensor]:
    """Give weights the names that they have in the shallow model, and leave out those of the other layers."""
    places = {str(layer - 1): place for place, layer in enumerate(layers)}
    renamed = {}
    for name, weight in weights.items():
        if not name.startswith(f"{stack}."):
            renamed[name] = weight
            continue
        index, rest = name.removeprefix(f"{stack}.").split(".", 1)
        if index in places:
            renamed[f"{stack}.{places[index]}.{rest}"] = weight
    return renamed


def _name_in_teacher(name: str, stack: str, layers: tuple[int, ...]) -> str:
    if not name.startswith(f"{stack}."):
        return name
    index, rest = name.removeprefix(f"{stack}.").split(".", 1)
    return f"{rest} of layer {layers[int(index)]}"


def _notes_on_places(teacher: PreTrainedModel, stack: str, layers: tuple[int, ...]) -> tuple[str, ...]:
    """Name what depends on a layer's place in the stack, where layers have moved to another place."""
    notes = []
    encoder = teacher.get_submodule(stack.rpartition(".")[0])
    if getattr(encoder, "conv", None) is not None and layers[0] != 1:  # DeBERTa-v2
        notes.append(f"the convolution that followed layer 1 now follows the teacher's layer {layers[0]}")
    moved = layers[-1] != len(layers)
    if getattr(teacher.config, "scale_attn_by_inverse_layer_idx", False) and moved:  # some GPT-2
        notes.append("attention is scaled by a layer's place, so layers that moved down attend more sharply")
    return tuple(notes)


def _copy_shared_layers(teacher: PreTrainedModel, shallow: PreTrainedModel) -> None:
    outcome = shallow.load_state_dict(teacher.state_dict(), strict=False)
    if outcome.missing_keys or outcome.unexpected_keys:
        raise _no_single_stack(teacher)


def _note_on_sharing(teacher: PreTrainedModel, layers: tuple[int, ...]) -> str:
    return (
        "the teacher's layers share one set of weights, so which of them are chosen makes no difference: the student "
        f"applies them {len(layers)} times instead of {teacher.config.num_hidden_layers}, and so runs faster but holds "
        "as many parameters"
    )


def _no_single_stack(teacher: PreTrainedModel) -> UserError:
    return UserError(
        "teacher",
        expected="a single stack of `num_hidden_layers` layers to copy from",
        got=f"{type(teacher).__name__}, which is built otherwise",
        do="start the student from a checkpoint or a config",
    )


def _num_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _check_depth(num_teacher_layers: int, num_student_layers: int) -> None:
    if 1 <= num_student_layers <= num_teacher_layers:
        return
    raise UserError(
        "student layers",
        expected=f"1 to {num_teacher_layers}, as many as the teacher has",
        got=str(num_student_layers),
        do="ask for fewer layers, or start a deeper student from a checkpoint or a config of its own",
    )


def _unknown_selection(selection: str) -> UserError:
    words = get_args(LayerSelection)
    return UserError(
        "layer selection",
        expected=f"one of {', '.join(words)}, or a list of layer numbers",
        got=repr(selection),
        do=nearest(selection, words),
    )


def _check_list(num_teacher_layers: int, num_student_layers: int, layers: tuple[int, ...]) -> tuple[int, ...]:
    in_range = all(1 <= layer <= num_teacher_layers for layer in layers)
    rising = all(lower < upper for lower, upper in pairwise(layers))
    if in_range and rising and len(layers) == num_student_layers:
        return layers
    raise UserError(
        "student layers",
        expected=f"{num_student_layers} different layer numbers from 1 to {num_teacher_layers}, in rising order",
        got=str(list(layers)),
        otherwise="the student would read its layers in an order that they were never trained in" if in_range else None,
        do="number the layers from 1 (the first above the embeddings) and list each once",
    )
