"""Models and rows become numbers: exam, metrics, cost, statistics, and the conditions they were measured under."""

from codir.measure.analysis import Analysis, HeadComparison, LayerAnalysis, analyse
from codir.measure.bootstrap import Interval, interval_of, resample_metrics
from codir.measure.by_class import ByClass, ClassScore, score_classes
from codir.measure.comparison import Comparison, Line, Run, lines_of, read_comparison, read_run
from codir.measure.conditions import gather_conditions
from codir.measure.cost import Latency, Throughput, measure_latencies, measure_throughput, measure_throughputs
from codir.measure.exam import Answers, Exam
from codir.measure.judgement import AnsweredSet, Judgement, OfLength, Standing, judge, stand
from codir.measure.language import examine_language_models
from codir.measure.metrics import agreement, best_label_permutation
from codir.measure.predict import predict_logits
from codir.measure.representation import alignment, uniformity
from codir.measure.result import ModelResult
from codir.measure.runner import Runner, TorchRunner, count_parameters, folder_bytes
from codir.measure.statistics import Estimate, estimate_mean, holm, paired_p_value
from codir.tasks.metrics import METRIC_NAMES, compute_metrics, predictions

__all__ = [
    "METRIC_NAMES",
    "Analysis",
    "AnsweredSet",
    "Answers",
    "ByClass",
    "ClassScore",
    "Comparison",
    "Estimate",
    "Exam",
    "HeadComparison",
    "Interval",
    "Judgement",
    "Latency",
    "LayerAnalysis",
    "Line",
    "ModelResult",
    "OfLength",
    "Run",
    "Runner",
    "Standing",
    "Throughput",
    "TorchRunner",
    "agreement",
    "alignment",
    "analyse",
    "best_label_permutation",
    "compute_metrics",
    "count_parameters",
    "estimate_mean",
    "examine_language_models",
    "folder_bytes",
    "gather_conditions",
    "holm",
    "interval_of",
    "judge",
    "lines_of",
    "measure_latencies",
    "measure_throughput",
    "measure_throughputs",
    "paired_p_value",
    "predict_logits",
    "predictions",
    "read_comparison",
    "read_run",
    "resample_metrics",
    "score_classes",
    "stand",
    "uniformity",
]
