"""Numbers become words and pictures: tables, pages and plots. Knows nothing of how the numbers were measured."""

from codir.report.benchmark import BenchmarkResult, Cost, Timing, benchmark_table, write_benchmark
from codir.report.card import CARD_NAME, Lengths, Origin, Term, write_card
from codir.report.comparison import (
    comparison_markdown,
    comparison_rows,
    comparison_warnings,
    explain,
    summary_rows,
    write_comparison,
)
from codir.report.curves import plot_training_curves
from codir.report.dots import plot_comparison
from codir.report.evaluation import EvaluationResult, SecondModel, evaluation_table
from codir.report.export import PYTORCH, ExportResult, export_table
from codir.report.findings import Findings, findings_of_judgement, findings_of_pretraining, findings_of_run
from codir.report.finetuning import write_finetuning_report
from codir.report.judgement import warn_of, warnings_of
from codir.report.pretraining import PretrainingResult, language_rows, write_pretraining_report
from codir.report.results import (
    RunResult,
    result_table,
    summarise,
    table_rows,
    training_in_words,
    write_report,
)
from codir.report.row_files import write_rows
from codir.report.sweep import SweepResult, sweep_table, write_sweep
from codir.report.words import REPORT_NAME, in_thousands, in_words, rows_in_words, to_markdown, to_terminal

__all__ = [
    "CARD_NAME",
    "PYTORCH",
    "REPORT_NAME",
    "BenchmarkResult",
    "Cost",
    "EvaluationResult",
    "ExportResult",
    "Findings",
    "Lengths",
    "Origin",
    "PretrainingResult",
    "RunResult",
    "SecondModel",
    "SweepResult",
    "Term",
    "Timing",
    "benchmark_table",
    "comparison_markdown",
    "comparison_rows",
    "comparison_warnings",
    "evaluation_table",
    "explain",
    "export_table",
    "findings_of_judgement",
    "findings_of_pretraining",
    "findings_of_run",
    "in_thousands",
    "in_words",
    "language_rows",
    "plot_comparison",
    "plot_training_curves",
    "result_table",
    "rows_in_words",
    "summarise",
    "summary_rows",
    "sweep_table",
    "table_rows",
    "to_markdown",
    "to_terminal",
    "training_in_words",
    "warn_of",
    "warnings_of",
    "write_benchmark",
    "write_card",
    "write_comparison",
    "write_finetuning_report",
    "write_pretraining_report",
    "write_report",
    "write_rows",
    "write_sweep",
]
