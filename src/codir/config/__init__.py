"""What a recipe may say, room by room. Unknown keys are errors; nothing here imports torch.

Configuration stops at `codir.runs`: everything behind it takes plain values."""

from codir.config.compare import CompareConfig, Contestant
from codir.config.evaluate import EvaluateConfig
from codir.config.objectives import ObjectivesConfig, StageConfig
from codir.config.presets import preset_names, read_preset
from codir.config.runs import AnyRun, FinetuneConfig, PretrainRecipe, Recipe
from codir.config.sections import CorpusConfig, DataConfig, MaskingConfig, StudentConfig, TeacherConfig
from codir.config.terms import (
    AttentionKLConfig,
    AttentionMSEConfig,
    ClsCosineConfig,
    ContrastiveConfig,
    HardLabelConfig,
    HiddenMSEConfig,
    LayerWiseConfig,
    LogitMSEConfig,
    PooledMSEConfig,
    RelationKLConfig,
    SoftTargetConfig,
    TokenCosineConfig,
    TokenKLConfig,
    TokenLabelConfig,
)
from codir.config.training import PretrainingConfig, TrainingConfig
from codir.config.validate import validate
from codir.config.yaml import deep_merge, parse_settings, parse_yaml, read_yaml

__all__ = [
    "AnyRun",
    "AttentionKLConfig",
    "AttentionMSEConfig",
    "ClsCosineConfig",
    "CompareConfig",
    "Contestant",
    "ContrastiveConfig",
    "CorpusConfig",
    "DataConfig",
    "EvaluateConfig",
    "FinetuneConfig",
    "HardLabelConfig",
    "HiddenMSEConfig",
    "LayerWiseConfig",
    "LogitMSEConfig",
    "MaskingConfig",
    "ObjectivesConfig",
    "PooledMSEConfig",
    "PretrainRecipe",
    "PretrainingConfig",
    "Recipe",
    "RelationKLConfig",
    "SoftTargetConfig",
    "StageConfig",
    "StudentConfig",
    "TeacherConfig",
    "TokenCosineConfig",
    "TokenKLConfig",
    "TokenLabelConfig",
    "TrainingConfig",
    "deep_merge",
    "parse_settings",
    "parse_yaml",
    "preset_names",
    "read_preset",
    "read_yaml",
    "validate",
]
