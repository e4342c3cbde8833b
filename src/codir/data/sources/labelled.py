"""Tables whose labels are read: rows that have none left out, and what is odd about the classes said.

Knows tables and labels. Knows nothing of where a table came from, or of how rows are divided.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from codir.data.sources.classes import note_alike, note_decimal_commas, note_rare
from codir.data.sources.columns import Columns, select_columns
from codir.data.sources.labels import (
    Label,
    LabelCode,
    LabelOptions,
    are_scores,
    key_of,
    learn_labels,
    leave_out,
    read_labels,
    require_numbers,
)
from codir.data.sources.placeholders import find_placeholders, note_likely_placeholders, note_placeholders
from codir.data.sources.sets import learn_sets, read_sets
from codir.data.sources.tables import Table
from codir.errors import UserError
from codir.errors.shown import counted
from codir.tasks import kind_of


@dataclass(frozen=True)
class Labelled:
    """A table with these columns read.

    Attributes:
        table: with the columns selected.
        columns: which of them is what.
        labels: one for each row, or a set; `None` for a row that is left out, since its label stands for none.
        notes: what was said of its reading, and which rows are left out.
        width: how many labels each row has a flag for; `None` where they are not written so.
    """

    table: Table
    columns: Columns
    labels: list[Any]
    notes: tuple[str, ...]
    width: int | None = None

    @property
    def where(self) -> str:
        """File and column, for messages."""
        return f"{self.table.name}, column '{self.columns.label}'"

    @property
    def kept_labels(self) -> list[Any]:
        """Those of the rows that are not left out."""
        return [label for label in self.labels if label is not None]


def read_labelled(
    tables: Sequence[Table], chosen: Columns, options: LabelOptions, class_names: tuple[str, ...] | None
) -> list[Labelled]:
    """Read the labels of all tables; what stands for no label is found in all of them together.

    Raises:
        UserError: a column that is not there, a row without a label, or a table in which no row has one.
    """
    selected = [select_columns(table, chosen) for table in tables]
    if options.are_sets:
        return _with_sets(selected, options, class_names)
    labels = [read_labels(table, columns.label, class_names) for table, columns in selected]
    placeholders = find_placeholders(
        Counter(map(key_of, chain.from_iterable(labels))),
        {*(options.names or ()), *(options.model_names or ()), *(class_names or ())},
        are_indices=class_names is not None,
        are_scores=are_scores([], options) if options.task != "auto" or options.num_labels else False,
    )
    return [
        _without(table, columns, of_table, placeholders)
        for (table, columns), of_table in zip(selected, labels, strict=True)
    ]


def _with_sets(
    tables: Sequence[tuple[Table, Columns]], options: LabelOptions, class_names: tuple[str, ...] | None
) -> list[Labelled]:
    """Several labels in each row, written in all tables as in the first."""
    found, first = list[Labelled](), None
    for table, columns in tables:
        sets = read_sets(table, columns.label, class_names, separator=options.separator, first=first)
        first = first or sets
        found.append(Labelled(table, columns, [*sets.labels], (*table.notes, *sets.notes), width=sets.width))
    return found


def _without(table: Table, columns: Columns, labels: list[Label], placeholders: set[str]) -> Labelled:
    left_out = Counter(key for key in map(key_of, labels) if key in placeholders)
    found = Labelled(table, columns, leave_out(labels, placeholders), ())
    if not found.kept_labels:
        raise UserError(
            found.where,
            expected="a label in at least one row",
            got="labels that stand for none: " + ", ".join(map(repr, left_out)),
            do="give a file whose rows have labels; rows without one are given with `--unlabelled`",
        )
    notes = [*table.notes, *note_placeholders(table.name, left_out), *_note_spaces(found)]
    return replace(found, notes=tuple(notes))


def _note_spaces(found: Labelled) -> list[str]:
    """Say that " 1" and "1" are one number, where both or one of them stand in the file."""
    written = zip(found.table.texts(found.columns.label), found.labels, strict=True)
    count = sum(
        isinstance(text, str) and text != text.strip() and isinstance(label, int | float) for text, label in written
    )
    said = counted(count, "number has spaces around it", "numbers have spaces around them")
    return [f"{found.where}: {said}, which do not count"] if count else []


def learn_code(
    tables: Sequence[Labelled], options: LabelOptions, class_names: tuple[str, ...] | None
) -> tuple[LabelCode, list[str]]:
    """Learn from these tables what is to be predicted, and say what is odd about the classes.

    Raises:
        UserError: labels that contradict each other, or what is known beforehand.
    """
    for table in () if options.are_sets else tables:
        require_numbers(table.labels, options, table.where)
    labels = list(chain.from_iterable(table.kept_labels for table in tables))
    if options.are_sets:
        flags = max(table.width or 0 for table in tables)
        if flags and options.num_labels not in (None, flags):
            raise UserError(
                tables[0].where,
                expected=f"a flag for each of the {options.num_labels} labels that the model has",
                got=f"lists of {flags} numbers 0 and 1 in every row",
                otherwise="a label would have been taken for another, or flags for the numbers of labels",
                do="write the names of the labels, or as many flags as there are labels",
            )
        return learn_sets(labels, replace(options, num_labels=max(flags, options.num_labels or 0)), class_names)
    code = learn_labels(labels, options, class_names)
    if not kind_of(code.task).has_classes or options.may_lack_classes:
        return code, []
    counts = Counter(map(key_of, labels))
    if class_names is not None or options.names is not None:
        return code, [*note_alike(counts), *note_rare(counts)]
    doubts = [*note_likely_placeholders(counts), *note_decimal_commas(counts)]
    return code, [*doubts, *note_alike(counts), *note_rare(counts)]
