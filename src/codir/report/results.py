"""Results: what one run found, and the ways to tell it: JSON for programs, a table and a page for people.

Turns numbers into words; knows nothing of how they were measured. Every table is built from the same `table_rows`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codir.errors.shown import counted, redacted, short_paths
from codir.measure import Analysis, Judgement, ModelResult
from codir.report.curves import LogHistory, plot_training_curves
from codir.report.html import render_html
from codir.report.judgement import certainty_rows, floor_row, latency_sentence, sections, to_json, warnings_of
from codir.report.words import (
    MOST_COLUMNS,
    NOT_MEASURED,
    REPORT_NAME,
    in_json,
    in_megabytes,
    in_thousands,
    in_words,
    render_page,
    rows_in_words,
    show_metric,
    stacked,
    to_markdown,
    to_terminal,
    turned,
)
from codir.store import files_added_whole
from codir.tasks import kind_of_metric, retention

if TYPE_CHECKING:
    from rich.console import Group


@dataclass(frozen=True)
class RunResult:
    """What one distillation found.

    Attributes:
        title: what stands above the report.
        task_name: what the models were asked to do.
        primary_metric: the metric that retention is about.
        teacher: the model that was distilled; `None` where a file taught, and does not answer the evaluation sets.
        student: the model that it became.
        baseline: the same student trained without a teacher, where there was one.
        agreement: how far the student answers as the teacher does; `None` without answers of the teacher.
        baseline_agreement: the same of the baseline.
        conditions: as `gather_conditions` gives them.
        notes: what a reader has to know, one sentence each.
        log_history: of the student's training.
        output_dir: where the student was saved.
        judgement: what must stand beside the scores.
        speed: how speeds were measured: `batch_size`, `rows`, `latency_rows`.
        data: what was trained on (`train`) and judged by (`evaluation`), with numbers of rows.
        training: what it took: steps, epochs, minutes and batch size.
        recipe: what the run was, as YAML with every default filled in.
        analysis: what lies behind the scores.
    """

    title: str
    task_name: str
    primary_metric: str
    teacher: ModelResult | None
    student: ModelResult
    baseline: ModelResult | None
    agreement: float | None
    baseline_agreement: float | None
    conditions: dict[str, Any]
    notes: tuple[str, ...]
    log_history: LogHistory
    output_dir: Path | None
    judgement: Judgement | None = None
    speed: Mapping[str, int] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    recipe: str = ""
    analysis: Analysis | None = None

    @property
    def retention(self) -> float | None:
        """The student's primary metric over the teacher's; `None` where the teacher's is nothing to keep."""
        return self._retention_of(self.student)

    @property
    def baseline_retention(self) -> float | None:
        """The same of the baseline."""
        return self._retention_of(self.baseline) if self.baseline else None

    @property
    def speedup(self) -> float | None:
        """How many times the teacher's sentences per second the student reads; `None` where not both were measured."""
        teacher = self.teacher.sentences_per_second if self.teacher else None
        student = self.student.sentences_per_second
        return student / teacher if student and teacher else None

    @property
    def models(self) -> dict[str, ModelResult]:
        """Student, and perhaps teacher and baseline, by name."""
        found = {"teacher": self.teacher, "student": self.student, "baseline": self.baseline}
        return {name: model for name, model in found.items() if model is not None}

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader has to hear before any number: models that might as well not read."""
        if self.judgement is None:
            return ()
        without = ["The teacher is not clearly better than that, so no retention is reported."]
        return (*warnings_of(self.judgement), *(without if self._teacher_is_at_floor else ()))

    @property
    def _teacher_is_at_floor(self) -> bool:
        standing = None if self.judgement is None else self.judgement.standings.get("teacher")
        return standing is not None and standing.is_at_floor

    def to_json(self) -> dict[str, Any]:
        """What `report.json` holds."""
        content = {
            "task": short_paths(self.task_name),
            "primary_metric": self.primary_metric,
            "teacher": asdict(self.teacher) if self.teacher else None,
            "student": asdict(self.student),
            "baseline": asdict(self.baseline) if self.baseline else None,
            "retention": self.retention,
            "agreement": self.agreement,
            "baseline_retention": self.baseline_retention,
            "baseline_agreement": self.baseline_agreement,
            "speedup": self.speedup,
            "warnings": list(self.warnings),
            "notes": list(self.notes),
            "data": dict(self.data),
            "training": dict(self.training),
            "speed": dict(self.speed),
            **(to_json(self.judgement) if self.judgement else {}),
            **({"analysis": asdict(self.analysis)} if self.analysis else {}),
            "conditions": self.conditions,
        }
        return dict(redacted(content))

    def _retention_of(self, model: ModelResult) -> float | None:
        metric = self.primary_metric
        if self.teacher is None or self._teacher_is_at_floor:
            return None
        return retention(metric, model.metrics[metric], self.teacher.metrics[metric])


def write_report(result: RunResult, folder: Path) -> list[Path]:
    """Write `report.json`, `report.md`, `report.html` and `training_curves.png`, none of them ever half-written.

    They are drafted in a temporary folder inside `folder`, and moved to their places once all are complete.

    Raises:
        ValueError: a number of the report is NaN or infinite.
    """
    with files_added_whole(folder) as drafts:
        files = _write_drafts(result, drafts)
    return [folder / file.name for file in files]


def result_table(result: RunResult) -> Group:
    """Build what ends a run in the terminal: warnings, the table, and how sure it is."""
    rows = table_rows(result)
    is_wide = len(rows[0]) > MOST_COLUMNS
    shown, wraps = (turned(rows), False) if is_wide else (rows, True)
    table = to_terminal(shown, title=result.title, caption=summarise(result), bold="student", wraps=wraps)
    if result.judgement is None:
        return stacked(result.warnings, table)
    sure = to_terminal(
        certainty_rows(result.judgement, [result.primary_metric]),
        title="; ".join(rows_in_words(result.data.get("evaluation", {}))),
        caption=latency_sentence(result.models, result.speed, result.conditions.get("dtype")),
        bold="student",
    )
    return stacked(result.warnings, table, sure)


def training_in_words(training: Mapping[str, Any]) -> str:
    """What the training of the student took.

    Example:
        >>> training_in_words({"steps": 30, "epochs": 2.0, "minutes": 1.25, "batch_size": 32, "learning_rate": 5e-5})
        '30 steps, 2 epochs, 1.2 minutes, 32 rows per step, learning rate 5e-05'
    """
    steps, epochs = counted(training["steps"], "step"), counted(training["epochs"], "epoch")
    words = f"{steps}, {epochs}, {training['minutes']:.1f} minutes"
    since = " since it was resumed" if training.get("resumed") else ""
    rows = counted(training["batch_size"], "row")
    return f"{words}{since}, {rows} per step, learning rate {training['learning_rate']:g}"


def table_rows(result: RunResult) -> list[dict[str, str]]:
    """Put the result into rows of words, one per model, each from column name to cell."""
    rows = [_row("student", result, result.student, result.agreement, result.retention)]
    if result.teacher is not None:
        rows.insert(0, _row("teacher", result, result.teacher, agreement=None, retention=None))
    if result.baseline is not None:
        name = "no teacher"
        rows.append(_row(name, result, result.baseline, result.baseline_agreement, result.baseline_retention))
    if result.judgement is not None:
        rows.append(floor_row(result.judgement, rows[0]))
    return rows


def summarise(result: RunResult) -> str:
    """Say in one sentence what was kept, and for what."""
    metric = result.primary_metric
    student = show_metric(metric, result.student.metrics.get(metric))
    if result.teacher is None:
        size = f"with {in_thousands(result.student.parameters)} parameters"
        return f"The student reaches {in_words(metric)} {student}, {size}."
    teacher = show_metric(metric, result.teacher.metrics.get(metric))
    metric = in_words(metric)
    if result.retention is None:
        kept = f"The student reaches {metric} {student} where the teacher reaches {teacher}"
    else:
        kept = f"The student keeps {result.retention:.1%} of the teacher's {metric} ({student} of {teacher})"
    speed = f" at {result.speedup:.1f} times its speed" if result.speedup else ""
    parameters = [in_thousands(model.parameters) for model in (result.student, result.teacher)]
    size = f", with {parameters[0]} parameters"
    size += f" in place of {parameters[1]}" if result.teacher.parameters is not None else ""
    beside = ""
    if result.baseline_retention is not None:
        beside = f"; the same student trained without a teacher keeps {result.baseline_retention:.1%}"
    return kept + speed + size + beside + "."


def _row(
    name: str, result: RunResult, model: ModelResult, agreement: float | None, retention: float | None
) -> dict[str, str]:
    agreement_metric, _ = kind_of_metric(result.primary_metric).agreement
    speed = model.sentences_per_second
    return {
        "model": name,
        **{in_words(metric): show_metric(metric, model.metrics.get(metric)) for metric in result.student.metrics},
        "agreement": show_metric(agreement_metric, agreement),
        "retention": show_metric("retention", retention),
        "params": in_thousands(model.parameters),
        "on disk": in_megabytes(model.bytes),
        "sent./s": NOT_MEASURED if speed is None else f"{speed:,.0f}",
    }


def _write_drafts(result: RunResult, folder: Path) -> list[Path]:
    names = (REPORT_NAME, "report.md", "training_curves.png", "report.html")
    numbers, page, curves, html = (folder / name for name in names)
    numbers.write_text(in_json(result.to_json()), "utf-8")
    page.write_text(_render_page(result, curves.name), "utf-8")
    plot_training_curves(result.log_history, curves, title="Training of the student")
    shown = render_html(
        result,
        summary=summarise(result),
        rows=table_rows(result),
        explained=explain_columns(result),
        conditions=_conditions(result),
    )
    html.write_text(shown, "utf-8")
    return [numbers, page, curves, html]


def explain_columns(result: RunResult) -> str:
    """What agreement and retention are, or why there are none."""
    if result.teacher is None:
        return "The teacher was not scored: the file of its answers has not all evaluation rows."
    _, meaning = kind_of_metric(result.primary_metric).agreement
    of_metric = in_words(result.primary_metric)
    return f"Agreement with the teacher is the {meaning}. Retention is a model's {of_metric} over the teacher's."


def _render_page(result: RunResult, curves: str) -> str:
    is_evaluated = any(key.startswith("eval_") for entry in result.log_history for key in entry)
    drawn = (
        "The loss, each of its terms and the evaluation metrics" if is_evaluated else "The loss and each of its terms"
    )
    picture = f"![{drawn} over training steps]({curves})"
    blocks = [summarise(result), to_markdown(table_rows(result)), explain_columns(result)]
    if result.judgement is not None:
        blocks += [*sections(result.judgement, result.models, result.speed, "student"), "## Training"]
    return render_page(
        result.title,
        [*blocks, picture],
        warnings=result.warnings,
        notes=result.notes,
        conditions=_conditions(result),
    )


def _conditions(result: RunResult) -> dict[str, Any]:
    """What the numbers were found with, and under which conditions."""
    conditions: dict[str, Any] = {"task": short_paths(result.task_name)}
    if "train" in result.data:
        unlabelled = result.data["train"].get("unlabelled_rows", 0)
        more = f", and {unlabelled:,} without a label" if unlabelled else ""
        conditions["trained on"] = rows_in_words({"train": result.data["train"]})[0] + more
    if "evaluation" in result.data:
        conditions["evaluated on"] = "; ".join(rows_in_words(result.data["evaluation"]))
    if result.training:
        conditions["training"] = training_in_words(result.training)
    return {**conditions, **result.conditions}
