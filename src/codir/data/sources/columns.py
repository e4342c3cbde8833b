"""Which column is the text, which its pair, which the label; and that a text is a text.

Knows the names that people give to columns. Knows nothing of files, and nothing of what a label means.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from codir.data.sources.tables import Table
from codir.errors import UserError, nearest
from codir.errors.shown import counted
from codir.tasks import KINDS, Kind

TEXT_NAMES = ("text", "sentence", "sentence1", "review", "content", "question", "question1", "premise")
TEXT_PAIR_NAMES = ("text_pair", "sentence2", "question2", "hypothesis")
GROUP_NAMES = ("query_id", "qid", "group")
LABEL_NAMES = ("label", "labels", "score", "target", "gold_label")
SECOND_CHOICE = {TEXT_NAMES: ("phrase", "tweet", "comment"), LABEL_NAMES: ("sentiment",)}
"""Names that are usual too, but give way where a column has one of those above."""
ID_COLUMN = "id"
"""What the column of ids is called once the data is loaded."""


@dataclass(frozen=True)
class ColumnNames:
    """The columns that someone named; `None` where the name is to be found. `labels` are several, of 0 and 1."""

    text: str | None = None
    text_pair: str | None = None
    label: str | None = None
    labels: tuple[str, ...] = ()
    group: str | None = None
    id: str | None = None


@dataclass(frozen=True)
class Columns:
    """The columns to read; `None` where an example is one text, where nothing numbers groups, where no id is wanted."""

    text: str
    text_pair: str | None
    label: str
    group: str | None = None
    id: str | None = None


def choose_columns(table: Table, named: ColumnNames, kind: Kind | None = None) -> Columns:
    """Take the named columns, and find the others by the names that are usual for them.

    Whoever names the text column has looked at the file, so a pair is then read only if it is named too, or if the kind
    of task needs one.

    Args:
        table: the first one.
        named: what someone named.
        kind: of the task, where it is known; it may have usual names of its own.

    Raises:
        UserError: a named column is not there, or named twice, or not exactly one column has a usual name.
    """
    if named.id is not None:
        found = choose_columns(table, replace(named, id=None), kind)
        return replace(found, id=present_column(table, named.id, "--id-column"))
    _require_different(table, named)
    own_text, own_pair = (kind.text_names, kind.text_pair_names) if kind is not None else ((), ())
    advice = (*_advice_of(kind), *_other_kinds(table, kind))
    choose = partial(_column, table, advice=advice)
    texts, whole_advice = (named.text, named.text_pair), (*advice, *_of_texts_alone(table))
    label = choose(named.label, LABEL_NAMES, "--label-column", taken=texts, advice=whole_advice)
    group = _group_column(table, named.group, kind)
    taken = (label, named.text_pair, group)
    text_names = _preferred(table, own_text, TEXT_NAMES, taken)
    text = choose(named.text, text_names, "--text-column", taken=taken)
    taken = (label, text, group)
    pair_names = _preferred(table, own_pair, TEXT_PAIR_NAMES, taken)
    needs_pair = kind is not None and kind.has_pairs
    pair_is_absent = not find_usual(table, pair_names, taken)
    if named.text_pair is None and not needs_pair and (named.text is not None or pair_is_absent):
        return Columns(text, None, label, group)
    pair = choose(named.text_pair, pair_names, "--text-pair-column", taken=taken)
    return Columns(text, pair, label, group)


def _advice_of(kind: Kind | None) -> tuple[str, ...]:
    """How rows of some kinds of task may stand in a file instead."""
    if kind is not None and kind.cell == "set":
        return ("or several columns of 0 and 1, one for each label: `--label-column first,second,third`",)
    if kind is not None and kind.has_groups:
        return ("write a row for each candidate of a query, with its relevance: lists of candidates are not read",)
    return ()


def _of_texts_alone(table: Table) -> tuple[str, ...]:
    """Where texts without a label go."""
    if find_usual(table, LABEL_NAMES, ()) or not find_usual(table, TEXT_NAMES, ()):
        return ()
    return ("texts without labels go to `codir distill --unlabelled`, beside `--data` with labels",)


def _other_kinds(table: Table, kind: Kind | None) -> tuple[str, ...]:
    """The kinds of task that were not named, and whose own names of columns these are."""
    return tuple(
        f"for {other.name.replace('_', ' ')}, give `--task {other.name}`"
        for other in KINDS.values()
        if kind is None and find_usual(table, other.text_names, ()) and find_usual(table, other.text_pair_names, ())
    )


def _preferred(
    table: Table, first: tuple[str, ...], others: tuple[str, ...], taken: Collection[str | None]
) -> tuple[str, ...]:
    """The first names where a column has one of them; otherwise the others too."""
    return first if find_usual(table, first, taken) else (*first, *others)


def _group_column(table: Table, named: str | None, kind: Kind | None) -> str | None:
    """The column that numbers groups, where rows have any; `None` without one: equal texts are then a group."""
    has_groups = kind is not None and kind.has_groups
    if named is None:
        return next(iter(find_usual(table, GROUP_NAMES, ())), None) if has_groups else None
    if not has_groups:
        raise UserError(
            "group_column",
            expected="a task whose rows belong to groups, such as `--task reranking`",
            got=f"'{named}'",
            otherwise="it would have had no effect",
            do="leave `--group-column` out, or name the task",
        )
    return present_column(table, named, "--group-column")


def choose_text_column(table: Table, named: str | None) -> str:
    """Take the named column, or the one that has a usual name for a text.

    Raises:
        UserError: the named column is not there, or not exactly one column has a usual name.
    """
    return _column(table, named, TEXT_NAMES, "--text-column", taken=())


def find_text_columns(table: Table, text: str | None, text_pair: str | None) -> tuple[str, str | None]:
    """The columns of the texts in a file beside the data: as they are called there, or under a usual name.

    The kind of task is not known, so its own names come after those that are usual for all.

    Args:
        table: of that file.
        text: the text's name in the data, if it was named.
        text_pair: the second text's name, if it was named.

    Raises:
        UserError: not exactly one column has a usual name.
    """
    found = None if text is None else same_name(table, text)
    own_texts = tuple(dict.fromkeys(name for kind in KINDS.values() for name in kind.text_names))
    own_pairs = tuple(dict.fromkeys(name for kind in KINDS.values() for name in kind.text_pair_names))
    first = found or _column(table, None, _preferred(table, TEXT_NAMES, own_texts, ()), "--text-column", taken=())
    pair = None if text_pair is None else same_name(table, text_pair)
    pair_names = _preferred(table, TEXT_PAIR_NAMES, own_pairs, (first,))
    return first, pair or next(iter(find_usual(table, pair_names, (first,))), None)


def plain_id(value: Any) -> str:
    """An id as it is compared: 7, 7.0 and "7" are the same.

    Example:
        >>> plain_id(7.0), plain_id(" 7"), plain_id("a7")
        ('7', '7', 'a7')
    """
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def read_ids(table: Table, columns: Columns) -> list[str] | None:
    """The id of each row, where ids are wanted.

    Raises:
        UserError: a row has none, or the same as another row.
    """
    if columns.id is None:
        return None
    ids = [None if value is None else plain_id(value) for value in table.texts(columns.id)]
    seen: set[str] = set()
    for row, value in enumerate(ids, start=1):
        if value is None or value in seen:
            raise UserError(
                f"{table.name}, column '{columns.id}', row {row}",
                expected="an id in every row, each once",
                got="none" if value is None else f"{value!r} again",
                otherwise="a row would have been taught the answer to another",
                do="correct the ids, or leave `--id-column` out: rows are then found by their text",
            )
        seen.add(value)
    return [str(value) for value in ids]


def select_columns(table: Table, chosen: Columns, *, labelled: bool = True) -> tuple[Table, Columns]:
    """Read the columns of a first table in this one, and no others.

    Raises:
        UserError: one of them is not there, or the file breaks its format.
    """
    columns = match_columns(table, chosen, labelled=labelled)
    label = columns.label if labelled else None
    return table.select([columns.text, columns.text_pair, label, columns.group, columns.id]), columns


def match_columns(table: Table, columns: Columns, *, labelled: bool = True) -> Columns:
    """Find the columns of a first table in another one: under the same name, or plainly `text`, `text_pair`, `label`.

    Raises:
        UserError: one of them is in this table under neither name.
    """
    text = _matched(table, columns.text, "text")
    pair = _matched(table, columns.text_pair, "text_pair") if columns.text_pair is not None else None
    label = _matched(table, columns.label, "label") if labelled else columns.label
    group = _matched(table, columns.group, "group") if columns.group is not None else None
    ids = present_column(table, columns.id, "--id-column") if columns.id is not None else None
    return Columns(text, pair, label, group, ids)


def read_texts(table: Table, columns: Columns, *, may_be_numbers: bool) -> dict[str, list[str]]:
    """Read the texts as columns `text` and, with pairs, `text_pair`.

    Args:
        table: with these columns selected.
        columns: the columns of the texts.
        may_be_numbers: take a column of a CSV file whose cells are all numbers for texts. Where the column was found in
            this very file, it is more likely that of something else.

    Raises:
        UserError: a value is not a string; the message says in which row.
    """
    texts = {"text": _strings(table, columns.text, "--text-column", may_be_numbers)}
    if columns.text_pair is not None:
        texts["text_pair"] = _strings(table, columns.text_pair, "--text-pair-column", may_be_numbers)
    return texts


def describe_choice(table: Table, columns: Columns) -> str:
    """Say which columns were found, for the notes."""
    pair = f", its pair from '{columns.text_pair}'" if columns.text_pair is not None else ""
    group = f", its group from '{columns.group}'" if columns.group is not None else ""
    return f"{table.name}: the text is read from column '{columns.text}'{pair}, the label from '{columns.label}'{group}"


def _require_different(table: Table, named: ColumnNames) -> None:
    given = {
        "--text-column": named.text,
        "--text-pair-column": named.text_pair,
        "--label-column": named.label,
        "--group-column": named.group,
    }
    for name in given.values():
        twice = [other for other, same in given.items() if same == name]
        if name is not None and len(twice) > 1:
            raise UserError(
                table.name,
                expected="a column of its own for each of text, second text, label and group",
                got=f"'{name}' for {' and '.join(f'`{other}`' for other in twice)}",
                otherwise="the answer would have stood in the question",
                do=f"name another column with one of them; there are {table.describe_columns()}",
            )


def note_blank_texts(name: str, texts: Mapping[str, Sequence[str | list[str]]]) -> list[str]:
    """Say how many rows have a text of nothing but white space."""
    blank = sum(any(not "".join(text).strip() for text in row) for row in zip(*texts.values(), strict=True))
    have = counted(blank, "row has", "rows have")
    return [f"{name}: {have} an empty text, or one of white space only"] if blank else []


def _column(
    table: Table,
    named: str | None,
    usual: tuple[str, ...],
    flag: str,
    taken: Collection[str | None],
    advice: tuple[str, ...] = (),
) -> str:
    if named is not None:
        return present_column(table, named, flag)
    found = find_usual(table, usual, taken)
    if len(found) == 1:
        return found[0]
    raise UserError(
        table.name,
        expected="exactly one column named like " + ", ".join(usual),
        got=f"{len(found)} of them among {table.describe_columns()}",
        do="; ".join((f"name the column with `{flag}`", *advice, *table.hints)),
    )


def find_usual(table: Table, usual: tuple[str, ...], taken: Collection[str | None]) -> list[str]:
    """The columns of usual names, other than those that are taken."""
    for names in (usual, SECOND_CHOICE.get(usual, ())):
        if found := [name for name in table.columns if name.strip().lower() in names and name not in taken]:
            return found
    return []


def present_column(table: Table, name: str, flag: str) -> str:
    """The column of this name, or the only one that is called nearly so.

    Raises:
        UserError: there is none.
    """
    if (found := same_name(table, name)) is not None:
        return found
    raise UserError(
        table.name,
        expected=f"a column '{name}'",
        got=table.describe_columns(),
        do="; ".join((f"name a column that is there with `{flag}`", *table.hints, nearest(name, table.columns))),
    )


def same_name(table: Table, name: str) -> str | None:
    """The column of this name, or the only one that differs from it in spaces around it and capitals alone."""
    if name in table.columns:
        return name
    alike = [column for column in table.columns if column.strip().casefold() == name.strip().casefold()]
    return alike[0] if len(alike) == 1 else None


def _matched(table: Table, name: str, plain_name: str) -> str:
    for candidate in (name, plain_name):
        if (found := same_name(table, candidate)) is not None:
            return found
    raise UserError(
        table.name,
        expected=f"a column '{name}', as in the labelled data, or '{plain_name}'",
        got=table.describe_columns(),
        do="; ".join((f"rename the column that holds it to '{name}'", *table.hints)),
    )


def _strings(table: Table, column: str, flag: str, may_be_numbers: bool) -> list[str]:
    values = table.texts(column) if may_be_numbers else table.values(column)
    for row, value in enumerate(values, start=1):
        if not isinstance(value, str):
            raise not_a_text(value, f"{table.name}, column '{column}', row {row}", flag)
    return values


def not_a_text(value: object, where: str, flag: str = "--text-column") -> UserError:
    """What to raise where a text should stand and something else does."""
    do = f"correct or remove the row, or name the column that holds the text with `{flag}`"
    if isinstance(value, dict):
        do = f"write the part of it that is the text to a column of its own, and name that column with `{flag}`"
    return UserError(
        where,
        expected="a text",
        got="no value" if value is None else f"{value!r} ({type(value).__name__})",
        do=do,
    )
