"""The door for data: from the words that name a source to examples.

Knows how a user names things: `glue:SST-2`, a file, a folder, the hub. Knows nothing of what stands inside.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from datasets import Dataset

from codir.config.words import DEV_FRACTION, HEADER, TASK, TaskChoice
from codir.data.loaded import LoadedData
from codir.data.sources.assemble import Parts, SplitOptions, assemble
from codir.data.sources.columns import ColumnNames
from codir.data.sources.demo import DEMO_SOURCE, read_movie_reviews
from codir.data.sources.folders import DEV_NAMES, TEST_NAMES, TRAIN_NAMES, describe_folder, note_shard, read_folder
from codir.data.sources.formats import (
    ENDINGS,
    Reading,
    holds_splits,
    is_saved,
    is_table,
    read_splits,
    read_table,
    require_file,
)
from codir.data.sources.glue import GLUE_PREFIX, find_glue_task, read_glue
from codir.data.sources.labels import LabelOptions
from codir.data.sources.sentences import assemble_sentences
from codir.data.sources.squad import load_squad
from codir.data.sources.tables import Table, read_hub
from codir.errors import UserError, naming
from codir.tasks import KINDS, kind_named

HUB_NAME = re.compile(r"(?P<name>[\w-][\w.-]*(/[\w-][\w.-]*)?)(:(?P<config>[\w.-]+))?")


def load_data(
    source: str | Path,
    *,
    data_dir: str | Path | None = None,
    dev: str | Path | None = None,
    unlabelled: Sequence[str | Path] = (),
    separator: str | None = None,
    header: bool = HEADER,
    columns: Sequence[str] | None = None,
    encoding: str | None = None,
    text_column: str | None = None,
    text_pair_column: str | None = None,
    label_column: str | Sequence[str] | None = None,
    label_separator: str | None = None,
    id_column: str | None = None,
    group_column: str | None = None,
    task: TaskChoice | str = TASK,
    labels: Sequence[str] | None = None,
    num_labels: int | None = None,
    model_names: Sequence[str] | None = None,
    dev_fraction: float = DEV_FRACTION,
    max_train_rows: int | None = None,
    heldout_rows: int | None = None,
    tune_rows: int | None = None,
    unlabelled_rows: int | None = None,
    evaluate_on: Sequence[str] | None = None,
    seed: int = 0,
    evaluation_only: bool = False,
) -> LoadedData:
    """Load examples from wherever the user keeps them.

    Args:
        source: `glue:` and a task; a CSV, TSV, JSON or Parquet file, compressed or not; a folder with such files, or
            shards of one, named `train` and perhaps `dev` or `validation`; a folder that `save_to_disk` wrote; or a
            data set on the hub, with a configuration as `name:config`.
        data_dir: the folder that holds GLUE's task folders; without it, GLUE comes from the hub.
        dev: a file to evaluate on, or the name of a split on the hub, instead of the source's own dev part.
        unlabelled: files of rows without a label, which join the training data; a `.txt` file has a text on each line.
        separator: between the cells of CSV and TSV files; found in each by default.
        header: whether the first line of CSV and TSV files names the columns.
        columns: names of the columns, where no line does; 1, 2 and so on by default.
        encoding: of text files without a byte order mark; UTF-8 by default.
        text_column: where the text stands, if not under a usual name; a pair is then read only if named too.
        text_pair_column: where the second text stands.
        label_column: where the label stands; for several labels in a row, a list column, or a column of 0 and 1 each.
        label_separator: what stands between several labels that are written as one text.
        id_column: keep this column as `id`; a teacher that is a file may find its rows by it.
        group_column: for reranking, where the name or number of the query stands; without one, rows with the same text
            are of one query.
        task: name of a kind of task (`codir.tasks.KINDS`); `"auto"` reads tags where lists of words and of tags stand
            side by side, scores where a label has a fraction, and classes otherwise.
        labels: the names of the classes, in the order of their indices.
        num_labels: how many classes a given model has; 1 where it gives a score.
        model_names: what that model calls its classes, if it has names for them.
        dev_fraction: the part of the training rows that is held out where there is no dev part.
        max_train_rows: train on a random part of this many labelled rows.
        heldout_rows: set this many training rows aside, as the evaluation set `heldout`.
        tune_rows: set this many others aside, as the evaluation set `tune`.
        unlabelled_rows: train on this many others without their labels.
        evaluate_on: names of the evaluation sets that are wanted, the one that matters first; all of them by default.
        seed: for every random choice made here.
        evaluation_only: read the dev part alone, or the single file given; no unlabelled rows.

    Raises:
        UserError: anything wrong with the input; the message says what and what to do.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "reviews.csv"
        >>> written = file.write_text("text,label\\n" + "so good,up\\nso bad,down\\n" * 10)
        >>> data = load_data(str(file))
        >>> data.task.label_names, len(data.train), len(data.dev["dev"])
        (('down', 'up'), 18, 2)
    """
    source = str(source)
    split = SplitOptions(
        dev_fraction=dev_fraction,
        max_train_rows=max_train_rows,
        set_aside={"heldout": heldout_rows, "tune": tune_rows} if not evaluation_only else {},
        unlabelled_rows=unlabelled_rows,
        evaluate_on=tuple(evaluate_on) if evaluate_on is not None else None,
        seed=seed,
    )
    if task in KINDS and KINDS[task].reads_windows:
        _refuse_for_squad(
            data_dir=None if data_dir is None else str(data_dir),
            separator=separator,
            header=None if header else header,
            columns=columns,
            encoding=encoding,
            text_column=text_column,
            text_pair_column=text_pair_column,
            label_column=label_column,
            label_separator=label_separator,
            id_column=id_column,
            group_column=group_column,
            labels=labels,
            heldout_rows=heldout_rows,
            tune_rows=tune_rows,
            unlabelled_rows=unlabelled_rows,
            evaluate_on=evaluate_on,
        )
        return load_squad(source, dev=dev, unlabelled=unlabelled, split=split, evaluation_only=evaluation_only)
    folder = None if data_dir is None else _existing(Path(data_dir))
    names = tuple(columns) if columns is not None else None
    kind = None if task == TASK else kind_named(task)
    has_words, needs_no_label = kind is not None and kind.reads_words, kind is not None and kind.reads_apart
    reading = Reading(separator, header, names, encoding, words=has_words, lines=needs_no_label)
    parts = _read_parts(source, reading, data_dir=folder, dev=dev, evaluation_only=evaluation_only)
    if not evaluation_only:
        alone = replace(reading, lines=not has_words)
        parts = replace(parts, unlabelled=tuple(read_table(path, alone) for path in unlabelled))
    label, several = _label_columns(label_column, parts)
    return _assembler(task)(
        parts,
        columns=ColumnNames(
            text=text_column or parts.columns.text,
            text_pair=text_pair_column or parts.columns.text_pair,
            label=label or parts.columns.label,
            labels=several,
            id=id_column,
            group=group_column or parts.columns.group,
        ),
        labels=LabelOptions(
            task=parts.task if task == "auto" else task,
            names=tuple(labels) if labels is not None else None,
            num_labels=num_labels,
            model_names=tuple(model_names) if model_names is not None else None,
            may_lack_classes=evaluation_only,
            separator=label_separator,
        ),
        split=split,
    )


def _refuse_for_squad(**given: object) -> None:
    """Refuse options that mean nothing for questions, whose files have a form of their own."""
    for name, value in given.items():
        if value is not None:
            raise UserError(
                name,
                expected="nothing, for files of SQuAD's form",
                got=repr(value),
                otherwise="it would have had no effect",
                do="leave it out",
            )


def _label_columns(named: str | Sequence[str] | None, parts: Parts) -> tuple[str | None, tuple[str, ...]]:
    """The column of labels, or several; a name with commas in it may be that of one column."""
    if named is None or isinstance(named, str):
        return named, ()
    whole = ",".join(named)
    return (whole, ()) if len(named) == 1 or whole in next(iter(parts.tables)).columns else (None, tuple(named))


def from_datasets(
    train: Dataset | None,
    dev: Dataset | Mapping[str, Dataset] | None = None,
    *,
    unlabelled: Sequence[Dataset] = (),
    columns: ColumnNames | None = None,
    labels: LabelOptions | None = None,
    split: SplitOptions | None = None,
) -> LoadedData:
    """Load examples from `datasets` objects with named columns; without `train`, for evaluation only.

    Args:
        train: labelled rows to train on.
        dev: rows to evaluate on, or several sets under their names; without it, rows of `train` are held out.
        unlabelled: rows without a label, which join the training data.
        columns: the columns that do not have usual names.
        labels: what is known of the labels.
        split: how rows are held out.

    Raises:
        UserError: anything wrong with the rows, or neither `train` nor `dev` is given.
    """
    named_dev = {"dev": dev} if isinstance(dev, Dataset) else dict(dev or {})
    if train is None and not named_dev:
        raise UserError("data", expected="`train`, `dev` or both", got="neither", do="give one of them")
    parts = Parts(
        train=Table.from_dataset(train, "train") if train is not None else None,
        dev={name: Table.from_dataset(rows, name) for name, rows in named_dev.items()},
        unlabelled=tuple(Table.from_dataset(rows, "unlabelled") for rows in unlabelled),
    )
    labels = replace(labels or LabelOptions(), may_lack_classes=train is None)
    assemble_as = _assembler(labels.task)
    return assemble_as(parts, columns=columns or ColumnNames(), labels=labels, split=split or SplitOptions())


def _assembler(task: TaskChoice | str) -> Callable[..., LoadedData]:
    """What puts the rows of a task together; where that is to be found from the labels, there are labels."""
    return assemble_sentences if task != TASK and kind_named(task).reads_apart else assemble


def _read_parts(
    source: str, reading: Reading, *, data_dir: Path | None, dev: str | Path | None, evaluation_only: bool
) -> Parts:
    """Read the tables that a source names; an own dev file takes the place of the source's."""
    if source == DEMO_SOURCE:
        reviews = read_movie_reviews()
        reviews = replace(reviews, dev={"dev": read_table(dev, reading)}) if dev is not None else reviews
        return _only_dev(source, reviews.dev) if evaluation_only else reviews
    path = Path(source)
    is_glue = source.lower().startswith(GLUE_PREFIX)
    if not (is_glue or path.exists() or is_table(path)) and HUB_NAME.fullmatch(source):
        return _read_hub_parts(source, dev, reading, evaluation_only)
    if path.is_dir() and not is_glue and not (is_saved(path) and not holds_splits(path)):
        return _read_folder(path, dev, reading, evaluation_only)
    own_dev = {"dev": read_table(dev, reading)} if dev is not None else {}
    if own_dev and evaluation_only:
        return Parts(None, own_dev)
    if is_glue:
        parts = read_glue(find_glue_task(source[len(GLUE_PREFIX) :]), data_dir, evaluation_only=evaluation_only)
        return replace(parts, dev=own_dev or parts.dev)
    if not path.is_dir():
        require_file(path)
    table = read_table(path, reading)
    if evaluation_only:
        return Parts(None, {"dev": table})
    return Parts(table.with_notes(*note_shard(path)), own_dev)


def _existing(folder: Path) -> Path:
    """Refuse a folder that is not there, even where the source is a file and no GLUE task would be looked for in it."""
    with naming(folder):
        if folder.is_dir():
            return folder
    raise UserError(
        f"data folder '{folder}'",
        expected="a folder with the task folders of GLUE",
        got="no such folder",
        do="check the path, or leave `--data-dir` out",
    )


def _read_folder(folder: Path, dev: str | Path | None, reading: Reading, evaluation_only: bool) -> Parts:
    own_dev = None if dev is None else _named_part(str(dev), folder, reading)
    if own_dev is not None and evaluation_only:
        return Parts(None, {"dev": own_dev})
    parts = read_folder(folder, reading, unread=TRAIN_NAMES if evaluation_only else ())
    if "dev" not in parts and "test" in parts and _has_columns_of(parts["test"], parts.get("train")):
        note = f"folder '{folder}' has no dev part, so evaluation is on '{parts['test'].name}'"
        parts["dev"] = parts["test"].with_notes(note)
    dev_table = own_dev or parts.get("dev")
    named_dev = {"dev": dev_table} if dev_table is not None else {}
    if evaluation_only:
        return _only_dev(f"folder '{folder}'", named_dev)
    if "train" in parts:
        return Parts(parts["train"], named_dev)
    raise UserError(
        f"folder '{folder}'",
        expected=f"a file 'train' with one of the endings {ENDINGS}",
        got=describe_folder(folder),
        do="rename the training file, or give its path",
    )


def _named_part(name: str, folder: Path, reading: Reading) -> Table:
    """A split of a folder that `save_to_disk` wrote, or else a file."""
    splits = read_splits(folder) if holds_splits(folder) else {}
    return splits[name] if name in splits else read_table(name, reading)


def _has_columns_of(test: Table, train: Table | None) -> bool:
    """Whether a test part can be judged by; those of competitions have no labels."""
    if train is None:
        return True
    names = {name.strip().casefold() for name in test.columns}
    return all(name.strip().casefold() in names for name in train.columns)


def _read_hub_parts(source: str, dev: str | Path | None, reading: Reading, evaluation_only: bool) -> Parts:
    match = HUB_NAME.fullmatch(source)
    assert match is not None, "the caller has looked"
    splits = read_hub(
        match["name"],
        match["config"],
        absent="no such file",
        do="check the path, or the spelling (`name:config` names a configuration) and the connection",
    )
    dev_tables = _choose_hub_dev(splits, dev, reading, evaluation_only)
    if evaluation_only:
        return _only_dev(source, dev_tables)
    if "train" not in splits:
        raise UserError(source, expected="a split 'train'", got=", ".join(splits), do="name another data set")
    return Parts(splits["train"], dev_tables)


def _choose_hub_dev(
    splits: Mapping[str, Table], dev: str | Path | None, reading: Reading, evaluation_only: bool
) -> dict[str, Table]:
    """The split or file that was named, or else a dev split; `test` is for evaluation alone."""
    if dev is not None:
        return {"dev": splits[str(dev)] if str(dev) in splits else read_table(dev, reading)}
    found = [splits[name] for name in (*DEV_NAMES, *(TEST_NAMES if evaluation_only else ())) if name in splits]
    return {"dev": found[0]} if found else {}


def _only_dev(name: str, dev: Mapping[str, Table]) -> Parts:
    if dev:
        return Parts(None, dev)
    raise UserError(
        name,
        expected="a part to evaluate on: dev or validation",
        got="none",
        do="name the file, or the split on the hub, with `--dev`",
    )
