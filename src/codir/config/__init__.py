"""What a recipe may say, room by room. Unknown keys are errors; nothing here imports torch.

Configuration stops at `codir.runs`: everything behind it takes plain values. Only `codir.config.words` is for all; so
the names below are loaded when they are first used, and a room that needs a word loads no more than that.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from codir.config.base import Room
    from codir.config.check import validate
    from codir.config.compare import CompareConfig, Contestant
    from codir.config.evaluate import EvaluateConfig
    from codir.config.export import BenchmarkConfig, ExportConfig
    from codir.config.objectives import ObjectivesConfig, StageConfig
    from codir.config.presets import preset_names, read_preset
    from codir.config.runs import AnyRun, FinetuneConfig, PretrainRecipe, Recipe
    from codir.config.sections import CorpusConfig, DataConfig, MaskingConfig, StudentConfig, TeacherConfig
    from codir.config.sweep import SweepConfig
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
        LayerWiseConfig,
        ListwiseKLConfig,
        LogitMSEConfig,
        MarginMSEConfig,
        PooledMSEConfig,
        RelationKLConfig,
        SoftTargetConfig,
        TokenCosineConfig,
        TokenKLConfig,
        TokenLabelConfig,
        VectorConfig,
        WordContrastConfig,
    )
    from codir.config.trainer_options import TrainerOptions
    from codir.config.training import PretrainingConfig, TrainingConfig
    from codir.config.yaml import deep_merge, parse_settings, parse_yaml, read_yaml
    from codir.errors.shown import redacted

__all__ = [
    "AnyRun",
    "AttentionKLConfig",
    "AttentionMSEConfig",
    "BenchmarkConfig",
    "ClsCosineConfig",
    "CompareConfig",
    "Contestant",
    "ContrastiveConfig",
    "CorpusConfig",
    "DataConfig",
    "EmbeddingContrastConfig",
    "EmbeddingCosineConfig",
    "EmbeddingMSEConfig",
    "EvaluateConfig",
    "ExportConfig",
    "FinetuneConfig",
    "HardLabelConfig",
    "HiddenMSEConfig",
    "LayerWiseConfig",
    "ListwiseKLConfig",
    "LogitMSEConfig",
    "MarginMSEConfig",
    "MaskingConfig",
    "ObjectivesConfig",
    "PooledMSEConfig",
    "PretrainRecipe",
    "PretrainingConfig",
    "Recipe",
    "RelationKLConfig",
    "Room",
    "SoftTargetConfig",
    "StageConfig",
    "StudentConfig",
    "SweepConfig",
    "TeacherConfig",
    "TokenCosineConfig",
    "TokenKLConfig",
    "TokenLabelConfig",
    "TrainerOptions",
    "TrainingConfig",
    "VectorConfig",
    "WordContrastConfig",
    "deep_merge",
    "parse_settings",
    "parse_yaml",
    "preset_names",
    "read_preset",
    "read_yaml",
    "redacted",
    "validate",
]

_HOMES = {
    "EvaluateConfig": "codir.config.evaluate",
    "BenchmarkConfig": "codir.config.export",
    "ExportConfig": "codir.config.export",
    "AnyRun": "codir.config.runs",
    "AttentionKLConfig": "codir.config.terms",
    "AttentionMSEConfig": "codir.config.terms",
    "ClsCosineConfig": "codir.config.terms",
    "CompareConfig": "codir.config.compare",
    "Contestant": "codir.config.compare",
    "ContrastiveConfig": "codir.config.terms",
    "CorpusConfig": "codir.config.sections",
    "DataConfig": "codir.config.sections",
    "EmbeddingContrastConfig": "codir.config.terms",
    "EmbeddingCosineConfig": "codir.config.terms",
    "EmbeddingMSEConfig": "codir.config.terms",
    "FinetuneConfig": "codir.config.runs",
    "HardLabelConfig": "codir.config.terms",
    "HiddenMSEConfig": "codir.config.terms",
    "LayerWiseConfig": "codir.config.terms",
    "ListwiseKLConfig": "codir.config.terms",
    "LogitMSEConfig": "codir.config.terms",
    "MarginMSEConfig": "codir.config.terms",
    "MaskingConfig": "codir.config.sections",
    "ObjectivesConfig": "codir.config.objectives",
    "PooledMSEConfig": "codir.config.terms",
    "PretrainRecipe": "codir.config.runs",
    "PretrainingConfig": "codir.config.training",
    "Recipe": "codir.config.runs",
    "RelationKLConfig": "codir.config.terms",
    "Room": "codir.config.base",
    "SoftTargetConfig": "codir.config.terms",
    "StageConfig": "codir.config.objectives",
    "StudentConfig": "codir.config.sections",
    "SweepConfig": "codir.config.sweep",
    "TeacherConfig": "codir.config.sections",
    "TokenCosineConfig": "codir.config.terms",
    "TokenKLConfig": "codir.config.terms",
    "TokenLabelConfig": "codir.config.terms",
    "TrainerOptions": "codir.config.trainer_options",
    "TrainingConfig": "codir.config.training",
    "VectorConfig": "codir.config.terms",
    "WordContrastConfig": "codir.config.terms",
    "deep_merge": "codir.config.yaml",
    "parse_settings": "codir.config.yaml",
    "parse_yaml": "codir.config.yaml",
    "preset_names": "codir.config.presets",
    "read_preset": "codir.config.presets",
    "read_yaml": "codir.config.yaml",
    "redacted": "codir.errors.shown",
    "validate": "codir.config.check",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'codir.config' has no attribute '{name}'")
