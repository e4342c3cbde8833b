"""From tables to examples: read texts and labels, hold out a dev part, add the rows without a label.

Every source ends here, so that a rule about data stands in one place. Knows nothing of where a table came from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from datasets import Dataset, Features, Value

from codir.data.sources.columns import ColumnNames, Columns, choose_columns, describe_choice, match_columns, read_texts
from codir.data.sources.labels import LabelCode, LabelOptions, TaskChoice, learn_labels, read_labels
from codir.data.sources.split import hold_out_rows
from codir.data.sources.tables import Table
from codir.data.tasks import LoadedData, Task
from codir.errors import UserError
from codir.signals import IGNORED_CLASS


@dataclass(frozen=True)
class Parts:
    """The tables of one source, and what the source itself knows of them.

    Attributes:
        train: labelled rows to train on; `None` where only evaluation was asked.
        dev: tables to evaluate on; where there is none, rows of `train` are held out.
        unlabelled: rows to train on that have no label.
        columns: the names that the source gives its columns.
        task: classes or scores, where the source is known for one of them.
        metrics: the metrics that belong to the source.
    """

    train: Table | None
    dev: Mapping[str, Table]
    unlabelled: tuple[Table, ...] = ()
    columns: ColumnNames = field(default_factory=ColumnNames)
    task: TaskChoice = "auto"
    metrics: tuple[str, ...] | None = None

    @property
    def tables(self) -> tuple[Table, ...]:
        """All tables, the training table first."""
        return (*((self.train,) if self.train is not None else ()), *self.dev.values(), *self.unlabelled)


@dataclass(frozen=True)
class SplitOptions:
    """How many rows to hold out where there is no dev part, and how many to train on at most."""

    dev_fraction: float = 0.1
    max_train_rows: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class Rows:
    """Examples of one table: texts by column, and class indices or scores."""

    name: str
    texts: dict[str, list[str]]
    labels: list[float]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: list[int], name: str | None = None) -> Rows:
        """The rows of these numbers."""
        texts = {column: [values[row] for row in rows] for column, values in self.texts.items()}
        return Rows(name or self.name, texts, [self.labels[row] for row in rows])

    def keys(self) -> list[tuple[str, ...]]:
        """The texts of each row, to tell whether two rows are the same."""
        return list(zip(*self.texts.values(), strict=True))

    def to_dataset(self, task: Task) -> Dataset:
        """The rows as a `datasets` object."""
        label = Value("float64" if task.is_regression else "int64")
        features = Features({column: Value("string") for column in self.texts} | {"label": label})
        return Dataset.from_dict({**self.texts, "label": self.labels}, features=features)


def assemble(parts: Parts, *, columns: ColumnNames, labels: LabelOptions, split: SplitOptions) -> LoadedData:
    """Make data to train on and to be judged by.

    Raises:
        UserError: whatever is wrong with columns, texts, labels or the number of rows.
    """
    first = next(iter(parts.tables))
    chosen = choose_columns(first, columns)
    class_names = first.class_names.get(chosen.label)
    code = _learn(parts, chosen, labels, class_names)
    task, notes = code.task, [note for table in parts.tables for note in table.notes]
    if columns.text is None or columns.label is None:
        notes.append(describe_choice(first, chosen))
    if labels.task == "auto" and class_names is None:
        notes.append(_describe_task(task))

    dev = {name: _read_rows(table, chosen, code, class_names) for name, table in parts.dev.items()}
    if parts.train is None:
        return LoadedData(None, {name: rows.to_dataset(task) for name, rows in dev.items()}, task, tuple(notes))
    train = _read_rows(parts.train, chosen, code, class_names)
    unlabelled = [_read_unlabelled(table, chosen, task) for table in parts.unlabelled]
    train, dev, split_notes = _split(train, dev, task, split)
    return _join(train, dev, unlabelled, task, notes + split_notes)


def _learn(parts: Parts, chosen: Columns, options: LabelOptions, class_names: tuple[str, ...] | None) -> LabelCode:
    """Learn what is to be predicted: from the training labels, or where there are none from all others."""
    tables = [parts.train] if parts.train is not None else list(parts.dev.values())
    columns = [match_columns(table, chosen).label for table in tables]
    labels = [read_labels(table, column, class_names) for table, column in zip(tables, columns, strict=True)]
    code = learn_labels(list(chain.from_iterable(labels)), options, class_names)
    return replace(code, task=replace(code.task, metrics=parts.metrics or code.task.metrics))


def _read_rows(table: Table, chosen: Columns, code: LabelCode, class_names: tuple[str, ...] | None) -> Rows:
    columns = match_columns(table, chosen)
    texts = read_texts(table, columns)
    labels = read_labels(table, columns.label, class_names)
    return Rows(table.name, texts, code.encode(labels, f"{table.name}, column '{columns.label}'"))


def _read_unlabelled(table: Table, chosen: Columns, task: Task) -> Rows:
    texts = read_texts(table, match_columns(table, chosen, labelled=False))
    no_label = float("nan") if task.is_regression else IGNORED_CLASS
    return Rows(table.name, texts, [no_label] * len(table))


def _split(
    train: Rows, dev: dict[str, Rows], task: Task, split: SplitOptions
) -> tuple[Rows, dict[str, Rows], list[str]]:
    """Hold out a dev part where there is none, keep as many rows as were asked for, and say so."""
    notes = []
    if not dev:
        train, dev, note = _hold_out_dev(train, task, split)
        notes.append(note)
    if split.max_train_rows is not None and split.max_train_rows < len(train):
        train, note = _limit(train, task, split.max_train_rows, split.seed)
        notes.append(note)
    _require_two_classes(train, task)
    return train, dev, notes + _describe_repeats(train, dev)


def _join(train: Rows, dev: Mapping[str, Rows], unlabelled: Sequence[Rows], task: Task, notes: list[str]) -> LoadedData:
    """Put the rows without a label after those with one."""
    parts = [train, *unlabelled]
    texts = {column: list(chain.from_iterable(rows.texts[column] for rows in parts)) for column in train.texts}
    labels = list(chain.from_iterable(rows.labels for rows in parts))
    num_unlabelled = len(labels) - len(train)
    if unlabelled:
        notes = [*notes, f"{num_unlabelled} rows without a label join the training data"]
    return LoadedData(
        train=Rows(train.name, texts, labels).to_dataset(task),
        dev={name: rows.to_dataset(task) for name, rows in dev.items()},
        task=task,
        notes=tuple(notes),
        num_unlabelled=num_unlabelled,
    )


def _hold_out_dev(train: Rows, task: Task, split: SplitOptions) -> tuple[Rows, dict[str, Rows], str]:
    if not 0 < split.dev_fraction < 1:
        raise UserError(
            "dev_fraction", expected="a part between 0 and 1", got=str(split.dev_fraction), do="0.1 is usual"
        )
    count = max(1, round(split.dev_fraction * len(train)))
    stay, held_out = hold_out_rows(_groups(train, task), count, seed=split.seed)
    if not held_out:
        raise UserError(
            train.name,
            expected="a class with at least two rows, so that one can be held out as dev",
            got=f"{len(train)} rows in as many classes",
            do="give a dev file with `--dev`, or more rows",
        )
    how = "at random" if task.is_regression else "stratified by class"
    note = f"no dev file: held out {len(held_out)} of {len(train)} rows of {train.name}, {how}, seed {split.seed}"
    return train.take(stay), {"dev": train.take(held_out, "dev")}, note


def _limit(train: Rows, task: Task, max_train_rows: int, seed: int) -> tuple[Rows, str]:
    if max_train_rows < 1:
        raise UserError(
            "max_train_rows", expected="at least 1", got=str(max_train_rows), do="leave it out for all rows"
        )
    kept, _ = hold_out_rows(_groups(train, task), len(train) - max_train_rows, seed=seed)
    note = f"trains on a part of the data: {len(kept)} of {len(train)} labelled rows, chosen with seed {seed}"
    return train.take(kept), note


def _groups(rows: Rows, task: Task) -> list[float]:
    return [0.0] * len(rows) if task.is_regression else rows.labels


def _require_two_classes(train: Rows, task: Task) -> None:
    if task.is_regression or len(set(train.labels)) > 1:
        return
    raise UserError(
        f"{train.name}, labels",
        expected="at least two classes",
        got=f"a class with no other class: all {len(train)} rows are '{task.id2label[int(train.labels[0])]}'",
        do="add rows of another class, or name another column with `--label-column`",
        otherwise="no example would have a negative, and any model would seem right",
    )


def _describe_task(task: Task) -> str:
    if task.is_regression:
        return "the labels are read as scores; `--task classification` reads them as classes"
    names = ", ".join(list(task.id2label.values())[:10]) + (", ..." if task.num_labels > 10 else "")
    return f"the labels are read as {task.num_labels} classes ({names}); `--task regression` reads numbers as scores"


def _describe_repeats(train: Rows, dev: Mapping[str, Rows]) -> list[str]:
    seen = set(train.keys())
    notes = []
    if num_repeated := len(train) - len(seen):
        notes.append(f"{train.name}: the texts of {num_repeated} training rows repeat an earlier row")
    for name, rows in dev.items():
        if num_shared := sum(key in seen for key in rows.keys()):  # noqa: SIM118 - Rows is no dictionary
            notes.append(f"the texts of {num_shared} of {len(rows)} rows of {name} also stand in the training data")
    return notes
