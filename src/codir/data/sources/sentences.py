"""Data for models that give a vector for each text: sentences to learn from, pairs to be judged by.

Training needs no label: every text of every row is a sentence. An evaluation set has two texts and a score in each row
(graded similarity), or queries and documents (retrieval). Knows nothing of where a table came from.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from datasets import Dataset, Features, Value

from codir.data.loaded import LoadedData
from codir.data.sources.assemble import Parts, SplitOptions, choose_sets, require_rows
from codir.data.sources.columns import (
    LABEL_NAMES,
    SECOND_CHOICE,
    TEXT_NAMES,
    TEXT_PAIR_NAMES,
    ColumnNames,
    Columns,
    find_usual,
    note_blank_texts,
    present_column,
    read_texts,
    same_name,
)
from codir.data.sources.labels import LabelOptions, read_score
from codir.data.sources.rows import Rows
from codir.data.sources.split import draw_rows, hold_out_rows
from codir.data.sources.tables import Table
from codir.errors import UserError
from codir.errors.shown import counted
from codir.tasks import KINDS, Kind, Task, kind_named, kind_of

QUERY_NAMES = ("query",)
DOCUMENT_NAMES = ("document", "passage", "positive")
ANCHOR_NAMES = ("anchor",)
"""Usual names beside those of other tasks; a query and a document are judged by retrieval."""
NEGATIVES = re.compile(r"(hard[ _-]?)?neg(ative)?s?([ _-]?\d+)?", re.IGNORECASE)
"""What columns of negatives are called, which are not read."""


@dataclass(frozen=True)
class _Found:
    """The columns of one table; `label` is `None` where it has none."""

    text: str
    text_pair: str | None
    label: str | None
    is_retrieval: bool

    @property
    def names(self) -> Columns:
        return Columns(self.text, self.text_pair, self.label or "")


def assemble_sentences(parts: Parts, *, columns: ColumnNames, labels: LabelOptions, split: SplitOptions) -> LoadedData:
    """Make sentences to train on, and pairs to be judged by.

    Raises:
        UserError: whatever is wrong with columns, texts or scores; no pairs to be judged by; options that are for
            labels alone.
    """
    if split.unlabelled_rows is not None or labels.names is not None:
        raise UserError(
            "data",
            expected="sentences, which have no labels",
            got="`unlabelled_rows`" if labels.names is None else "`labels`",
            otherwise="it would have had no effect",
            do="leave it out",
        )
    notes = [note for table in parts.tables for note in table.notes]
    dev = {name: _find(table, columns) for name, table in parts.dev.items()}
    trained = (
        None if parts.train is None else _find(parts.train, _of_training(parts.train, columns) if dev else columns)
    )
    kind = _kind([*dev.values(), *([trained] if trained is not None and not dev else [])], labels)
    task = Task(kind.name, None, labels.num_labels or 1, kind.metrics)
    sets = {name: _read_pairs(parts.dev[name], found, kind) for name, found in dev.items()}
    if parts.train is None or trained is None:
        return _judged(None, _chosen(sets, split), task, notes, parts)
    tables = [
        (parts.train, trained),
        *((table, _find(table, _of_training(table, columns))) for table in parts.unlabelled),
    ]
    sentences, more = _sentences(tables)
    more += [note for table, found in tables for note in _note_negatives(table, found)]
    if not sets or any(count is not None for count in split.set_aside.values()):
        aside, said = _set_aside(parts.train, trained, kind, split, has_dev=bool(sets))
        more += said
        sets |= aside
        held_out = {text for rows in aside.values() for text in chain.from_iterable(rows.texts.values())}
        sentences = [text for text in sentences if text not in held_out]
    if split.max_train_rows is not None:
        require_rows("max_train_rows", split.max_train_rows, len(sentences))
        drawn = draw_rows(len(sentences), split.max_train_rows, seed=split.seed)
        more.append(f"trains on a part: {len(drawn)} of {len(sentences)} sentences, chosen with seed {split.seed}")
        sentences = [sentences[row] for row in drawn]
    if not sentences:
        raise UserError(
            parts.train.name, expected="sentences to train on", got="none that are not held out", do="give more rows"
        )
    features = Features({"text": Value("string"), "label": Value(kind.label_dtype)})
    train = Dataset.from_dict({"text": sentences, "label": [kind.no_label] * len(sentences)}, features=features)
    chosen = _chosen(sets, split)
    return _judged(train, chosen, task, [*notes, *more, *_note_shared(sentences, chosen)], parts)


def _kind(tables: Sequence[_Found], labels: LabelOptions) -> Kind:
    """The kind that was named; retrieval where that is `embedding` and the data holds queries and documents."""
    named = kind_named(labels.task)
    return KINDS["retrieval"] if any(found.is_retrieval for found in tables) else named


def _find(table: Table, named: ColumnNames) -> _Found:
    """Take the named columns, and find the others by the names that are usual for them."""
    label = _named(table, named.label, "--label-column") or _one(table, LABEL_NAMES, ())
    query, document = (_one(table, names, (label,)) for names in (QUERY_NAMES, DOCUMENT_NAMES))
    if named.text is None and query and document:
        return _Found(query, document, label, True)
    text = _named(table, named.text, "--text-column") or _text(table, label)
    pair = _named(table, named.text_pair, "--text-pair-column")
    if pair is None and named.text is None:
        pair = _one(table, (*TEXT_PAIR_NAMES, *DOCUMENT_NAMES), (label, text))
    return _Found(text, pair, label, False)


def _of_training(table: Table, named: ColumnNames) -> ColumnNames:
    """The names for sentences that are only learned from, which may lack a second text and a score.

    As in other tables beside the first one, a text may also be called plainly `text`, and its pair `text_pair`.
    """

    def found(name: str | None, plain: str | None = None) -> str | None:
        tried = () if name is None else (name, plain)
        return next((there for one in tried if one and (there := same_name(table, one)) is not None), None)

    text = found(named.text, "text") or named.text  # where there is neither, the message names the first
    return replace(named, text=text, text_pair=found(named.text_pair, "text_pair"), label=found(named.label))


def _named(table: Table, name: str | None, flag: str) -> str | None:
    return None if name is None else present_column(table, name, flag)


def _text(table: Table, label: str | None) -> str:
    usual = (*TEXT_NAMES, *ANCHOR_NAMES, *QUERY_NAMES)
    for names in (usual, SECOND_CHOICE[TEXT_NAMES]):
        if found := find_usual(table, names, (label,)):
            return found[0]
    raise UserError(
        table.name,
        expected="a column named like " + ", ".join(usual),
        got=table.describe_columns(),
        do="; ".join(("name the column with `--text-column`", *table.hints)),
    )


def _one(table: Table, usual: tuple[str, ...], taken: tuple[str | None, ...]) -> str | None:
    return next(iter(find_usual(table, usual, taken)), None)


def _read_pairs(table: Table, found: _Found, kind: Kind) -> Rows:
    """Rows of two texts with a score; where there is none in retrieval, each document is relevant to its query."""
    is_retrieval = kind is KINDS["retrieval"]
    if found.text_pair is None or (found.label is None and not is_retrieval):
        raise UserError(
            table.name,
            expected="two texts and a score in each row (`text`, `text_pair`, `score`), or a `query` and a `document`",
            got=table.describe_columns(),
            otherwise="there would have been nothing to judge vectors by",
            do="name a file of such rows with `--dev`, or its columns with `--text-column`, `--text-pair-column` and "
            "`--label-column`; for classes or scores, train a head first: `codir finetune`",
        )
    chosen = table.select([found.text, found.text_pair, found.label])
    texts = read_texts(chosen, found.names, may_be_numbers=True)
    if found.label is None:
        scores = [1.0] * len(chosen)
    else:
        where = f"{table.name}, column '{found.label}'"
        values = chosen.values(found.label)
        scores = [read_score(value, f"{where}, row {row}") for row, value in enumerate(values, start=1)]
    return Rows(table.name, texts, scores, range(1, len(chosen) + 1))


def _with_relevant(rows: Rows) -> tuple[Rows, list[str]]:
    """Each pair of a query and a document once, with how many documents of these rows are relevant to its query.

    A document that is not relevant has 0; one that is listed several times is relevant where one of its rows says so.

    Raises:
        UserError: no document is relevant.
    """
    best: dict[tuple[str, str], float] = {}
    for pair, score in zip(rows.keys(), rows.labels, strict=True):
        best[pair] = max(score, best.get(pair, score))
    relevant = Counter(query for (query, _), score in best.items() if score > 0)
    if not relevant:
        raise UserError(rows.name, expected="a document that is relevant", got="none", do="check the scores")
    first = {pair: place for place, pair in reversed([*enumerate(rows.keys())])}
    kept = rows.take(sorted(first.values()))
    counts = [float(relevant[pair[0]]) if best[pair] > 0 else 0.0 for pair in kept.keys()]  # noqa: SIM118 - no dictionary
    repeats = len(rows) - len(kept)
    said = counted(repeats, "row repeats", "rows repeat")
    notes = [f"{rows.name}: {said} a query with its document, which count once"] if repeats else []
    return replace(kept, labels=counts), notes


def _sentences(tables: Sequence[tuple[Table, _Found]]) -> tuple[list[str], list[str]]:
    """Every text of these tables, each once, in their order."""
    sentences: dict[str, None] = {}
    count, notes = 0, list[str]()
    for table, found in tables:
        texts = read_texts(table.select([found.text, found.text_pair]), found.names, may_be_numbers=True)
        notes += note_blank_texts(table.name, texts)
        for row in zip(*texts.values(), strict=True):
            count += len(row)
            sentences.update(dict.fromkeys(row))
    said = f"{len(sentences)} different sentences to train on"
    return list(sentences), [*notes, f"{said}, of {count}" if count > len(sentences) else said]


def _note_negatives(table: Table, found: _Found) -> list[str]:
    """Say which columns of a table of triples are passed over."""
    read = [name for name in (found.text, found.text_pair) if name is not None]
    left = [
        f"'{name}'" for name in table.columns if NEGATIVES.fullmatch(name.strip()) and name not in (*read, found.label)
    ]
    taken = " and ".join(f"'{name}'" for name in read)
    return [f"{table.name}: {', '.join(left)} not read: sentences are taken from {taken}"] if left else []


def _set_aside(
    table: Table, found: _Found, kind: Kind, split: SplitOptions, *, has_dev: bool
) -> tuple[dict[str, Rows], list[str]]:
    """Evaluation sets out of the training rows, which then must have scores."""
    rows = _read_pairs(table, found, kind)
    wanted = {name: count for name, count in split.set_aside.items() if count is not None}
    if not has_dev:
        wanted = {"dev": max(1, round(split.dev_fraction * len(rows))), **wanted}
    sets, notes, left = dict[str, Rows](), list[str](), list(range(len(rows)))
    for name, count in wanted.items():
        require_rows(f"{name}_rows", count, len(left) - 1)
        stay, aside = hold_out_rows([0.0] * len(left), count, seed=split.seed)
        sets[name] = rows.take([left[place] for place in aside], name)
        left = [left[place] for place in stay]
        notes.append(f"{name}: {count} of {len(rows)} rows of {table.name} held out, at random, seed {split.seed}")
    return sets, notes


def _chosen(sets: dict[str, Rows], split: SplitOptions) -> dict[str, Rows]:
    return choose_sets(sets, split.evaluate_on)


def _judged(
    train: Dataset | None, sets: Mapping[str, Rows], task: Task, notes: Sequence[str], parts: Parts
) -> LoadedData:
    if kind_of(task) is KINDS["retrieval"]:
        each_once = {name: _with_relevant(rows) for name, rows in sets.items()}
        sets = {name: rows for name, (rows, _) in each_once.items()}
        notes = [*notes, *chain.from_iterable(said for _, said in each_once.values())]
    dev = {name: rows.to_dataset(task) for name, rows in sets.items()}
    notes = [*notes, *chain.from_iterable(note_blank_texts(rows.name, rows.texts) for rows in sets.values())]
    origins = {} if parts.train is None else {"train": parts.train.name}
    origins |= {
        name: rows.name if name in parts.dev else f"held out of {origins['train']}" for name, rows in sets.items()
    }
    numbers = {name: rows.numbers for name, rows in sets.items()}
    return LoadedData(train, dev, task, tuple(notes), origins=origins, row_numbers=numbers)


def _note_shared(sentences: Sequence[str], sets: Mapping[str, Rows]) -> list[str]:
    known = set(sentences)
    notes = []
    for name, rows in sets.items():
        shared = sum(any(text in known for text in row) for row in rows.keys())  # noqa: SIM118 - Rows is no dictionary
        if shared:
            notes.append(f"a text of {shared} of {len(rows)} rows of {name} also stands in the training data")
    return notes
