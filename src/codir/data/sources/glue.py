"""The nine tasks of GLUE, from a folder in GLUE's own layout or from the hub.

Knows their files, columns, label names and metrics, as one table. Knows nothing of how rows become examples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from codir.config.words import TaskChoice
from codir.data.sources.assemble import Parts
from codir.data.sources.columns import ColumnNames
from codir.data.sources.formats import read_plain_tabs, require_file
from codir.data.sources.tables import Table, not_empty, read_hub
from codir.errors import UserError, nearest
from codir.errors.shown import counted

GLUE_PREFIX = "glue:"
HUB_NAME = "nyu-mll/glue"


@dataclass(frozen=True)
class GlueTask:
    """One task: where it stands in its files and what is expected of a model.

    Attributes:
        name: as GLUE writes it; also the folder.
        columns: in GLUE's files.
        hub_columns: of the copy on the hub, whose label column is always `label`.
        label_names: in the official order; `None` for a score.
        metrics: GLUE's own, the primary one first.
        header: names of the columns where the file has no header line.
        dev_parts: names of the dev files without their ending.
        test_parts: names of the unlabelled test files without their ending, and the file name of the answers to each.
        has_named_answers: whether GLUE's server wants the names of the classes, or else their indices.
    """

    name: str
    columns: ColumnNames
    hub_columns: ColumnNames
    label_names: tuple[str, ...] | None
    metrics: tuple[str, ...] = ("accuracy",)
    header: tuple[str, ...] | None = None
    dev_parts: tuple[str, ...] = ("dev",)
    test_parts: Mapping[str, str] = field(default_factory=dict)
    has_named_answers: bool = False

    def __post_init__(self) -> None:
        if not self.test_parts:
            object.__setattr__(self, "test_parts", {"test": f"{self.name}.tsv"})

    @property
    def hub_config(self) -> str:
        """The task's name on the hub."""
        return _plain(self.name)

    @property
    def task(self) -> TaskChoice:
        """Classes or scores."""
        return "regression" if self.label_names is None else "classification"


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


SENTENCE = ColumnNames("sentence", None, "label")
SENTENCES = ColumnNames("sentence1", "sentence2", "label")
ENTAILMENT = ("entailment", "not_entailment")
ACCURACY_AND_F1 = ("accuracy", "f1")

GLUE_TASKS = (
    GlueTask(
        "CoLA",
        SENTENCE,
        SENTENCE,
        ("unacceptable", "acceptable"),
        ("matthews", "accuracy"),
        header=("source", "label", "mark", "sentence"),
    ),
    GlueTask("SST-2", SENTENCE, SENTENCE, ("negative", "positive")),
    GlueTask(
        "MRPC",
        ColumnNames("#1 String", "#2 String", "Quality"),
        SENTENCES,
        ("not_equivalent", "equivalent"),
        ACCURACY_AND_F1,
    ),
    GlueTask(
        "QQP",
        ColumnNames("question1", "question2", "is_duplicate"),
        ColumnNames("question1", "question2", "label"),
        ("not_duplicate", "duplicate"),
        ACCURACY_AND_F1,
    ),
    GlueTask(
        "STS-B",
        ColumnNames("sentence1", "sentence2", "score"),
        SENTENCES,
        None,
        ("pearson", "spearman"),
    ),
    GlueTask(
        "MNLI",
        ColumnNames("sentence1", "sentence2", "gold_label"),
        ColumnNames("premise", "hypothesis", "label"),
        ("entailment", "neutral", "contradiction"),
        dev_parts=("dev_matched", "dev_mismatched"),
        test_parts={"test_matched": "MNLI-m.tsv", "test_mismatched": "MNLI-mm.tsv"},
        has_named_answers=True,
    ),
    GlueTask(
        "QNLI",
        ColumnNames("question", "sentence", "label"),
        ColumnNames("question", "sentence", "label"),
        ENTAILMENT,
        has_named_answers=True,
    ),
    GlueTask("RTE", SENTENCES, SENTENCES, ENTAILMENT, has_named_answers=True),
    GlueTask("WNLI", SENTENCES, SENTENCES, ("not_entailment", "entailment")),
)


def find_glue_task(name: str) -> GlueTask:
    """Find a task by its name, in any case, with or without the hyphen.

    Example:
        >>> find_glue_task("sst2").name, find_glue_task("STS-B").name
        ('SST-2', 'STS-B')
    """
    for task in GLUE_TASKS:
        if _plain(task.name) == _plain(name):
            return task
    names = [task.name for task in GLUE_TASKS]
    raise UserError(
        "data", expected="glue: and one of " + ", ".join(names), got=f"'glue:{name}'", do=nearest(name, names)
    )


def read_glue(task: GlueTask, data_dir: Path | None, *, evaluation_only: bool = False) -> Parts:
    """Read a task from `<data_dir>/<task>`, or from the hub where no folder is given."""
    if data_dir is None:
        return _read_from_hub(task, evaluation_only)
    folder = find_folder(task, data_dir)
    return Parts(
        train=None if evaluation_only else _read_file(task, folder / "train.tsv"),
        dev={part: _read_file(task, folder / f"{part}.tsv") for part in task.dev_parts},
        columns=task.columns,
        task=task.task,
        metrics=task.metrics,
    )


def _read_from_hub(task: GlueTask, evaluation_only: bool) -> Parts:
    splits = read_hub(
        HUB_NAME,
        task.hub_config,
        absent="no data folder given",
        do="give the folder that holds GLUE's own download with `--data-dir`",
    )
    return Parts(
        train=None if evaluation_only else splits["train"],
        dev={part: splits[part.replace("dev", "validation")] for part in task.dev_parts},
        columns=task.hub_columns,
        task=task.task,
        metrics=task.metrics,
    )


def find_folder(task: GlueTask, data_dir: Path) -> Path:
    """The folder of a task, whatever its capitals and hyphens.

    Raises:
        UserError: there is none.
    """
    folders = [entry for entry in data_dir.iterdir() if entry.is_dir()] if data_dir.is_dir() else []
    for folder in folders:
        if _plain(folder.name) == _plain(task.name):
            return folder
    found = ", ".join(sorted(folder.name for folder in folders)) or "no folders"
    raise UserError(
        f"data folder '{data_dir}'",
        expected=f"a folder '{task.name}' with train.tsv and {', '.join(f'{part}.tsv' for part in task.dev_parts)}",
        got=found if data_dir.is_dir() else "no such folder",
        do="give the folder that holds the task folders with `--data-dir`",
    )


def _read_file(task: GlueTask, path: Path) -> Table:
    require_file(path)
    table = read_plain_tabs(path, header=task.header)
    needed = [name for name in (task.columns.text, task.columns.text_pair, task.columns.label) if name is not None]
    if table.columns and set(needed) <= set(table.columns):
        table = _without_gaps(table.select(needed), needed)
    names = {task.columns.label: task.label_names} if task.columns.label and task.label_names else {}
    return replace(table, name=f"{task.name} {path.name}", class_names=names)


def _without_gaps(table: Table, needed: Sequence[str]) -> Table:
    """Leave out rows with an empty cell; QQP's official file holds a few."""
    cells = zip(*(table.texts(name) for name in needed), strict=True)
    kept = [row for row, values in enumerate(cells) if None not in values]
    if len(kept) == len(table):
        return table
    note = f"{table.name}: skipped {counted(len(table) - len(kept), 'row')} with an empty text or label"
    columns = {name: [table.columns[name][row] for row in kept] for name in needed}
    return not_empty(replace(table, columns=columns, notes=(*table.notes, note)))
