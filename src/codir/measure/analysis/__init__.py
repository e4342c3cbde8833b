"""What lies behind the scores of a student and its teacher: their layers, their vectors, their heads, single rows."""

from codir.measure.analysis.analyse import Analysis, LayerAnalysis, analyse
from codir.measure.analysis.heads import ClosestHead, HeadComparison, compare_heads
from codir.measure.analysis.layers import compare_layers, linear_cka, pooled_layers, probe_layers
from codir.measure.analysis.rows import Disagreement, find_disagreements
from codir.measure.analysis.vectors import Projection, VectorSpread, class_alignment, describe_vectors, project

__all__ = [
    "Analysis",
    "ClosestHead",
    "Disagreement",
    "HeadComparison",
    "LayerAnalysis",
    "Projection",
    "VectorSpread",
    "analyse",
    "class_alignment",
    "compare_heads",
    "compare_layers",
    "describe_vectors",
    "find_disagreements",
    "linear_cka",
    "pooled_layers",
    "probe_layers",
    "project",
]
