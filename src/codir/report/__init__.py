"""Report: what was kept, what it costs, and under which conditions both were measured.

Knows models, dev sets and numbers; knows nothing of how a student was trained, nor of recipes.
"""

from codir.report.comparison import (
    Comparison,
    Run,
    comparison_markdown,
    comparison_rows,
    explain,
    read_comparison,
    read_run,
    summary_rows,
    write_comparison,
)
from codir.report.conditions import gather_conditions
from codir.report.cost import Throughput, count_parameters, folder_bytes, measure_throughput, measure_throughputs
from codir.report.curves import plot_training_curves
from codir.report.dots import plot_comparison
from codir.report.exam import Exam, Reader
from codir.report.language import PretrainingResult, examine_language_models, language_rows, write_pretraining_report
from codir.report.metrics import METRIC_NAMES, agreement, best_label_permutation, compute_metrics, predictions
from codir.report.predict import predict_logits
from codir.report.representation import alignment, uniformity
from codir.report.results import (
    ModelResult,
    RunResult,
    markdown_table,
    result_table,
    summarise,
    table_rows,
    to_markdown,
    write_report,
)
from codir.report.statistics import estimate_mean, holm, paired_p_value

__all__ = [
    "METRIC_NAMES",
    "Comparison",
    "Exam",
    "ModelResult",
    "PretrainingResult",
    "Reader",
    "Run",
    "RunResult",
    "Throughput",
    "agreement",
    "alignment",
    "best_label_permutation",
    "comparison_markdown",
    "comparison_rows",
    "compute_metrics",
    "count_parameters",
    "estimate_mean",
    "examine_language_models",
    "explain",
    "folder_bytes",
    "gather_conditions",
    "holm",
    "language_rows",
    "markdown_table",
    "measure_throughput",
    "measure_throughputs",
    "paired_p_value",
    "plot_comparison",
    "plot_training_curves",
    "predict_logits",
    "predictions",
    "read_comparison",
    "read_run",
    "result_table",
    "summarise",
    "summary_rows",
    "table_rows",
    "to_markdown",
    "uniformity",
    "write_comparison",
    "write_pretraining_report",
    "write_report",
]
