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
    "validate",
]

_NAMES = {
    "base": "Room",
    "check": "validate",
    "compare": "CompareConfig Contestant",
    "evaluate": "EvaluateConfig",
    "export": "BenchmarkConfig ExportConfig",
    "objectives": "ObjectivesConfig StageConfig",
    "presets": "preset_names read_preset",
    "runs": "AnyRun FinetuneConfig PretrainRecipe Recipe",
    "sections": "CorpusConfig DataConfig MaskingConfig StudentConfig TeacherConfig",
    "sweep": "SweepConfig",
    "terms": (
        "AttentionKLConfig AttentionMSEConfig ClsCosineConfig ContrastiveConfig EmbeddingContrastConfig "
        "EmbeddingCosineConfig EmbeddingMSEConfig HardLabelConfig HiddenMSEConfig LayerWiseConfig "
        "ListwiseKLConfig LogitMSEConfig MarginMSEConfig PooledMSEConfig RelationKLConfig SoftTargetConfig "
        "TokenCosineConfig TokenKLConfig TokenLabelConfig VectorConfig WordContrastConfig"
    ),
    "trainer_options": "TrainerOptions",
    "training": "PretrainingConfig TrainingConfig",
    "yaml": "deep_merge parse_settings parse_yaml read_yaml",
}
_HOMES = {name: f"codir.config.{home}" for home, names in _NAMES.items() for name in names.split()}
"""The module of each name above."""


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'codir.config' has no attribute '{name}'")
