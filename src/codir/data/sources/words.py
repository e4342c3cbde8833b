"""Rows that are lists of words with a tag each: which columns hold them, and what the tags mean.

Knows tables of words and tags. Knows nothing of where a table came from, or of how rows are divided.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from codir.data.sources.columns import TEXT_NAMES, ColumnNames, not_a_text
from codir.data.sources.labels import LabelOptions
from codir.data.sources.placeholders import UNSET, find_placeholders
from codir.data.sources.rows import Read, Rows
from codir.data.sources.tables import Table
from codir.errors import UserError, nearest
from codir.errors.shown import counted
from codir.tasks import IGNORED_CLASS, OUTSIDE, Task, are_span_tags, kind_named, split_tag

WORD_NAMES = ("words", "tokens")
TAG_NAMES = ("tags", "ner_tags", "labels", "label", "pos_tags", "ner", "upos")
NO_TAG = (None, "", "_", IGNORED_CLASS, str(IGNORED_CLASS))
"""What stands for no tag of one word."""
LONGEST_SHOWN = 60
"""Characters of a text in a message."""


@dataclass(frozen=True)
class Tagged:
    """The rows of one table that have a word.

    Attributes:
        name: of the table.
        words: of each row.
        tags: one for each word, `None` where a word has none; the whole is `None` for a row without any.
        numbers: where each row stands in the table, counted from 1.
        notes: what was said of its reading.
    """

    name: str
    words: list[list[str]]
    tags: list[list[str | None] | None]
    numbers: list[int]
    notes: tuple[str, ...] = ()

    def where(self, row: int) -> str:
        """Names a row in messages."""
        return f"{self.name}, row {self.numbers[row]}"

    def part(self, *, labelled: bool) -> Tagged:
        """The rows that have tags, or those that have none."""
        kept = [row for row, tags in enumerate(self.tags) if (tags is not None) == labelled]
        return Tagged(
            self.name,
            [self.words[row] for row in kept],
            [self.tags[row] for row in kept],
            [self.numbers[row] for row in kept],
            self.notes,
        )

    def __len__(self) -> int:
        return len(self.words)


@dataclass(frozen=True)
class TagCode:
    """A task, and the class index of each tag."""

    task: Task
    index: Mapping[str, int]

    def encode(self, rows: Tagged) -> list[list[int]]:
        """Turn tags into class indices, `IGNORED_CLASS` where a word has none.

        Raises:
            UserError: a tag that the code does not know.
        """
        return [self._row(rows, row) for row in range(len(rows))]

    def _row(self, rows: Tagged, row: int) -> list[int]:
        tags = rows.tags[row] or [None] * len(rows.words[row])
        unknown = next((tag for tag in tags if tag is not None and tag not in self.index), None)
        if unknown is not None:
            raise UserError(
                rows.where(row),
                expected="tags known from training: " + _some(list(self.index)),
                got=repr(unknown),
                do="correct the tag, or add rows with it to the training data",
            )
        return [IGNORED_CLASS if tag is None else self.index[tag] for tag in tags]


# ---- Which columns ----


def has_words(table: Table, columns: ColumnNames, options: LabelOptions) -> bool:
    """Whether rows are read as words with tags: where that is the task, or where a table can be nothing else.

    Without a task it is sure where a column of lists called `tokens` or `words` stands beside one called `tags` or
    `ner_tags` that has as many, and no column has the name of a text.
    """
    if options.task != "auto":
        return kind_named(options.task).reads_words
    texts = [name for name in table.columns if name.strip().casefold() in TEXT_NAMES]
    words, tags = (_usual(table, names) for names in (WORD_NAMES, TAG_NAMES))
    if texts or columns.text or columns.text_pair or columns.label or not (words and tags):
        return False
    first = table.select([words, tags])
    row = next((found for found in zip(first.columns[words], first.columns[tags], strict=True) if all(found)), None)
    return row is not None and all(isinstance(found, list) for found in row) and len(row[0]) == len(row[1])


def choose_word_columns(table: Table, named: ColumnNames) -> tuple[str, str | None]:
    """The columns of words and of tags, which a table without tags lacks.

    Raises:
        UserError: a named column is not there, or none has a usual name for words.
    """
    words = _present(table, named.text, "--text-column") or _usual(table, WORD_NAMES)
    if words is None:
        raise _no_words(table)
    return words, _present(table, named.label, "--label-column") or _usual(table, TAG_NAMES)


def _no_words(table: Table) -> UserError:
    """What to raise where no column is called as lists of words are."""
    do = "name the column with `--text-column`; texts with spans are to be split into words with a tag each"
    if table.untyped:
        do = (
            "call the file `.conll` if each line is a word with its tag; save lists of words and of tags as JSON "
            "lines, since no cell of CSV or TSV holds a list"
        )
    return UserError(
        table.name,
        expected=f"a column of lists of words, called {' or '.join(WORD_NAMES)}",
        got=table.describe_columns(),
        do=do,
    )


def _usual(table: Table, names: Sequence[str]) -> str | None:
    found = {name.strip().casefold(): name for name in table.columns}
    return next((found[name] for name in names if name in found), None)


def _present(table: Table, name: str | None, flag: str) -> str | None:
    if name is None or name in table.columns:
        return name
    do = f"name a column that is there with `{flag}`; {nearest(name, table.columns)}"
    raise UserError(table.name, expected=f"a column '{name}'", got=table.describe_columns(), do=do)


# ---- Reading ----


def read_tagged(table: Table, named: ColumnNames, *, labelled: bool = True) -> Tagged:
    """Read words and tags; rows without a word are left out, and counted.

    Args:
        table: of any source.
        named: the columns that someone named.
        labelled: whether tags are read where there are some.

    Raises:
        UserError: a row that is no list of words, or has another number of tags than of words.
    """
    words, tags = choose_word_columns(table, named)
    tags = tags if labelled else None
    if labelled and tags is None:
        raise UserError(
            table.name,
            expected=f"a column of lists of tags, called {', '.join(TAG_NAMES[:3])} or the like",
            got=table.describe_columns(),
            do="name the column with `--label-column`; rows without tags are given with `--unlabelled`",
        )
    selected = table.select([words, tags])
    names = table.class_names.get(tags or "", ())
    found = Tagged(table.name, [], [], [])
    values = selected.columns[tags][:] if tags is not None else [None] * len(selected)
    for number, (row, of_row) in enumerate(zip(selected.columns[words][:], values, strict=True), start=1):
        where = f"{table.name}, row {number}"
        texts = _words_of(row, f"{where}, column '{words}'")
        if not texts:
            continue
        found.words.append(texts)
        found.tags.append(_tags_of(of_row, names, len(texts), f"{where}, column '{tags}'"))
        found.numbers.append(number)
    empty = len(selected) - len(found)
    left_out = counted(empty, "row without a word is left out", "rows without a word are left out")
    notes = [*selected.notes, *([f"{table.name}: {left_out}"] if empty else [])]
    if not found.words:
        raise UserError(table.name, expected="a row with a word", got="none", do="check how the data was written")
    return Tagged(found.name, found.words, found.tags, found.numbers, tuple(notes))


def _words_of(row: object, where: str) -> list[str]:
    if row is None:
        return []
    if not isinstance(row, list):
        do = "split the texts into words, or train a classifier of texts with `--task classification`"
        if isinstance(row, str) and row.lstrip().startswith("["):
            do = "save the data as JSON lines or Parquet: a cell of CSV or TSV is text, also where it looks like a list"
        shown = row if not isinstance(row, str) or len(row) <= LONGEST_SHOWN else f"{row[:LONGEST_SHOWN]}..."
        raise UserError(where, expected="a list of words", got=repr(shown), do=do)
    wrong = next((word for word in row if not isinstance(word, str)), "")
    if not isinstance(wrong, str):
        raise not_a_text(wrong, where)
    return row


def _tags_of(row: object, names: Sequence[str], count: int, where: str) -> list[str | None] | None:
    """The tags of a row by their names; `None` where it has not a single one."""
    if row is None or row == []:
        return None
    if not isinstance(row, list) or len(row) != count:
        got = f"{len(row)} tags for {count} words" if isinstance(row, list) else repr(row)[:60]
        raise UserError(
            where,
            expected=f"{count} tags, one for each word",
            got=got,
            otherwise="tags would have been given to other words than their own",
            do="correct the row, or leave its tags out",
        )
    tags = [_tag_of(tag, names, where) for tag in row]
    return tags if any(tag is not None for tag in tags) else None


def _tag_of(tag: object, names: Sequence[str], where: str) -> str | None:
    if tag in NO_TAG:
        return None
    if isinstance(tag, int) and not isinstance(tag, bool):
        return names[tag] if 0 <= tag < len(names) else str(tag)
    if isinstance(tag, str):
        return tag
    raise UserError(
        where, expected="names or numbers of classes", got=repr(tag), do="name the column of tags with `--label-column`"
    )


# ---- What tags mean ----


def learn_tags(tables: Sequence[Tagged], options: LabelOptions, known: Sequence[str] | None) -> TagCode:
    """Learn from the tags of the training data what is to be predicted.

    Args:
        tables: rows to learn from.
        options: what is known beforehand.
        known: names that the source itself keeps, in their order.

    Bare numbers are the places of the names that someone gave, or else of the model's.

    Raises:
        UserError: tags that the given names do not have, or a single one.
    """
    found = {tag for rows in tables for tags in rows.tags for tag in tags or () if tag is not None}
    by_place = None if known else options.names or options.model_names
    if by_place is not None and not found <= set(by_place) and found <= _numbers_below(len(by_place)):
        return TagCode(
            _task_of(options, by_place, len(by_place)), {str(place): place for place in range(len(by_place))}
        )
    names = options.names or known or (options.model_names if found <= set(options.model_names or ()) else None)
    if names is None:
        names = _in_order(found, options)
    if names is not None and not found <= set(names):
        raise UserError(
            "labels",
            expected="the tags " + _some(names),
            got="also " + _some(sorted(found - set(names))),
            otherwise="a class index would mean one thing in the data and another in the model",
            do="make the names and the data agree",
        )
    index = {name: place for place, name in enumerate(names)} if names is not None else _numbered(found, options)
    if len(found) < 2 and not options.may_lack_classes:
        raise UserError(
            f"{tables[0].name}, tags",
            expected="at least two different tags",
            got=_some(sorted(found)) or "none",
            otherwise="any model would seem right",
            do="add rows with other tags, or name another column with `--label-column`",
        )
    return TagCode(_task_of(options, names, len(index)), index)


def _task_of(options: LabelOptions, names: Sequence[str] | None, count: int) -> Task:
    kind = kind_named(options.task if options.task != "auto" else "token_classification").named(names)
    return Task(kind.name, None if names is None else tuple(names), count, kind.metrics)


def note_tags(task: Task, rows: Tagged) -> list[str]:
    """Say what was understood: how many tags, whether they mark entities, words without a tag."""
    names = list(task.id2label.values())
    shown = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
    what = "they mark entities" if are_span_tags(names) else "each word has one of them"
    without = sum(tag is None for tags in rows.tags for tag in tags or ())
    said = counted(without, "word without a tag does not count", "words without a tag do not count")
    more = [f"{rows.name}: {said}"] if without else []
    if all(name.isdecimal() for name in task.label_names or ()):
        more.append(
            f"{rows.name}: the tags are numbers; to score entities, name them in their order: `--labels O,B-PER,...`"
        )
    return [f"the tags are read as {len(names)} classes ({shown}); {what}", *more]


def _in_order(found: set[str], options: LabelOptions) -> list[str] | None:
    """`O` first, then type by type; `None` where classes are bare numbers."""
    if found <= _numbers_below(max(options.num_labels or 0, len(found))):
        return None
    return sorted(found, key=lambda tag: (tag != OUTSIDE, split_tag(tag)[1] or tag, split_tag(tag)[0]))


def _numbers_below(count: int) -> set[str]:
    return {str(number) for number in range(count)}


def _numbered(found: set[str], options: LabelOptions) -> dict[str, int]:
    return {str(number): number for number in range(max(options.num_labels or 0, len(found)))}


def _some(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names[:20]) + (", ..." if len(names) > 20 else "")


# ---- All tables ----


def _leave_out_unset(tables: Sequence[Tagged], options: LabelOptions, known: Sequence[str] | None) -> list[str]:
    """Take -1 from the words of all tables where it stands for no tag, as it does for no label; gives notes."""
    names = {*(options.names or ()), *(options.model_names or ()), *(known or ())}
    counts = {rows.name: Counter(tag for tags in rows.tags for tag in tags or () if tag is not None) for rows in tables}
    every: Counter[str] = sum(counts.values(), Counter())
    if UNSET not in find_placeholders(every, names, are_indices=bool(names)):
        return []
    for rows in tables:
        for place, tags in enumerate(rows.tags):
            left = [None if tag == UNSET else tag for tag in tags or ()]
            rows.tags[place] = left if any(tag is not None for tag in left) else None
    return [
        f"{name}: {counted(of[UNSET], 'word has', 'words have')} no tag, since {UNSET} stands for none"
        for name, of in counts.items()
        if of[UNSET]
    ]


def read_words(
    train_table: Table | None,
    dev_tables: Mapping[str, Table],
    unlabelled: Sequence[Table],
    columns: ColumnNames,
    labels: LabelOptions,
) -> Read:
    """Read all tables of a source; of training rows, those without tags go to the unlabelled ones."""
    train = None if train_table is None else read_tagged(train_table, columns)
    tables = [read_tagged(table, columns) for table in dev_tables.values()]
    more = [read_tagged(table, columns, labelled=False) for table in unlabelled]
    first = train_table if train_table is not None else next(iter(dev_tables.values()))
    known = first.class_names.get(choose_word_columns(first, columns)[1] or "")
    unset = _leave_out_unset([*([train] if train is not None else []), *tables], labels, known)
    of_dev = [rows.part(labelled=True) for rows in tables]
    labelled = [train.part(labelled=True)] if train is not None else of_dev
    code = learn_tags(labelled, labels, known)
    notes = [note for rows in ([train] if train is not None else []) for note in rows.notes]
    notes += [note for rows in (*tables, *more) for note in rows.notes] + unset + note_tags(code.task, labelled[0])
    for rows, kept in zip(tables, of_dev, strict=True):
        if len(kept) < len(rows):
            said = counted(len(rows) - len(kept), "row without a tag is left out", "rows without a tag are left out")
            notes.append(f"{rows.name}: {said}")
    if train is not None and len(labelled[0]) < len(train):
        more.insert(0, train.part(labelled=False))

    def as_rows(rows: Tagged) -> Rows:
        return Rows(rows.name, {"words": rows.words}, code.encode(rows), rows.numbers)

    dev = {name: as_rows(rows) for name, rows in zip(dev_tables, of_dev, strict=True)}
    return Read(
        code.task, as_rows(labelled[0]) if train is not None else None, dev, [as_rows(rows) for rows in more], notes
    )
