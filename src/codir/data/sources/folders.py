"""Which files of a folder are for what: `train`, `dev` and `test` under the names that people give them, and shards.

Knows names of files and splits. Knows nothing of what stands inside.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from codir.data.sources.formats import (
    Reading,
    holds_splits,
    is_saved,
    is_table,
    read_splits,
    read_table,
    stem_of,
)
from codir.data.sources.tables import Table
from codir.errors import UserError, naming

TRAIN_NAMES = ("train", "training")
DEV_NAMES = ("dev", "validation", "val", "valid", "eval")
TEST_NAMES = ("test",)
INNER = "data"
"""The folder inside a data set's folder in which the hub keeps its files."""

SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{4,6})-of-(?P<count>\d{4,6})(-[0-9a-f]{8,})?")


def read_folder(folder: Path, reading: Reading, unread: Collection[str] = ()) -> dict[str, Table]:
    """Read the parts of a folder as tables under `train`, `dev` and `test`; what is not there is left out.

    Args:
        folder: with files, shards or saved folders in it, or in its folder `data`; or itself saved as splits.
        reading: what is said of the files.
        unread: names of parts that nobody needs.

    Raises:
        UserError: two files for one part, a shard that is missing, a damaged file.
    """
    if holds_splits(folder):
        return name_parts(read_splits(folder), f"folder '{folder}'")
    groups = _group_files(folder, reading)
    inner = folder / INNER
    if not _known(groups) and inner.is_dir():
        return read_folder(inner, reading, unread)
    wanted = {stem: groups[stem] for stem in _known(groups) if stem.lower() not in unread}
    return name_parts(
        {stem: _read_group(folder, files, reading) for stem, files in wanted.items()}, f"folder '{folder}'"
    )


def name_parts(tables: Mapping[str, Table], where: str) -> dict[str, Table]:
    """Put tables under `train`, `dev` and `test`, whichever of the usual names each has.

    Raises:
        UserError: two of them are for the same part.
    """
    parts: dict[str, Table] = {}
    for part, names in (("train", TRAIN_NAMES), ("dev", DEV_NAMES), ("test", TEST_NAMES)):
        found = [name for name in tables if name.lower() in names]
        if len(found) > 1:
            raise UserError(
                where,
                expected=f"one part named {' or '.join(names)}",
                got=", ".join(tables[name].name for name in found),
                do="leave one of them in the folder, or give the path of the file",
            )
        if found:
            parts[part] = tables[found[0]]
    return parts


def describe_folder(folder: Path) -> str:
    """The names in a folder, for messages."""
    with naming(folder):
        return ", ".join(sorted(entry.name for entry in folder.iterdir())) or "an empty folder"


def note_shard(path: Path) -> tuple[str, ...]:
    """What to say where a file is one of several that belong together."""
    shard = SHARD.fullmatch(stem_of(path))
    if shard is None or int(shard["count"]) == 1:
        return ()
    return (f"{path.name} is one of {int(shard['count'])} files; give the folder to read all of them",)


def _known(stems: Iterable[str]) -> list[str]:
    return [stem for stem in stems if stem.lower() in (*TRAIN_NAMES, *DEV_NAMES, *TEST_NAMES)]


def _group_files(folder: Path, reading: Reading) -> dict[str, list[Path]]:
    """Files by the part that their names say, shards together in their order; saved folders count as files."""
    groups: dict[str, list[Path]] = defaultdict(list)
    with naming(folder):
        entries = sorted(folder.iterdir())
    for path in entries:
        if path.is_dir() and is_saved(path):
            groups[path.name].append(path)
        elif path.is_file() and is_table(path, reading):
            shard = SHARD.fullmatch(stem_of(path))
            groups[shard["stem"] if shard else stem_of(path)].append(path)
    return dict(groups)


def _read_group(folder: Path, files: Sequence[Path], reading: Reading) -> Table:
    """One file, or all shards of one part."""
    shards = [SHARD.fullmatch(stem_of(path)) for path in files]
    if len(files) == 1 and shards[0] is None:
        return read_table(files[0], reading)
    numbers = [int(shard["number"]) for shard in shards if shard is not None]
    counts = {int(shard["count"]) for shard in shards if shard is not None}
    stem = stem_of(files[0]) if shards[0] is None else shards[0]["stem"]
    if None in shards or len(counts) > 1 or len(set(numbers)) < len(numbers):
        raise UserError(
            f"folder '{folder}'",
            expected=f"one file named {stem}" + (", or all shards of one" if counts else ""),
            got=", ".join(path.name for path in files),
            do="leave one of them in the folder, or give the path of the file",
        )
    (count,) = counts
    missing = sorted(set(range(count)) - set(numbers))
    if missing and sorted(numbers) != list(range(1, count + 1)):
        raise UserError(
            f"folder '{folder}'",
            expected=f"all {count} files of '{stem}'",
            got=f"{len(numbers)} of them; number {missing[0]} is missing",
            do="fetch the missing files",
            otherwise="their rows would be missing too",
        )
    return join_tables([read_table(path, reading) for path in files], f"{stem} ({count} files)")


def join_tables(tables: Sequence[Table], name: str) -> Table:
    """See tables with the same columns as one.

    Raises:
        UserError: the columns, or the names of the classes, differ.
    """
    first = tables[0]
    for table in tables[1:]:
        if set(table.columns) != set(first.columns) or table.class_names != first.class_names:
            raise UserError(
                table.name,
                expected=f"the columns and classes of {first.name}: {first.describe_columns()}",
                got=table.describe_columns(),
                do="write all files of one part with the same columns",
            )

    def select(columns: Sequence[str]) -> Table:
        parts = [table.select(columns) for table in tables]
        values = {column: list(chain.from_iterable(part.columns[column] for part in parts)) for column in columns}
        notes = tuple(chain.from_iterable(part.notes for part in parts))
        return replace(parts[0], name=name, columns=values, notes=notes, read=None)

    return replace(first, name=name, read=select)
