"""What a command prints at its end: tables, and where the files are."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from codir.errors.shown import counted, plain, short_paths

if TYPE_CHECKING:
    from codir.measure import Comparison
    from codir.report import (
        BenchmarkResult,
        EvaluationResult,
        ExportResult,
        PretrainingResult,
        RunResult,
        SweepResult,
    )
    from codir.runs.plan import Plan
    from codir.runs.rehearsal import Rehearsal

consoles = [Console(quiet=os.environ.get("RANK", "0") != "0")]
"""Where results go: of several processes, the main one shows them. A log file may join."""
before_results: list[Callable[[], None]] = []
"""What has to stop first, such as a live display."""
LONGEST_PATH = 4096
WIDEST_TITLE = 60


def show_result(result: RunResult) -> None:
    """Teacher, student and baseline of a distillation."""
    from codir.report import result_table

    _show(result_table(result))
    _show_place("Student, report.html, report.md, report.json and training_curves.png", result.output_dir)


def show_evaluation(result: EvaluationResult) -> None:
    """One model on evaluation sets."""
    from codir.report import evaluation_table

    _show(evaluation_table(result))
    for file in result.files:
        _show_place("Written", file)


def show_export(result: ExportResult) -> None:
    """What was tried, and where the chosen one is."""
    from codir.report import export_table

    _show(export_table(result))
    _show_place(f"{result.chosen.name}, infer.py and export.json", result.output_dir)
    show_next(f"python {result.output_dir}/infer.py {result.usage}")


def show_benchmark(result: BenchmarkResult, output_dir: Path | None) -> None:
    """Tables of quality, sizes and speeds."""
    from codir.report import benchmark_table

    _show(benchmark_table(result))
    if output_dir is not None:
        _show_place("benchmark.json, benchmark.md and benchmark.png", output_dir)


def show_pretraining(result: PretrainingResult) -> None:
    """Losses of a pre-training."""
    from codir.report import to_terminal

    _show(to_terminal(result.rows(), title=result.title))
    _show_place("Student, report.md, report.json and training_curves.png", result.output_dir)


def show_comparison(comparison: Comparison, output_dir: Path) -> None:
    """A table for each kind of student, and the runs that failed."""
    from codir.report import comparison_rows, comparison_warnings, to_terminal

    for warning in comparison_warnings(comparison):
        _show(_text(warning), style="bold red")
    for student in comparison.students:
        title = f"{student}, {comparison.first}: means over seeds with 95% intervals"
        _show(to_terminal(comparison_rows(comparison, student, comparison.first), title=title))
    for failure in comparison.failed:
        _show(_text(f"failed: {failure}"), style="red", soft_wrap=True)
    _show_place("report.html, table.md, comparison.png and results.json", output_dir)


def show_sweep(result: SweepResult) -> None:
    """Students beside their teacher, the smallest inside the tolerance, and those that failed."""
    from codir.report import sweep_table

    _show(sweep_table(result))
    for failure in result.failed:
        _show(_text(f"failed: {failure}"), style="red", soft_wrap=True)
    _show_place("report.html, sweep.json, sweep.md, sweep.png, students and exported", result.output_dir)


def show_metrics(metrics: Mapping[str, float], *, title: str) -> None:
    """Metrics of one model."""
    from codir.report import to_terminal

    title = short_paths(title)
    table = to_terminal([{"metric": name, "value": f"{value:.4f}"} for name, value in metrics.items()], title=title)
    table.min_width = min(len(title), WIDEST_TITLE)
    _show(table)


def show_presets(presets: Sequence[Mapping[str, Any]]) -> None:
    """Names and what they minimise, a line each, by the command that takes them."""
    longest = max(len(one["name"]) for one in presets)
    for command in dict.fromkeys(one["command"] for one in presets):
        _show(_text(f"For `codir {command}`:"))
        for one in presets:
            if one["command"] == command:
                line = _text(f"{one['name']:<{longest}}  {one['summary']}")
                _show(line, no_wrap=True, overflow="ellipsis", crop=False)
        _show("")
    _show(_text("`codir presets NAME` shows one of them, with its source and its weights."))


def show_preset(preset: Mapping[str, Any]) -> None:
    """All that the file of one preset says."""
    import yaml

    written = yaml.safe_dump({"objectives": preset["objectives"]}, sort_keys=False, default_flow_style=None, width=100)
    about = [f"{preset['name']}, for `codir {preset['command']}`", preset["summary"], preset["source"]]
    for line in [*about, *str(written).splitlines()]:
        _show(_text(line), soft_wrap=True)


def show_plan(plan: Plan) -> None:
    """Sizes, and the choices that the rules make of them."""
    from rich.filesize import decimal

    from codir.report import to_terminal

    rows = [{"what": what, "where": where, "size": decimal(count)} for what, where, count in plan.table()]
    table = to_terminal(rows, title=counted(plan.rows, "row"))
    table.columns[1].justify = "left"
    _show(table)
    for line in plan.choices:
        _show(_text(line), soft_wrap=True)


def show_rehearsal(found: Rehearsal) -> None:
    """What a run would take."""
    from codir.report import to_terminal

    rows = [{"what": what, "how much": how_much} for what, how_much in found.table()]
    table = to_terminal(rows, title=f"{found.command}: nothing was written")
    table.columns[1].justify = "left"
    _show(table)
    for note in found.notes:
        _show(_text(note))


def show_model(folder: Path, then: str) -> None:
    """Where the model is, and the command that comes next."""
    _show_place("Model", folder)
    show_next(then)


def show_next(command: str) -> None:
    """What to do with the model."""
    _show(_text(f"Next: {command}"), soft_wrap=True)


def _show(renderable: Any, **how: Any) -> None:
    for stop in before_results:
        stop()
    for console in consoles:
        console.print(renderable, **how)


def _show_place(files: str, folder: Path | None) -> None:
    _show(_text(f"{files}: ") + Text(plain(folder, longest=LONGEST_PATH), style="bold"), soft_wrap=True)


def _text(words: str) -> Text:
    """Words from outside as they stand: rich reads no markup in them, and the terminal no control characters."""
    return Text(plain(words, longest=LONGEST_PATH))
