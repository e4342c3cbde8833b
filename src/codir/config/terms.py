"""The keys of each objective; every key is an argument of the class of that name in `codir.objectives`."""

from __future__ import annotations

from typing import Literal

from pydantic import (
    Field,
    PositiveFloat,
    PositiveInt,
)

from codir.config.sections import Room

Weight = PositiveFloat


Layers = Literal["all", "last"] | list[int]


MatchedLayers = Literal["all", "all-but-last", "last"] | list[int]


LayerMap = Literal["uniform", "skip", "last"] | list[tuple[int, int]]


class HardLabelConfig(Room):
    """Cross-entropy with the labels, or squared error with the scores."""

    weight: Weight = 0.5


class SoftTargetConfig(Room):
    """KL to the teacher's softened distribution."""

    weight: Weight = 0.5
    kd_temperature: PositiveFloat = 2.0


class LogitMSEConfig(Room):
    """Squared error between logits."""

    weight: Weight = 1.0


class LayerWiseConfig(Room):
    """What all terms have that match layers of the student with layers of the teacher."""

    weight: Weight = 1.0
    student_layers: MatchedLayers = "all"
    layer_map: LayerMap = "uniform"


class PooledMSEConfig(LayerWiseConfig):
    """Squared error between pooled layers; every key is an argument of `codir.objectives.PooledMSE`."""

    normalisation: Literal["layer", "l2", "none"] = "layer"
    pooling: Literal["mean", "cls"] = "mean"
    target: Literal["matched", "all"] = "matched"
    width_map: Literal["linear", "none"] = "linear"


class ClsCosineConfig(LayerWiseConfig):
    """`[CLS]` vectors that point the same way."""

    width_map: Literal["linear", "none"] = "none"


class TokenCosineConfig(Room):
    """Token vectors that point the same way."""

    weight: Weight = 1.0
    student_layers: MatchedLayers = "last"
    layer_map: LayerMap = "uniform"
    width_map: Literal["linear", "none"] = "none"


class HiddenMSEConfig(LayerWiseConfig):
    """Squared error between token vectors; every key is an argument of `codir.objectives.HiddenMSE`."""

    normalisation: Literal["none", "layer", "l2"] = "none"
    embeddings: bool = True
    width_map: Literal["linear", "none"] = "linear"


class AttentionMSEConfig(LayerWiseConfig):
    """Squared error between attention scores, before their softmax."""


class AttentionKLConfig(LayerWiseConfig):
    """KL between attention probabilities."""


class RelationKLConfig(Room):
    """KL between the relations of queries, keys and values."""

    weight: Weight = 1.0
    relations: list[Literal["qk", "qq", "kk", "vv"]] = Field(["qq", "kk", "vv"], min_length=1)
    relation_heads: PositiveInt | None = None
    student_layers: MatchedLayers = "last"
    layer_map: LayerMap = "uniform"


class TokenLabelConfig(Room):
    """Cross-entropy with the tokens to be predicted: pre-training's hard label."""

    weight: Weight = 1.0


class TokenKLConfig(Room):
    """KL to the teacher's softened distribution over tokens: pre-training's soft target."""

    weight: Weight = 1.0
    kd_temperature: PositiveFloat = 2.0


class ContrastiveConfig(Room):
    """A contrast over pooled layers; every key is an argument of `codir.objectives.Contrastive`."""

    weight: Weight = 0.1
    anchor: Literal["teacher", "student", "both"] = "student"
    estimator: Literal["info_nce", "nce", "jsd", "supcon"] = "info_nce"
    contrastive_temperature: PositiveFloat = 0.07
    learned_temperature: bool = False
    num_negatives: PositiveInt = 100
    strategy: Literal["auto", "other_class", "distant", "any", "mixed", "neighbours"] = "auto"
    score_distance: PositiveFloat | None = None
    hard_pool: PositiveInt = 1
    source: Literal["dataset", "batch"] = "dataset"
    teacher_layers: Layers = "all"
    student_layers: Layers = "all"
    pooling: Literal["mean", "cls"] = "mean"
    per_layer: bool = False
    head: Literal["linear", "mlp"] = "linear"
    projection_dim: PositiveInt = 128
    keys: Literal["fresh", "banked", "queued"] = "fresh"
    memory: Literal["auto", "bank", "queue", "momentum"] = "auto"
    memory_dtype: Literal["float32", "float16"] = "float32"
    bank_momentum: float = Field(0.5, ge=0, lt=1)
    queue_size: PositiveInt = 65536
    encoder_momentum: float = Field(0.999, ge=0, le=1)
