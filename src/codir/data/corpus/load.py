"""The door for a corpus: from whatever names it to sequences on disk, prepared once and found ever after.

A prepared corpus is a folder named after the fingerprint of all that decides its content.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from datasets import Dataset
from filelock import FileLock
from transformers import PreTrainedTokenizerBase

from codir.config.words import DOCUMENT_BOUNDARY, MAX_LENGTH, NUM_PROC, PACKING, DocumentBoundary, Packing
from codir.data.corpus.build import build_corpus, open_corpus
from codir.data.corpus.documents import Source, open_documents
from codir.data.corpus.sequences import Layout
from codir.store import READING, fingerprint_tokenizer, scratch_folder, written_whole

logger = logging.getLogger(__name__)

CORPUS_VERSION = 1
"""Raised whenever codir cuts or packs in another way, so that older corpora are not used."""


@dataclass(frozen=True)
class CorpusKey:
    """Everything that decides what a prepared corpus holds. Two keys that differ anywhere are two corpora."""

    texts: str
    tokenizer: str
    layout: Layout
    documents: DocumentBoundary
    text_column: str | None
    max_documents: int | None
    version: int = CORPUS_VERSION

    @property
    def name(self) -> str:
        """Name of the corpus's folder."""
        return hashlib.blake2b(json.dumps(asdict(self)).encode(), digest_size=10).hexdigest()


def load_corpus(
    source: Source,
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_length: int = MAX_LENGTH,
    documents: DocumentBoundary = DOCUMENT_BOUNDARY,
    text_column: str | None = None,
    packing: Packing = PACKING,
    max_documents: int | None = None,
    num_proc: int = NUM_PROC,
    cache_dir: Path,
) -> Dataset:
    """Prepare a corpus for pre-training, or find it as it was prepared before.

    A document longer than a sequence gives several, cut one after another without overlap. With `packed`, documents
    that are shorter share sequences, as many whole ones in turn as fit, with the tokenizer's separator between them.

    Args:
        source: a text, CSV, TSV, JSON lines or Parquet file, or a folder of them; a data set on the hub, with a
            configuration as `name:config`; `demo:imdb`; a `datasets.Dataset`, or a stream, which is read to its end or
            to `max_documents`.
        tokenizer: of the model that will read the sequences.
        max_length: tokens of a sequence at most, special ones included.
        documents: what a document is in a text file: the whole `file`, each `line`, or what stands between blank lines.
        text_column: where the text stands in any other file, if not under a usual name.
        packing: short documents share a sequence, or are left apart.
        max_documents: read no more than these, from the first on.
        num_proc: processes that tokenise.
        cache_dir: holds one folder per prepared corpus.

    Returns:
        Columns `input_ids`; `document_id`, which two sequences share only if they are pieces of one document (where
        several share a sequence it is the first one's); `example_index`, the row's number; and `length`. They are
        memory-mapped. What was read and left out is said in `info.description`.

    Raises:
        UserError: nothing to read, no column of texts, no document of two tokens, a length that the tokenizer was not
            made for, or no token to separate documents with.
    """
    layout = Layout.of(tokenizer, max_length=max_length, packed=packing == "packed")
    cache_dir = Path(cache_dir).expanduser()
    with scratch_folder(cache_dir, READING) as scratch:
        found = open_documents(
            source,
            convention=documents,
            text_column=text_column,
            max_documents=max_documents,
            scratch=scratch,
        )
        key = CorpusKey(
            texts=found.fingerprint,
            tokenizer=fingerprint_tokenizer(tokenizer),
            layout=layout,
            documents=documents,
            text_column=text_column,
            max_documents=max_documents,
        )
        folder = cache_dir / key.name
        with FileLock(cache_dir / f".{key.name}.lock"):  # whoever comes second waits, and finds it
            if folder.exists():
                logger.info("%s: reusing %s", found.name, folder)
            else:
                texts = islice(found.texts(), max_documents)
                _build(texts, tokenizer, layout, folder, scratch, name=found.name, num_proc=num_proc)
    corpus = open_corpus(folder)
    logger.info("%s: %s", found.name, corpus.info.description)
    return corpus


def _build(
    texts: Iterator[str],
    tokenizer: PreTrainedTokenizerBase,
    layout: Layout,
    folder: Path,
    scratch: Path,
    *,
    name: str,
    num_proc: int,
) -> None:
    logger.info("%s: preparing it once, in %s", name, folder)
    with written_whole(folder) as staging:
        build_corpus(texts, tokenizer, layout, folder=staging, scratch=scratch, name=name, num_proc=num_proc)
