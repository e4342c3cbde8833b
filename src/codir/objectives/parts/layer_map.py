"""Which teacher layer answers to which student layer: the papers' `g(l)`. Knows numbers of layers, and no tensor."""

from __future__ import annotations

from codir.config.words import LAYER_WISE, LayerMapWord, StudentLayerWord
from codir.errors import UserError
from codir.signals import resolve_layers

LayerMap = LayerMapWord | tuple[tuple[int, int], ...]
"""A rule, or pairs `(student layer, teacher layer)`; layers count from 1."""

StudentLayers = StudentLayerWord | tuple[int, ...]
"""Which student layers are matched; one alone where a stage opens them one by one."""


def match_layers(
    layer_map: LayerMap,
    student_layers: StudentLayers = LAYER_WISE.student_layers,
    *,
    teacher_depth: int,
    student_depth: int,
) -> tuple[tuple[int, int], ...]:
    """Pairs `(l, g(l))` of the chosen student layers `l`, for a student of `M` layers and a teacher of `N`.

    - `uniform`: `g(l) = ceil(l N / M)`, the teacher's whole depth in even steps; where `M` divides `N` the map of
      TinyBERT (Jiao et al. 2020, arXiv 1909.10351, §3.1). Fits any two depths.
    - `skip`: `g(l) = k l` with `k = floor(N / M)`, every k-th layer from below: PKD-Skip (Sun et al. 2019,
      arXiv 1908.09355, §3.2).
    - `last`: `g(l) = N - M + l`, the teacher's uppermost layers: PKD-Last, the same section.
    - pairs: as they are written; with `student_layers="all"`, all of them.

    Raises:
        UserError: a map that leads to a layer which a model does not have, or one that leaves nothing to match.

    Example:
        >>> match_layers("skip", "all-but-last", teacher_depth=12, student_depth=6)
        ((1, 2), (2, 4), (3, 6), (4, 8), (5, 10))
        >>> match_layers("last", "all-but-last", teacher_depth=12, student_depth=6)
        ((1, 7), (2, 8), (3, 9), (4, 10), (5, 11))
        >>> match_layers("uniform", teacher_depth=6, student_depth=4)
        ((1, 2), (2, 3), (3, 5), (4, 6))
        >>> match_layers(((1, 2), (3, 6)), (3,), teacher_depth=6, student_depth=3)
        ((3, 6),)
    """
    chosen = _choose(student_layers, student_depth)
    if isinstance(layer_map, tuple):
        pairs = tuple(pair for pair in layer_map if pair[0] in chosen or student_layers == "all")
        is_complete = student_layers in ("all", "all-but-last") or set(chosen) <= {layer for layer, _ in pairs}
    else:
        pairs = tuple((layer, _answer(layer_map, layer, teacher_depth, student_depth)) for layer in chosen)
        is_complete = True
    exist = all(1 <= layer <= student_depth and 1 <= answer <= teacher_depth for layer, answer in pairs)
    if not (pairs and exist and is_complete):
        raise UserError(
            "layer_map",
            expected=f"student layers of 1 to {student_depth} matched with teacher layers of 1 to {teacher_depth}",
            got=f"`{layer_map}` over student layers `{student_layers}`: {pairs or 'no pair'}",
            do="take `uniform`, which fits any two depths, or write pairs such as `[[1, 2], [2, 4]]`",
        )
    return pairs


def _choose(student_layers: StudentLayers, depth: int) -> tuple[int, ...]:
    if student_layers == "all-but-last":
        return tuple(range(1, depth))
    return resolve_layers(student_layers, depth)


def _answer(rule: LayerMapWord, layer: int, teacher_depth: int, student_depth: int) -> int:
    if rule == "uniform":
        return -(-layer * teacher_depth // student_depth)
    if rule == "skip":
        return teacher_depth // student_depth * layer
    return teacher_depth - student_depth + layer
