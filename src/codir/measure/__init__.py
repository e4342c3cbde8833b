"""Models and rows become numbers: exam, metrics, cost, statistics, and the conditions they were measured under."""

from codir.measure.analysis import Analysis, HeadComparison, LayerAnalysis, analyse
from codir.measure.bootstrap import Interval, interval_of, resample_metrics
from codir.measure.by_class import ByClass, ClassScore, score_classes
from codir.measure.calibration import Calibration, ConfidenceBin, calibrate
from codir.measure.comparison import Comparison, Line, Run, lines_of, read_comparison, read_run
from codir.measure.conditions import gather_conditions
from codir.measure.cost import Latency, Throughput, measure_latencies, measure_throughputs
from codir.measure.disagreement import find_farthest, measure_agreement
from codir.measure.engines import (
    FILE_NAMES,
    INSTALL,
    PACKAGES,
    RECORD_NAME,
    ExportedRunner,
    engine_of,
    engine_package,
    exported_file,
    open_exported,
)
from codir.measure.exam import SPEED_BATCH, Answers, Exam
from codir.measure.judgement import AnsweredSet, Judgement, OfLength, Standing, judge, stand
from codir.measure.language import examine_language_models
from codir.measure.memory import peak_bytes
from codir.measure.metrics import agreement
from codir.measure.predict import predict_logits
from codir.measure.representation import alignment, uniformity
from codir.measure.result import ModelResult
from codir.measure.runner import Runner, TensorBatch, TorchRunner, count_parameters, folder_bytes
from codir.measure.selection import KeptLayers, LayerRanking, rank_layers, ranking_in_words
from codir.measure.statistics import Estimate, estimate_mean, holm, paired_p_value
from codir.measure.tolerance import POINTS, Contender, choose_smallest, is_within, measure_losses
from codir.measure.verdict import Candidate, Rejected, Verdict, find_fault, weigh
from codir.tasks.metrics import METRIC_NAMES, compute_metrics, predictions
from codir.tasks.order import best_label_permutation

__all__ = [
    "FILE_NAMES",
    "INSTALL",
    "METRIC_NAMES",
    "PACKAGES",
    "POINTS",
    "RECORD_NAME",
    "SPEED_BATCH",
    "Analysis",
    "AnsweredSet",
    "Answers",
    "ByClass",
    "Calibration",
    "Candidate",
    "ClassScore",
    "Comparison",
    "ConfidenceBin",
    "Contender",
    "Estimate",
    "Exam",
    "ExportedRunner",
    "HeadComparison",
    "Interval",
    "Judgement",
    "KeptLayers",
    "Latency",
    "LayerAnalysis",
    "LayerRanking",
    "Line",
    "ModelResult",
    "OfLength",
    "Rejected",
    "Run",
    "Runner",
    "Standing",
    "TensorBatch",
    "Throughput",
    "TorchRunner",
    "Verdict",
    "agreement",
    "alignment",
    "analyse",
    "best_label_permutation",
    "calibrate",
    "choose_smallest",
    "compute_metrics",
    "count_parameters",
    "engine_of",
    "engine_package",
    "estimate_mean",
    "examine_language_models",
    "exported_file",
    "find_farthest",
    "find_fault",
    "folder_bytes",
    "gather_conditions",
    "holm",
    "interval_of",
    "is_within",
    "judge",
    "lines_of",
    "measure_agreement",
    "measure_latencies",
    "measure_losses",
    "measure_throughputs",
    "open_exported",
    "paired_p_value",
    "peak_bytes",
    "predict_logits",
    "predictions",
    "rank_layers",
    "ranking_in_words",
    "read_comparison",
    "read_run",
    "resample_metrics",
    "score_classes",
    "stand",
    "uniformity",
    "weigh",
]
