"""START HERE. The verbs of codir, each a page that reads top to bottom."""

from codir.runs.benchmark import benchmark
from codir.runs.compare import compare_presets
from codir.runs.demo import run_demo, run_pretraining_demo
from codir.runs.distill import distill
from codir.runs.evaluate import evaluate, examine
from codir.runs.export import export_model
from codir.runs.finetune import finetune
from codir.runs.objectives import preset
from codir.runs.pretrain import pretrain
from codir.runs.rehearse import rehearse

__all__ = [
    "benchmark",
    "compare_presets",
    "distill",
    "evaluate",
    "examine",
    "export_model",
    "finetune",
    "preset",
    "pretrain",
    "rehearse",
    "run_demo",
    "run_pretraining_demo",
]
