"""From the objectives of a recipe to the objects that training descends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from codir.config import (
    ObjectivesConfig,
    StageConfig,
    deep_merge,
    preset_names,
    validate,
)
from codir.errors import UserError
from codir.objectives import (
    AttentionKL,
    AttentionMSE,
    ClsCosine,
    Contrastive,
    EmbeddingContrast,
    EmbeddingCosine,
    EmbeddingMSE,
    HardLabel,
    HiddenMSE,
    ListwiseKL,
    LogitMSE,
    MarginMSE,
    Objective,
    Objectives,
    PooledMSE,
    RelationKL,
    SoftTarget,
    Stage,
    StagedObjectives,
    TokenCosine,
    TokenKL,
    TokenLabel,
    WeightedObjectives,
    WordContrast,
)
from codir.tasks import OFFERS, Kind, Offer

OBJECTIVES: dict[str, type[Objective]] = {
    "hard_label": HardLabel,
    "soft_target": SoftTarget,
    "logit_mse": LogitMSE,
    "margin_mse": MarginMSE,
    "listwise_kl": ListwiseKL,
    "pooled_mse": PooledMSE,
    "cls_cosine": ClsCosine,
    "token_cosine": TokenCosine,
    "hidden_mse": HiddenMSE,
    "attention_mse": AttentionMSE,
    "attention_kl": AttentionKL,
    "relation_kl": RelationKL,
    "token_label": TokenLabel,
    "token_kl": TokenKL,
    "contrastive": Contrastive,
    "word_contrast": WordContrast,
    "embedding_mse": EmbeddingMSE,
    "embedding_cosine": EmbeddingCosine,
    "embedding_contrast": EmbeddingContrast,
}


def preset(name: str, **overrides: Mapping[str, Any]) -> Objectives:
    """The objectives of a preset, for `DistillationTrainer`.

    Args:
        name: one of `codir.config.preset_names()`.
        **overrides: sections laid over the preset's, such as `contrastive={"weight": 0.5}`; over those stages of it
            that have such a section, where it has stages.

    Example:
        >>> preset("codir", contrastive={"weight": 0.5}).weights
        {'hard_label': 0.5, 'soft_target': 0.5, 'contrastive': 0.5}
    """
    return build_objectives(validate(ObjectivesConfig, deep_merge({"preset": name}, overrides)))


def build_objectives(config: ObjectivesConfig) -> Objectives:
    """Turn configured terms into objectives with weights, stage by stage where there are stages."""
    if config.stages:
        return StagedObjectives([build_stage(stage) for stage in config.stages])
    return build_terms(config)


def build_stage(config: StageConfig) -> Stage:
    """A stage, which becomes several where the student's layers open one by one."""

    def opened_to(layer: int) -> WeightedObjectives:
        lowest = layer if config.layers == "one-by-one" else 1
        return build_terms(config, student_layers=tuple(range(lowest, layer + 1)))

    opening = None if config.layers == "all" else opened_to
    return Stage(build_terms(config), config.epochs, config.learning_rate, opening)


def check_preset(config: ObjectivesConfig, kind: Kind) -> None:
    """Refuse objectives that ask for what a kind of task does not have, before anything is loaded for them.

    Raises:
        UserError: names the presets that work there.
    """
    lacking = _lacking(config, kind)
    if lacking:
        term, offers = next(iter(lacking.items()))
        name = "these objectives" if config.preset is None else f"`{config.preset}`"
        raise UserError(
            "preset",
            expected=f"for task `{kind.name}`, one of {', '.join(f'`{one}`' for one in presets_for(kind))}",
            got=f"{name}, whose `{term}` asks for {' and '.join(OFFERS[offer] for offer in offers)}",
            do="take one of those with `--preset`, or set that term to `null` in the recipe",
        )


def presets_for(kind: Kind) -> list[str]:
    """The presets of `codir distill` that a kind of task can use.

    Example:
        >>> from codir.tasks import KINDS
        >>> set(presets_for(KINDS["classification"])) - set(presets_for(KINDS["regression"]))
        {'supcon'}
    """
    names = preset_names("distill")
    return [name for name in names if not _lacking(ObjectivesConfig.model_validate(name), kind)]


def _lacking(config: ObjectivesConfig, kind: Kind) -> dict[str, list[Offer]]:
    """What each term asks for and a kind does not offer; terms that lack nothing are left out."""
    found: dict[str, list[Offer]] = {}
    for part in config.stages or (config,):
        for name, objective in build_terms(part).objectives.items():
            assert isinstance(objective, Objective)
            if missing := sorted(objective.needs.of_kind - kind.offers):
                found[name] = missing
    return found


def build_terms(config: ObjectivesConfig, student_layers: tuple[int, ...] | None = None) -> WeightedObjectives:
    """Turn configured terms into objectives with weights; some layers instead of all, for terms that look at layers."""
    objectives: dict[str, Objective] = {}
    weights: dict[str, float] = {}
    for name, term in config.terms().items():
        arguments: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in term.model_dump().items()
        }
        if student_layers is not None and arguments.get("student_layers") == "all":
            arguments["student_layers"] = student_layers
        weights[name] = arguments.pop("weight")
        objectives[name] = OBJECTIVES[name](**arguments)
    return WeightedObjectives(objectives, weights)
