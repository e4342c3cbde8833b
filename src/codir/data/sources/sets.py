"""Several labels in a row: lists in one column, text with a separator, or a column of 0 and 1 for each label.

Knows cells and labels; of tables, only that they have columns. Knows nothing of texts and nothing of files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from codir.config.words import TASK
from codir.data.sources.classes import note_alike, note_rare
from codir.data.sources.columns import present_column
from codir.data.sources.labels import LabelCode, LabelOptions, key_of, name_classes
from codir.data.sources.tables import Table
from codir.errors import UserError
from codir.errors.shown import counted
from codir.tasks import KINDS, Task, kind_named

LabelSet = tuple[str, ...]
"""The keys of the labels that a row has, each once."""
FLAGS = {0: False, 1: True}
WRITTEN_FLAGS = {"false": False, "true": True}
"""How pandas writes truth values into a CSV file; capitals do not count."""


@dataclass(frozen=True)
class Sets:
    """The labels of all rows.

    Attributes:
        labels: of each row.
        width: how many labels there are, where each row says so with flags.
        notes: what should be said of their reading.
    """

    labels: list[LabelSet]
    width: int | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SetCode(LabelCode):
    """A task, and the place of each label in the list of 0 and 1 that a row becomes."""

    def encode(self, labels: Sequence[Any], where: str) -> list[Any]:
        """Turn sets of labels into lists of 0 and 1.

        Raises:
            UserError: a label that the code does not know.
        """
        return [self._flags(label, f"{where}, row {row}") for row, label in enumerate(labels, start=1)]

    def _flags(self, labels: LabelSet, where: str) -> list[float]:
        flags = [0.0] * self.task.num_labels
        for label in labels:
            flags[int(self._index(label, where))] = 1.0
        return flags


def join_columns(table: Table, names: Sequence[str], joined: str) -> Table:
    """The same table with one column in place of several: for each row, the names of those where it has a 1.

    Args:
        table: with these columns, of 0 and 1.
        names: of the columns.
        joined: what the new column is called.

    Raises:
        UserError: a column is not there, or holds something else.
    """
    places = [present_column(table, name, "--label-column") for name in names]

    def read(columns: Sequence[str]) -> Table:
        if joined not in columns:
            return table.select(columns)
        found = table.select([*(column for column in columns if column != joined), *places])
        flags = [_flags_of(found, place) for place in places]
        sets = [tuple(name for name, flag in zip(names, row, strict=True) if flag) for row in zip(*flags, strict=True)]
        kept = {column: found.columns[column] for column in columns if column != joined}
        return replace(found, columns={**kept, joined: sets}, class_names={joined: tuple(names)}, read=None)

    columns = {name: values for name, values in table.columns.items() if name not in places}
    return replace(table, columns={**columns, joined: ()}, class_names={joined: tuple(names)}, read=read)


def of_columns(options: LabelOptions, names: Sequence[str]) -> tuple[LabelOptions, tuple[str, ...]]:
    """What is known of the labels once several columns of 0 and 1 are named.

    Args:
        options: what is known beforehand.
        names: of the columns, which are the names of the labels.

    Returns:
        The task that such columns are of, and the names in the order of their places: a model's own goes first.

    Raises:
        UserError: another kind of task was named, or the names are not several different ones.
    """
    kind = next(kind for kind in KINDS.values() if kind.cell == "set")
    if not (options.task == TASK or options.are_sets) or len({*names}) < max(len(names), 2):
        raise UserError(
            "label_column",
            expected=f"one column, or several different ones of 0 and 1 with `--task {kind.name}`",
            got=f"{', '.join(names)}, with `--task {options.task}`",
            do="name one column, or leave `--task` out",
        )
    if options.model_names is not None and {*options.model_names} == {*names}:
        names = options.model_names
    return (replace(options, task=kind.name) if options.task == TASK else options), tuple(names)


def _flags_of(table: Table, name: str) -> list[bool]:
    """A column of 0 and 1."""
    flags = []
    for row, value in enumerate(table.values(name), start=1):
        flag = WRITTEN_FLAGS.get(value.strip().casefold()) if isinstance(value, str) else None
        if isinstance(value, int | float) and value in FLAGS:
            flag = FLAGS[int(value)]
        if flag is None:
            raise UserError(
                f"{table.name}, column '{name}', row {row}",
                expected="0 or 1, for a label that the row has not or has",
                got="no value" if value is None else repr(value),
                do="write 0 or 1 in each row, or name the columns of labels alone with `--label-column`",
            )
        flags.append(flag)
    return flags


def read_sets(
    table: Table,
    column: str,
    class_names: tuple[str, ...] | None = None,
    *,
    separator: str | None = None,
    first: Sets | None = None,
) -> Sets:
    """Read the labels of each row.

    A list holds names or class indices. Lists of one length with nothing but 0 and 1 are flags, one for each label,
    unless the source has names for its indices.

    Args:
        table: with this column.
        column: of lists, or of text.
        class_names: of class indices, where the table itself has none.
        separator: what stands between the labels of a text; without it, a text is refused.
        first: the labels of the source's first table, which decides for all whether lists are flags.

    Raises:
        UserError: a row without a list, or with something in it that is no label; or with other flags than the first
            table has.
    """
    names = table.class_names.get(column, class_names or ())
    where = f"{table.name}, column '{column}'"
    cells = [
        _list_of(cell, f"{where}, row {row}", separator, is_text=table.untyped)
        for row, cell in enumerate(table.texts(column), start=1)
    ]
    width = None if names else _width(cells) if first is None else first.width
    if width is not None:
        if first is not None:
            _require_flags(cells, width, where)
        note = f"{where}: lists of {width} numbers 0 and 1 are read as a flag for each of {width} labels"
        return Sets([tuple(str(index) for index, flag in enumerate(cell) if flag) for cell in cells], width, (note,))
    return Sets(
        [
            tuple(dict.fromkeys(_key(value, names, f"{where}, row {row}") for value in cell))
            for row, cell in enumerate(cells, start=1)
        ]
    )


def _list_of(cell: Any, where: str, separator: str | None, *, is_text: bool) -> Sequence[Any]:
    """What stands in a cell, as a list; `is_text` of cells of CSV and TSV."""
    looks_listed = is_text and isinstance(cell, str) and cell.lstrip().startswith("[") and cell.rstrip().endswith("]")
    if isinstance(cell, str) and separator is not None and not looks_listed:
        return [part.strip() for part in cell.split(separator) if part.strip()]
    if cell is None and separator is not None:  # an empty cell of a CSV file
        return []
    if isinstance(cell, list | tuple):
        return cell
    if hasattr(cell, "tolist") and not isinstance(cell, str):
        found = cell.tolist()
        if isinstance(found, list):
            return found
    do = "give rows without a label with `--unlabelled`; a row with none of the labels has an empty list"
    if isinstance(cell, dict):
        do = "write the names of the row's labels as a list, or a column of 0 and 1 for each label"
    elif looks_listed:
        do = "save the data as JSON lines or Parquet, or write the names alone, such as `toxic; insult`"
    elif isinstance(cell, str) or is_text:
        do = 'say what stands between them: `--set "data.label_separator=;"`; an empty cell is then a row with none'
    raise UserError(
        where,
        expected="a list of labels",
        got="no value" if cell is None else f"{cell!r} ({type(cell).__name__})",
        do=do,
    )


def _width(cells: Sequence[Sequence[Any]]) -> int | None:
    """How many flags each list has; `None` where their lengths differ, or where they are no flags."""
    width = len(cells[0])
    return width if width > 1 and all(_has_flags(cell, width) for cell in cells) else None


def _has_flags(cell: Sequence[Any], width: int) -> bool:
    """Whether a list has this length, and nothing in it but 0 and 1."""
    return len(cell) == width and all(isinstance(flag, int | float) and flag in FLAGS for flag in cell)


def _require_flags(cells: Sequence[Sequence[Any]], width: int, where: str) -> None:
    """Refuse a row that is read by flags, as the first table's are, and has others."""
    for row, cell in enumerate(cells, start=1):
        if not _has_flags(cell, width):
            raise UserError(
                f"{where}, row {row}",
                expected=f"{width} numbers 0 and 1, a flag for each label, as in the training data",
                got=repr([*cell]),
                otherwise="flags would have been taken for the numbers of labels, or these for flags",
                do="write the labels of all files alike, best by their names",
            )


def _key(value: Any, names: Sequence[str], where: str) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(names):
        return names[value]
    if isinstance(value, str | int | float) and value == value and value != "":
        return key_of(value)
    raise UserError(where, expected="names or numbers of labels", got=repr(value), do="correct the row")


def learn_sets(
    labels: Sequence[LabelSet], options: LabelOptions, known_names: tuple[str, ...] | None
) -> tuple[SetCode, list[str]]:
    """Learn from the labels of the training data what is to be predicted, and say what is odd about them.

    Args:
        labels: of each row.
        options: what is known beforehand.
        known_names: names that the source itself keeps, in their order.

    Raises:
        UserError: the names in the data and those given are not the same, or there are fewer than two labels.

    Example:
        >>> code, notes = learn_sets([("b",), ("a", "b"), ()], LabelOptions(task="multi_label"), None)
        >>> code.encode([("b",), ()], "here")
        [[0.0, 1.0], [0.0, 0.0]]
        >>> notes[0]
        'several labels in a row: 2 labels, 1.0 per row, 1 row with none'
    """
    counts = Counter(chain.from_iterable(labels))
    are_numbers = all(name.isdecimal() for name in counts)
    found = sorted(counts, key=(lambda name: (int(name), name)) if are_numbers else None)
    names, class_index = name_classes(found, options, known_names)
    num_labels = len(names) if names is not None else len(class_index)
    kind = kind_named(options.task)
    if num_labels < 2:
        raise UserError(
            "labels",
            expected="at least two labels in the data",
            got=", ".join(map(repr, found)) or "none in any row",
            do="name the column of labels with `--label-column`, or train on classes with `--task classification`",
        )
    code = SetCode(Task(kind.name, names, num_labels, kind.metrics), class_index)
    if options.may_lack_classes:
        return code, []
    empty = sum(not label for label in labels)
    said = f"several labels in a row: {num_labels} labels, {counts.total() / len(labels):.1f} per row"
    notes = [f"{said}, {counted(empty, 'row')} with none" if empty else said]
    return code, [*notes, *note_alike(counts), *note_rare(counts)]
