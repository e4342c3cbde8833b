"""From tables to examples: read texts and labels, hold out a dev part, add the rows without a label.

Every source ends here, so that a rule about data stands in one place. Knows nothing of where a table came from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

from codir.config.words import DEV_FRACTION, TASK, TaskChoice
from codir.data.loaded import LoadedData
from codir.data.sources.classes import note_one_sided
from codir.data.sources.columns import (
    ColumnNames,
    Columns,
    choose_columns,
    describe_choice,
    note_blank_texts,
    read_ids,
    read_texts,
    select_columns,
)
from codir.data.sources.groups import GroupNumbers, check_relevances, describe_groups, read_groups
from codir.data.sources.labelled import Labelled, learn_code, read_labelled
from codir.data.sources.labels import LabelCode, LabelOptions
from codir.data.sources.rows import Read, Rows
from codir.data.sources.sets import join_columns, of_columns
from codir.data.sources.split import draw_rows, hold_out_groups, hold_out_rows
from codir.data.sources.tables import Table
from codir.data.sources.words import has_words, read_words
from codir.errors import UserError, nearest
from codir.errors.shown import counted
from codir.tasks import KINDS, Task, kind_of


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
    task: TaskChoice = TASK
    metrics: tuple[str, ...] | None = None

    @property
    def tables(self) -> tuple[Table, ...]:
        """All tables, the training table first."""
        return (*((self.train,) if self.train is not None else ()), *self.dev.values(), *self.unlabelled)


@dataclass(frozen=True)
class SplitOptions:
    """Which of the training rows are for what.

    Attributes:
        dev_fraction: the part that is held out where there is no dev part.
        max_train_rows: how many labelled rows to train on; all that are left by default.
        set_aside: sizes of further evaluation sets by name; `None` for one that is not wanted.
        unlabelled_rows: how many of the other rows to train on without their labels.
        evaluate_on: which evaluation sets are kept, and in which order; all by default.
        seed: of every choice.

    Raises:
        UserError: a share that is none, or fewer than one row to train on.
    """

    dev_fraction: float = DEV_FRACTION
    max_train_rows: int | None = None
    set_aside: Mapping[str, int | None] = field(default_factory=dict)
    unlabelled_rows: int | None = None
    evaluate_on: tuple[str, ...] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        fraction, most = self.dev_fraction, self.max_train_rows
        if not 0 < fraction < 1:
            raise UserError("dev_fraction", expected="a part between 0 and 1", got=str(fraction), do="0.1 is usual")
        if most is not None and most < 1:
            raise UserError("max_train_rows", expected="at least 1", got=str(most), do="leave it out for all rows")


def assemble(parts: Parts, *, columns: ColumnNames, labels: LabelOptions, split: SplitOptions) -> LoadedData:
    """Make data to train on and to be judged by.

    Raises:
        UserError: whatever is wrong with columns, texts, labels or the number of rows.
    """
    if has_words(next(iter(parts.tables)), columns, labels):
        read = read_words(parts.train, parts.dev, parts.unlabelled, columns, labels)
    else:
        read = _read_texts_of(parts, columns, labels)
    task, dev, notes = read.task, read.dev, [*read.notes]
    for rows in dev.values():
        _check_relevances(rows)
        notes += note_blank_texts(rows.name, rows.texts) + _describe_groups(rows)
    if read.train is None:
        dev = choose_sets(dev, split.evaluate_on)
        sets = {name: rows.to_dataset(task) for name, rows in dev.items()}
        return LoadedData(None, sets, task, tuple(notes), origins=_origins(parts, sets), row_numbers=_numbers(dev))
    for rows in (read.train, *read.unlabelled):
        notes += note_blank_texts(rows.name, rows.texts) + _describe_groups(rows)
    train, dev, stripped, split_notes = _split(read.train, dev, task, split)
    for name in dev.keys() - read.dev.keys():  # held out just now
        _check_relevances(dev[name])
    joined = _join(train, dev, [*read.unlabelled, *stripped], task, notes + split_notes)
    return replace(joined, origins=_origins(parts, joined.dev), row_numbers=_numbers(dev))


def _read_texts_of(parts: Parts, columns: ColumnNames, labels: LabelOptions) -> Read:
    """Texts, each row with a label of its own."""
    parts, columns, labels = _with_sets(parts, columns, labels)
    first = next(iter(parts.tables))
    chosen = choose_columns(first, columns, KINDS.get(labels.task))
    class_names = first.class_names.get(chosen.label)
    named_dev = list(parts.dev)
    labelled = read_labelled(parts.tables[: len(parts.tables) - len(parts.unlabelled)], chosen, labels, class_names)
    train_table = labelled.pop(0) if parts.train is not None else None
    code, class_notes = learn_code([train_table] if train_table is not None else labelled, labels, class_names)
    task = replace(code.task, metrics=parts.metrics or code.task.metrics)
    more = [select_columns(table, chosen, labelled=False) for table in parts.unlabelled]

    notes = [note for table in ([train_table] if train_table is not None else []) for note in table.notes]
    notes += [note for table in labelled for note in table.notes] + [note for table, _ in more for note in table.notes]
    if columns.text is None or columns.label is None:
        notes.append(describe_choice(first, chosen))
    if labels.task == "auto" and class_names is None:
        notes.append(_describe_task(task, code))
    notes += class_notes
    numbers = GroupNumbers() if kind_of(task).has_groups else None
    train = _read_rows(train_table, code, numbers, may_be_numbers=False) if train_table is not None else None
    dev = {
        name: _read_rows(table, code, numbers, may_be_numbers=True)
        for name, table in zip(named_dev, labelled, strict=True)
    }
    return Read(task, train, dev, [_read_unlabelled(table, columns, task, numbers) for table, columns in more], notes)


def _with_sets(parts: Parts, columns: ColumnNames, labels: LabelOptions) -> tuple[Parts, ColumnNames, LabelOptions]:
    """One column of labels in place of several columns of 0 and 1, in which rows have several labels."""
    if not columns.labels:
        return parts, columns, labels
    labels, names = of_columns(labels, columns.labels)
    joined = ", ".join(names)
    train = join_columns(parts.train, names, joined) if parts.train is not None else None
    dev = {name: join_columns(table, names, joined) for name, table in parts.dev.items()}
    return replace(parts, train=train, dev=dev), replace(columns, label=joined), labels


def _origins(parts: Parts, sets: Iterable[str]) -> dict[str, str]:
    """Where the training rows and each evaluation set come from."""
    train = {} if parts.train is None else {"train": parts.train.name}
    held_out = f"held out of {parts.train.name}" if parts.train is not None else "rows given"
    return {**train, **{name: parts.dev[name].name if name in parts.dev else held_out for name in sets}}


def _numbers(dev: Mapping[str, Rows]) -> dict[str, Sequence[int]]:
    """Where the rows of each evaluation set stand in what they come from."""
    return {name: rows.numbers for name, rows in dev.items()}


def _check_relevances(rows: Rows) -> None:
    if rows.groups is not None:
        check_relevances(rows.name, rows.numbers, rows.labels)


def _describe_groups(rows: Rows) -> list[str]:
    return [] if rows.groups is None else describe_groups(rows.name, rows.groups, rows.texts)


def _read_rows(table: Labelled, code: LabelCode, numbers: GroupNumbers | None, *, may_be_numbers: bool) -> Rows:
    """The rows that have a label."""
    texts = read_texts(table.table, table.columns, may_be_numbers=may_be_numbers)
    groups = None if numbers is None else numbers.of(read_groups(table.table, table.columns, texts))
    labels = code.encode(table.labels, table.where)
    kept = [row for row, label in enumerate(labels) if label is not None]
    if len(kept) < len(labels):
        texts = {column: [values[row] for row in kept] for column, values in texts.items()}
        groups = None if groups is None else [groups[row] for row in kept]
    places, ids = [row + 1 for row in kept], read_ids(table.table, table.columns)
    ids = None if ids is None else [ids[row] for row in kept]
    return Rows(table.table.name, texts, [label for label in labels if label is not None], places, groups, ids)


def _read_unlabelled(table: Table, columns: Columns, task: Task, numbers: GroupNumbers | None) -> Rows:
    texts = read_texts(table, columns, may_be_numbers=True)
    groups = None if numbers is None else numbers.of(read_groups(table, columns, texts))
    labels = [_no_label(task)] * len(table)
    return Rows(table.name, texts, labels, range(1, len(table) + 1), groups, read_ids(table, columns))


def _split(
    train: Rows, dev: dict[str, Rows], task: Task, split: SplitOptions
) -> tuple[Rows, dict[str, Rows], list[Rows], list[str]]:
    """Deal the training rows out, and say so: evaluation sets first, so that they stay when the other parts change.

    Returns:
        Rows to train on; evaluation sets; rows to train on without their labels; notes.
    """
    notes = []
    if not dev:
        train, dev, note = _hold_out_dev(train, task, split)
        notes.append(note)
    for name, count in split.set_aside.items():
        if count is not None:
            train, dev[name], note = _set_aside(train, task, name, count, split.seed)
            notes.append(note)
    train, rest, limit_notes = _limit(train, task, split)
    stripped, strip_notes = _strip_labels(rest, task, split)
    _require_two_classes(train, task)
    dev = choose_sets(dev, split.evaluate_on)
    notes += limit_notes + strip_notes + _describe_one_sided(train, dev, task) + _describe_repeats(train, dev)
    return train, dev, stripped, notes


def _set_aside(train: Rows, task: Task, name: str, count: int, seed: int) -> tuple[Rows, Rows, str]:
    require_rows(f"{name}_rows", count, len(train) - 1)
    rest, aside = _hold_out_set(train, task, name, count, seed, do=f"leave `{name}_rows` out, or give more rows")
    note = f"{name}: {len(aside)} of {len(train)} rows of {train.name} set aside, {_drawn(train, task)} seed {seed}"
    return rest, aside, note


def choose_sets(dev: dict[str, Rows], wanted: tuple[str, ...] | None) -> dict[str, Rows]:
    """The evaluation sets of these names, in this order; all of them by default."""
    for name in wanted or ():
        if name not in dev:
            raise UserError("evaluate_on", expected="names of evaluation sets", got=repr(name), do=nearest(name, dev))
    return dev if wanted is None else {name: dev[name] for name in wanted}


def _strip_labels(rest: Rows, task: Task, split: SplitOptions) -> tuple[list[Rows], list[str]]:
    """Some of the rows that are left, their labels taken away."""
    count = split.unlabelled_rows
    if count is None:
        return [], []
    require_rows("unlabelled_rows", count, len(rest))
    drawn = draw_rows(len(rest), count, seed=split.seed) if rest.groups is None or count == len(rest) else None
    chosen = rest.take(drawn if drawn is not None else _hold_out(rest, task, count, split.seed)[1])
    rows = counted(len(chosen), "other row")
    note = f"{rows} of {rest.name} used without labels, {_drawn(rest, task)} seed {split.seed}"
    return [replace(chosen, labels=[_no_label(task)] * len(chosen))], [note]


def require_rows(key: str, count: int, available: int) -> None:
    """Refuse more rows than there are, and none."""
    if not 0 < count <= available:
        raise UserError(
            key,
            expected=f"a number from 1 to {max(available, 0)}, the rows that other parts leave",
            got=str(count),
            do="ask for fewer rows, of this part or of the others",
        )


def _join(train: Rows, dev: Mapping[str, Rows], unlabelled: Sequence[Rows], task: Task, notes: list[str]) -> LoadedData:
    """Put the rows without a label after those with one."""
    parts = [train, *unlabelled]
    texts = {column: list(chain.from_iterable(rows.texts[column] for rows in parts)) for column in train.texts}
    labels = list(chain.from_iterable(rows.labels for rows in parts))
    ids = None if train.ids is None else list(chain.from_iterable(rows.ids or () for rows in parts))
    groups = None if train.groups is None else list(chain.from_iterable(rows.groups or () for rows in parts))
    num_unlabelled = len(labels) - len(train)
    if unlabelled:
        join = counted(num_unlabelled, "row without a label joins", "rows without a label join")
        notes = [*notes, f"{join} the training data"]
    return LoadedData(
        train=Rows(train.name, texts, labels, (), groups, ids).to_dataset(task),
        dev={name: rows.to_dataset(task) for name, rows in dev.items()},
        task=task,
        notes=tuple(notes),
        num_unlabelled=num_unlabelled,
    )


def _hold_out_dev(train: Rows, task: Task, split: SplitOptions) -> tuple[Rows, dict[str, Rows], str]:
    count, do = max(1, round(split.dev_fraction * len(train))), "give a dev file with `--dev`, or more rows"
    rest, dev = _hold_out_set(train, task, "dev", count, split.seed, do=do)
    how = f"{kind_of(task).dealt}, seed {split.seed}"
    note = f"no dev file: held out {len(dev)} of {len(train)} rows of {train.name}, {how}"
    return rest, {"dev": dev}, note


def _hold_out_set(train: Rows, task: Task, name: str, count: int, seed: int, *, do: str) -> tuple[Rows, Rows]:
    """Rows that stay, and others that are an evaluation set; it has at least one."""
    stay, held_out = _hold_out(train, task, count, seed)
    if not held_out:
        are_alone = train.groups is None
        one = "a class with at least two rows" if are_alone else "at least two queries"
        raise UserError(
            train.name,
            expected=f"{one}, so that one can be held out as {name}",
            got=f"{len(train)} rows in as many classes" if are_alone else f"{len(train)} rows of one",
            do=do,
        )
    return train.take(stay), train.take(held_out, name)


def _limit(train: Rows, task: Task, split: SplitOptions) -> tuple[Rows, Rows, list[str]]:
    """Rows to train on with their labels, and those that are left."""
    asked, reserved = split.max_train_rows, split.unlabelled_rows or 0
    spare = max(0, len(train) - asked) if asked is not None else min(reserved, len(train) - 1)
    if spare == 0:
        return train, train.take([]), []
    kept, rest = _hold_out(train, task, spare, split.seed)
    how = f"{_drawn(train, task)} seed {split.seed}"
    note = f"trains on a part of the data: {len(kept)} of {len(train)} labelled rows, {how}"
    return train.take(kept), train.take(rest), [note]


def _no_label(task: Task) -> Any:
    """What `Rows.labels` has for a row without a label; the number of a group is kept beside it."""
    kind = kind_of(task)
    return kind.no_label if kind.has_groups else kind.unlabelled(task.num_labels)


def _hold_out(rows: Rows, task: Task, count: int, seed: int) -> tuple[list[int], list[int]]:
    """Rows that stay and rows held out: whole groups where there are any, or in proportion to the classes."""
    if rows.groups is not None:
        return hold_out_groups(rows.groups, count, seed=seed)
    return hold_out_rows(_strata(rows, task), count, seed=seed)


def _drawn(rows: Rows, task: Task) -> str:
    """How `_hold_out` draws, in words that a seed follows: whole groups, so that rows are about as many as asked."""
    return "chosen with" if rows.groups is None else f"{kind_of(task).dealt}, with"


def _strata(rows: Rows, task: Task) -> list[float]:
    return [kind_of(task).stratum(label) for label in rows.labels]


def _require_two_classes(train: Rows, task: Task) -> None:
    if not kind_of(task).one_class or len(set(train.labels)) > 1:
        return
    raise UserError(
        f"{train.name}, labels",
        expected="at least two classes",
        got=f"a class with no other class: all {len(train)} rows are '{task.id2label[int(train.labels[0])]}'",
        do="add rows of another class, or name another column with `--label-column`",
        otherwise="no example would have a negative, and any model would seem right",
    )


def _describe_task(task: Task, code: LabelCode) -> str:
    if not kind_of(task).has_classes:
        return "the labels are read as scores; `--task classification` reads them as classes"
    names = ", ".join(list(task.label_names or code.class_index)[:10]) + (", ..." if task.num_labels > 10 else "")
    said = f"the labels are read as {task.num_labels} classes ({names})"
    return f"{said}; `--task regression` reads them as scores" if _are_numbers(code) else said


def _are_numbers(code: LabelCode) -> bool:
    return all(key.lstrip("-").isdecimal() for key in code.class_index)


def _describe_one_sided(train: Rows, dev: Mapping[str, Rows], task: Task) -> list[str]:
    """Name the classes that only the training set has; one that only an evaluation set has is an error."""
    if not kind_of(task).has_classes:
        return []
    counts = [_count_classes(rows, task) for rows in (train, *dev.values())]
    notes = [note_one_sided(counts[0], of_set, name) for name, of_set in zip(dev, counts[1:], strict=True)]
    return list(chain.from_iterable(notes))


def _count_classes(rows: Rows, task: Task) -> Counter[str]:
    kind = kind_of(task)
    return Counter(task.id2label[index] for label in rows.labels for index in kind.classes_in(label))


def _describe_repeats(train: Rows, dev: Mapping[str, Rows]) -> list[str]:
    seen = set(train.keys())
    notes = []
    if num_repeated := len(train) - len(seen):
        notes.append(f"{train.name}: the texts of {num_repeated} training rows repeat an earlier row")
    for name, rows in dev.items():
        if num_shared := sum(key in seen for key in rows.keys()):  # noqa: SIM118 - Rows is no dictionary
            notes.append(f"the texts of {num_shared} of {len(rows)} rows of {name} also stand in the training data")
    return notes
