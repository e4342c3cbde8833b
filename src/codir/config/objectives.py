"""Which objectives a run trains on: a preset, terms laid over it, or stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    Field,
    PositiveFloat,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from codir.config.base import Room
from codir.config.presets import preset_names, read_preset
from codir.config.terms import (
    AttentionKLConfig,
    AttentionMSEConfig,
    ClsCosineConfig,
    ContrastiveConfig,
    EmbeddingContrastConfig,
    EmbeddingCosineConfig,
    EmbeddingMSEConfig,
    HardLabelConfig,
    HiddenMSEConfig,
    ListwiseKLConfig,
    LogitMSEConfig,
    MarginMSEConfig,
    PooledMSEConfig,
    RelationKLConfig,
    SoftTargetConfig,
    TokenCosineConfig,
    TokenKLConfig,
    TokenLabelConfig,
    WordContrastConfig,
)
from codir.config.words import OpenedLayers
from codir.config.yaml import deep_merge
from codir.errors import UserError, nearest


class ObjectivesConfig(Room):
    """A preset, and what is different from it; `null` leaves a term of the preset out. Or stages."""

    preset: str | None = Field("codir", description="name of a preset; `codir presets` lists them")
    hard_label: HardLabelConfig | None = Field(None, description=HardLabelConfig.__doc__)
    soft_target: SoftTargetConfig | None = Field(None, description=SoftTargetConfig.__doc__)
    logit_mse: LogitMSEConfig | None = Field(None, description=LogitMSEConfig.__doc__)
    margin_mse: MarginMSEConfig | None = Field(None, description=MarginMSEConfig.__doc__)
    listwise_kl: ListwiseKLConfig | None = Field(None, description=ListwiseKLConfig.__doc__)
    pooled_mse: PooledMSEConfig | None = Field(None, description=PooledMSEConfig.__doc__)
    cls_cosine: ClsCosineConfig | None = Field(None, description=ClsCosineConfig.__doc__)
    token_cosine: TokenCosineConfig | None = Field(None, description=TokenCosineConfig.__doc__)
    hidden_mse: HiddenMSEConfig | None = Field(None, description=HiddenMSEConfig.__doc__)
    attention_mse: AttentionMSEConfig | None = Field(None, description=AttentionMSEConfig.__doc__)
    attention_kl: AttentionKLConfig | None = Field(None, description=AttentionKLConfig.__doc__)
    relation_kl: RelationKLConfig | None = Field(None, description=RelationKLConfig.__doc__)
    token_label: TokenLabelConfig | None = Field(None, description=TokenLabelConfig.__doc__)
    token_kl: TokenKLConfig | None = Field(None, description=TokenKLConfig.__doc__)
    contrastive: ContrastiveConfig | None = Field(None, description=ContrastiveConfig.__doc__)
    word_contrast: WordContrastConfig | None = Field(None, description=WordContrastConfig.__doc__)
    embedding_mse: EmbeddingMSEConfig | None = Field(None, description=EmbeddingMSEConfig.__doc__)
    embedding_cosine: EmbeddingCosineConfig | None = Field(None, description=EmbeddingCosineConfig.__doc__)
    embedding_contrast: EmbeddingContrastConfig | None = Field(None, description=EmbeddingContrastConfig.__doc__)
    stages: list[StageConfig] | None = Field(
        None, min_length=1, description="in place of terms: sections of terms that follow one another"
    )

    @model_validator(mode="before")
    @classmethod
    def _over_preset(cls, given: Any) -> Any:
        given = {"preset": given} if isinstance(given, str) else given
        if not isinstance(given, Mapping):
            raise UserError(
                "objectives",
                expected="the name of a preset, or a section with `preset` and terms",
                got=repr(given),
                do=nearest(str(given), preset_names()),
            )
        named = None if given.get("stages") else cls.model_fields["preset"].default
        given = {"preset": named, **given}
        of_preset = read_preset(given["preset"])["objectives"] if given["preset"] is not None else {}
        return over_stages(of_preset, given) if "stages" in of_preset else deep_merge(of_preset, given)

    @model_validator(mode="after")
    def _any_term(self) -> ObjectivesConfig:
        if self.stages and self.terms():
            raise UserError(
                "objectives",
                expected="terms or stages",
                got=f"`stages` beside {' and '.join(f'`{name}`' for name in self.terms())}",
                otherwise="it would not have been clear in which stage those terms count",
                do="write the terms, or `preset`, into the stages",
            )
        if not self.terms() and not self.stages:
            raise UserError(
                "objectives",
                expected="at least one term",
                got="all of them switched off",
                do="leave one on, such as `hard_label`",
            )
        return self

    def terms(self) -> dict[str, Room]:
        """The terms that are switched on, by name."""
        return {name: getattr(self, name) for name in type(self).model_fields if isinstance(getattr(self, name), Room)}

    @property
    def learns_labels_alone(self) -> bool:
        """Whether nothing is learned from a teacher, nor from rows without a label."""
        parts: Sequence[ObjectivesConfig] = self.stages or [self]
        return {term for part in parts for term in part.terms()} == {"hard_label"}

    @model_serializer(mode="wrap")
    def _without_terms_of_no_stage(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """With stages, a term that stands nowhere is left out: read again, `null` would take it out of the stages."""
        content: dict[str, Any] = serialize(self)
        return {key: value for key, value in content.items() if value is not None} if self.stages else content


class StageConfig(ObjectivesConfig):
    """A stage: objectives, from a preset or as they stand, and how they are trained on."""

    preset: str | None = Field(None, description="name of a preset without stages")
    epochs: PositiveFloat = Field(1.0, description="length relative to the other stages; `training` sets the total")
    learning_rate: PositiveFloat | None = Field(None, description="peak of the student; that of `training` by default")
    layers: OpenedLayers = Field(
        "all", description="student layers that terms look at: all, one after another, or up to one after another"
    )

    @model_validator(mode="after")
    def _no_stages_inside(self) -> StageConfig:
        if self.stages:
            raise UserError(
                "objectives.stages",
                expected="terms, or a preset without stages",
                got=f"stages inside a stage ({self.preset or 'written out'})",
                do="write those stages out beside the others",
            )
        return self

    @model_validator(mode="after")
    def _layers_to_open(self) -> StageConfig:
        if self.layers != "all" and not self.layer_wise():
            raise UserError(
                "objectives.stages",
                expected=f"for `layers: {self.layers}`, a term with `student_layers: all`, which looks at layers",
                got=" and ".join(f"`{name}`" for name in self.terms()),
                otherwise="every layer's stage would have been the same",
                do="leave `layers` out of this stage",
            )
        return self

    def layer_wise(self) -> list[str]:
        """Names of the terms that look at the student's layers, all of them by default."""
        return [name for name, term in self.terms().items() if getattr(term, "student_layers", None) == "all"]


def refuse_pretraining(objectives: ObjectivesConfig) -> ObjectivesConfig:
    """Refuse a preset of the pre-training stage, or a stage that names one, where classes or scores are learned.

    Returns:
        The same objectives.

    Raises:
        UserError: names the preset, and the one of this stage where there is one.
    """
    of_pretraining = preset_names("pretrain")
    for part in (objectives, *(objectives.stages or ())):
        if part.preset in of_pretraining:
            namesake = part.preset.removesuffix("-pre")
            here = namesake if namesake in preset_names("distill") else "codir"
            raise UserError(
                "preset",
                expected="one of the fine-tuning stage",
                got=f"{part.preset!r}, of the pre-training stage",
                otherwise="there would have been no masked or next tokens to predict",
                do=f"take `{here}`, or pre-train with it: `codir pretrain --preset {part.preset}`",
            )
    return objectives


TaskObjectives = Annotated[
    ObjectivesConfig, AfterValidator(refuse_pretraining), Field(description=ObjectivesConfig.__doc__)
]
"""Of the commands that learn a task, each preset of which is of that stage."""


def over_stages(staged: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Lay sections over a preset that has stages: each goes to the stages that have such a term.

    Example:
        >>> over_stages({"stages": [{"kd": {"weight": 1}}, {"mse": {}}]}, {"preset": "x", "kd": {"weight": 3}})
        {'preset': 'x', 'stages': [{'kd': {'weight': 3}}, {'mse': {}}]}
    """
    own = {key: value for key, value in given.items() if key in ("preset", "stages")}
    sections = {key: value for key, value in given.items() if key not in own}
    stages = [_written_out(stage) for stage in own.get("stages") or staged["stages"]]
    for name in sections:
        if not any(name in stage for stage in stages):
            raise UserError(
                f"objectives.{name}",
                expected="a term of one of the preset's stages",
                got=f"'{name}', which none of {given['preset']}'s has",
                do="write the stages out under `stages`, with this term in one of them",
            )
    laid = [deep_merge(stage, {name: over for name, over in sections.items() if name in stage}) for stage in stages]
    return {**own, "stages": laid}


def _written_out(stage: Any) -> Any:
    """A stage with the terms of its preset, where it names one."""
    stage = {"preset": stage} if isinstance(stage, str) else stage
    is_named = isinstance(stage, Mapping) and stage.get("preset") is not None
    return deep_merge(read_preset(stage["preset"])["objectives"], stage) if is_named else stage
