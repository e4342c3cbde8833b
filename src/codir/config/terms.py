"""The keys of each objective; every key is an argument of the class of that name in `codir.objectives`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from codir.config.base import Room
from codir.config.words import (
    CLS_COSINE,
    CONTRAST,
    EMBEDDING_CONTRAST,
    HIDDEN_MSE,
    KD_TEMPERATURE,
    LAYER_WISE,
    LIST_TEMPERATURE,
    MOST_STEPS,
    POOLED_MSE,
    RELATION_KL,
    TOKEN_COSINE,
    VECTORS,
    WORD_CONTRAST,
    Anchor,
    EstimatorName,
    HeadKind,
    KeyKind,
    LayerMapWord,
    LayerWord,
    MemoryKind,
    NegativeSource,
    NegativeStrategy,
    Normalisation,
    PooledTarget,
    Pooling,
    Relation,
    StoredDtype,
    StudentLayerWord,
    TeacherHeadKind,
    VectorDistance,
    VectorEstimator,
    VectorMap,
    WidthMap,
    keys_for,
)

Weight = Annotated[PositiveFloat, Field(allow_inf_nan=False, description="share of this term in the loss")]
Temperature = Annotated[PositiveFloat, Field(allow_inf_nan=False)]
MatchedLayers = Annotated[
    StudentLayerWord | list[int],
    Field(description="layers of the student that are compared: a word, or numbers from 1"),
]
LayerMap = Annotated[
    LayerMapWord | list[tuple[int, int]],
    Field(description="which teacher layer each one is compared with: a rule, or pairs of numbers"),
]
MapOfWidths = Annotated[
    WidthMap, Field(description="a trained map from the student's width to the teacher's; `none` needs equal widths")
]
Scale = Annotated[Normalisation, Field(description="how vectors are scaled before they are compared")]
Pooled = Annotated[Pooling, Field(description="one vector per example: the mean over its tokens, or `[CLS]`")]


Rising = Annotated[
    int, Field(ge=0, le=MOST_STEPS, description="optimiser steps over which its weight rises to `weight`")
]
TeacherLayers = Annotated[
    LayerWord | list[int],
    Field(description="layers of the teacher's representation: a word, or numbers from 1"),
]
StudentLayers = Annotated[LayerWord | list[int], Field(description="the same of the student")]
SpaceWidth = Annotated[PositiveInt, Field(description="P, the width of the contrast's space")]


class HardLabelConfig(Room):
    """Cross-entropy with the labels, or squared error with the scores."""

    weight: Weight = 0.5


class SoftTargetConfig(Room):
    """KL to the teacher's softened distribution."""

    weight: Weight = 0.5
    kd_temperature: Temperature = Field(KD_TEMPERATURE, description="T, which softens both distributions")


class LogitMSEConfig(Room):
    """Squared error between logits."""

    weight: Weight = 1.0


class MarginMSEConfig(Room):
    """Squared error between margins: how much better one candidate of a query is than another."""

    weight: Weight = 1.0


class ListwiseKLConfig(Room):
    """KL to the teacher's distribution over the candidates of a query."""

    weight: Weight = 1.0
    list_temperature: Temperature = Field(LIST_TEMPERATURE, description="T, which softens both distributions")


class LayerWiseConfig(Room):
    """What all terms have that match layers of the student with layers of the teacher."""

    weight: Weight = 1.0
    student_layers: MatchedLayers = LAYER_WISE.student_layers
    layer_map: LayerMap = LAYER_WISE.layer_map


class PooledMSEConfig(LayerWiseConfig):
    """Squared error between pooled layers."""

    normalisation: Scale = POOLED_MSE.normalisation
    pooling: Pooled = POOLED_MSE.pooling
    target: PooledTarget = Field(
        POOLED_MSE.target,
        description="each layer's partner; or, from all of the student's layers, all of the teacher's, or their "
        "principal components, a fixed space as of `teacher_head: pca`",
    )
    width_map: MapOfWidths = POOLED_MSE.width_map
    projection_dim: PositiveInt = Field(
        POOLED_MSE.projection_dim, description="P, for `target: principal`: how many components"
    )


class ClsCosineConfig(LayerWiseConfig):
    """`[CLS]` vectors that point the same way."""

    width_map: MapOfWidths = CLS_COSINE.width_map


class TokenCosineConfig(Room):
    """Token vectors that point the same way."""

    weight: Weight = 1.0
    student_layers: MatchedLayers = TOKEN_COSINE.student_layers
    layer_map: LayerMap = TOKEN_COSINE.layer_map
    width_map: MapOfWidths = TOKEN_COSINE.width_map


class HiddenMSEConfig(LayerWiseConfig):
    """Squared error between token vectors."""

    normalisation: Scale = HIDDEN_MSE.normalisation
    embeddings: bool = Field(HIDDEN_MSE.embeddings, description="compare the embedding output too")
    width_map: MapOfWidths = HIDDEN_MSE.width_map


class AttentionMSEConfig(LayerWiseConfig):
    """Squared error between attention scores, before their softmax."""


class AttentionKLConfig(LayerWiseConfig):
    """KL between attention probabilities."""


class RelationKLConfig(Room):
    """KL between the relations of queries, keys and values."""

    weight: Weight = 1.0
    relations: list[Relation] = Field(
        list(RELATION_KL.relations), min_length=1, description="which pairs of queries, keys and values are related"
    )
    relation_heads: PositiveInt | None = Field(
        None, description="heads that both models' vectors are cut into; the teacher's number where it divides both"
    )
    student_layers: MatchedLayers = RELATION_KL.student_layers
    layer_map: LayerMap = RELATION_KL.layer_map


class TokenLabelConfig(Room):
    """Cross-entropy with the tokens to be predicted: the hard label of pre-training."""

    weight: Weight = 1.0


class TokenKLConfig(Room):
    """KL to the teacher's softened distribution over tokens: the soft target of pre-training."""

    weight: Weight = 1.0
    kd_temperature: Temperature = Field(KD_TEMPERATURE, description="T, which softens both distributions")


class VectorConfig(Room):
    """What all terms have that compare sentence vectors."""

    weight: Weight = 1.0
    width_map: VectorMap = Field(
        VECTORS.width_map,
        description="a trained map from the student's width to the teacher's, which goes; `auto` where they differ",
    )
    prefixes: list[PositiveInt] = Field(
        [], description="lengths of prefixes that are to be good vectors alone (Matryoshka)"
    )


class EmbeddingMSEConfig(VectorConfig):
    """Distance to the teacher's normalised sentence vectors."""

    distance: VectorDistance = Field(VECTORS.distance, description="`squared`, or `l2` for its root")


class EmbeddingCosineConfig(VectorConfig):
    """Sentence vectors that point the same way."""


class EmbeddingContrastConfig(VectorConfig):
    """Similarities to many sentences, as the teacher has them."""

    estimator: VectorEstimator = Field(
        EMBEDDING_CONTRAST.estimator, description="match the teacher's similarities to all keys, or find the own key"
    )
    contrastive_temperature: Temperature = Field(EMBEDDING_CONTRAST.contrastive_temperature, description="tau")
    teacher_temperature: Temperature | None = Field(None, description="tau of the teacher's side; the same by default")
    num_negatives: PositiveInt = Field(
        EMBEDDING_CONTRAST.num_negatives, description="K, further sentences whose teacher vectors are keys"
    )


class WordContrastConfig(Room):
    """A contrast over words: each among words of another tag."""

    weight: Weight = 0.1
    warmup_steps: Rising = CONTRAST.warmup_steps
    contrastive_temperature: Temperature = Field(CONTRAST.contrastive_temperature, description="tau")
    num_words: PositiveInt = Field(
        WORD_CONTRAST.num_words, description="words of a batch that are compared at most; drawn where there are more"
    )
    teacher_layers: TeacherLayers = CONTRAST.teacher_layers
    student_layers: StudentLayers = CONTRAST.student_layers
    projection_dim: SpaceWidth = CONTRAST.projection_dim


class ContrastiveConfig(Room):
    """A contrast over pooled layers."""

    weight: Weight = 0.1
    warmup_steps: Rising = CONTRAST.warmup_steps
    anchor: Anchor = Field(CONTRAST.anchor, description="whose vectors look for their partner")
    estimator: EstimatorName = Field(CONTRAST.estimator, description="how anchors are judged")
    contrastive_temperature: Temperature = Field(CONTRAST.contrastive_temperature, description="tau")
    teacher_temperature: Temperature | None = Field(
        None, description="for `estimator: soft`: tau of the teacher's similarities; the same tau by default"
    )
    learned_temperature: bool = Field(False, description="train tau, starting there")
    num_negatives: PositiveInt = Field(CONTRAST.num_negatives, description="K, drawn per group of examples")
    strategy: NegativeStrategy = Field(
        CONTRAST.strategy, description="which rows may be negatives; `auto` fits it to the labels"
    )
    score_distance: Temperature | None = Field(
        None, description="for scores: how far apart negatives must be; one standard deviation by default"
    )
    hard_pool: PositiveInt = Field(
        CONTRAST.hard_pool,
        description="draw this many times K, and keep the K nearest to the anchors; with soft targets, to each anchor",
    )
    source: NegativeSource = Field(CONTRAST.source, description="rows of the data set, or the other rows of the batch")
    teacher_layers: TeacherLayers = CONTRAST.teacher_layers
    student_layers: StudentLayers = CONTRAST.student_layers
    pooling: Pooled = CONTRAST.pooling
    per_layer: bool = Field(False, description="a contrast for each pair of layers, in place of one for all together")
    head: HeadKind = Field(CONTRAST.head, description="the projection: one linear map, or one hidden layer")
    teacher_head: TeacherHeadKind | None = Field(
        None,
        description="the same of the teacher; `pca` is fixed, fitted when the cache is built; as `head` by default",
    )
    projection_dim: SpaceWidth = CONTRAST.projection_dim
    keys: KeyKind | None = Field(
        None, description="made in this step, or read from banks or queues; by default `banked` where a bank can serve"
    )
    memory: MemoryKind = Field(CONTRAST.memory, description="where student vectors are kept; `auto` goes by size")
    memory_dtype: StoredDtype = Field(CONTRAST.memory_dtype, description="number format of stored vectors")
    bank_momentum: float = Field(
        CONTRAST.bank_momentum, ge=0, lt=1, description="share of the old vector that a slot of the bank keeps"
    )
    queue_size: PositiveInt = Field(CONTRAST.queue_size, description="entries of the queue")
    encoder_momentum: float = Field(
        CONTRAST.encoder_momentum, ge=0, le=1, description="share of its old weights that the slow copy keeps"
    )

    @model_validator(mode="before")
    @classmethod
    def _keys_that_fit(cls, given: Any) -> Any:
        if not isinstance(given, Mapping) or given.get("keys") is not None:
            return given
        named = {name: given.get(name, getattr(CONTRAST, name)) for name in ("anchor", "source", "memory")}
        return {**given, "keys": keys_for(**named, per_layer=bool(given.get("per_layer", False)))}
