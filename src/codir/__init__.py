"""Contrastive distillation of transformer language models (CoDIR): small, fast, with numbers that say what was kept.

The public names, and only them; each is loaded when it is first used, so that `import codir` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from codir.bilstm.registration import register_models

__version__ = "0.1.0"

if TYPE_CHECKING:
    from codir.config import (
        BenchmarkConfig,
        CompareConfig,
        ExportConfig,
        FinetuneConfig,
        PretrainRecipe,
        Recipe,
        SweepConfig,
    )
    from codir.data import load_data
    from codir.errors import CodirError, NonFiniteLossError, UserError
    from codir.measure import rank_layers
    from codir.objectives import Contrastive
    from codir.report import EvaluationResult, PretrainingResult, RunResult, SweepResult
    from codir.runs import (
        benchmark,
        compare_presets,
        distill,
        evaluate,
        examine,
        export_model,
        finetune,
        preset,
        pretrain,
        sweep,
    )
    from codir.student import build_student
    from codir.teacher import AnswersFile
    from codir.trainer import DistillationArguments, DistillationTrainer, PretrainingArguments, PretrainingTrainer

_HOMES = {
    "AnswersFile": "codir.teacher",
    "BenchmarkConfig": "codir.config",
    "CodirError": "codir.errors",
    "CompareConfig": "codir.config",
    "Contrastive": "codir.objectives",
    "DistillationArguments": "codir.trainer",
    "DistillationTrainer": "codir.trainer",
    "ExportConfig": "codir.config",
    "EvaluationResult": "codir.report",
    "FinetuneConfig": "codir.config",
    "NonFiniteLossError": "codir.errors",
    "PretrainRecipe": "codir.config",
    "PretrainingArguments": "codir.trainer",
    "PretrainingResult": "codir.report",
    "PretrainingTrainer": "codir.trainer",
    "Recipe": "codir.config",
    "RunResult": "codir.report",
    "SweepConfig": "codir.config",
    "SweepResult": "codir.report",
    "UserError": "codir.errors",
    "benchmark": "codir.runs",
    "build_student": "codir.student",
    "compare_presets": "codir.runs",
    "distill": "codir.runs",
    "evaluate": "codir.runs",
    "export_model": "codir.runs",
    "examine": "codir.runs",
    "finetune": "codir.runs",
    "load_data": "codir.data",
    "preset": "codir.runs",
    "pretrain": "codir.runs",
    "rank_layers": "codir.measure",
    "sweep": "codir.runs",
}

__all__ = [
    "AnswersFile",
    "BenchmarkConfig",
    "CodirError",
    "CompareConfig",
    "Contrastive",
    "DistillationArguments",
    "DistillationTrainer",
    "EvaluationResult",
    "ExportConfig",
    "FinetuneConfig",
    "NonFiniteLossError",
    "PretrainRecipe",
    "PretrainingArguments",
    "PretrainingResult",
    "PretrainingTrainer",
    "Recipe",
    "RunResult",
    "SweepConfig",
    "SweepResult",
    "UserError",
    "benchmark",
    "build_student",
    "compare_presets",
    "distill",
    "evaluate",
    "examine",
    "export_model",
    "finetune",
    "load_data",
    "preset",
    "pretrain",
    "rank_layers",
    "sweep",
]


_ROOMS = ("data", "measure", "memory", "objectives", "report", "student", "teacher", "trainer")


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in _ROOMS:
        return import_module(f"codir.{name}")
    raise AttributeError(f"module 'codir' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*__all__, *_ROOMS])


register_models()
