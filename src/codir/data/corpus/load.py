"""The door for a corpus: from whatever names it to sequences on disk, prepared once and found ever after.

A prepared corpus is a folder named after the fingerprint of all that decides its content, with a manifest of its files
that is checked whenever it is opened: what is damaged is named and prepared anew.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from datasets import Dataset
from filelock import FileLock
from transformers import PreTrainedTokenizerBase

from codir.config.words import DOCUMENT_BOUNDARY, MAX_LENGTH, NUM_PROC, PACKING, DocumentBoundary, Packing
from codir.data.corpus.build import COUNTS_NAME, SEQUENCES_NAME, build_corpus, open_corpus
from codir.data.corpus.documents import Source, open_documents
from codir.data.corpus.sequences import Layout
from codir.store import (
    MANIFEST_NAME,
    READING,
    Damage,
    clear_place,
    find_damage,
    fingerprint_tokenizer,
    read_json,
    scratch_folder,
    write_manifest,
    writing_to,
    written_whole,
)

logger = logging.getLogger(__name__)

CORPUS_VERSION = 1
"""Raised whenever codir cuts or packs in another way, so that older corpora are not used."""
KEY_NAME = "key.json"
FILES = (SEQUENCES_NAME, COUNTS_NAME, KEY_NAME)
WAY_OUT = "free disk space, or choose another `corpus.cache_dir`"


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
    with _scratch(cache_dir) as scratch:
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
        if _is_sound(folder, key):
            logger.info("%s: reusing %s", found.name, folder)
        else:
            with writing_to(cache_dir, found.name, do=WAY_OUT):
                cache_dir.mkdir(parents=True, exist_ok=True)
                with FileLock(cache_dir / f".{key.name}.lock"):  # whoever comes second waits, and finds it
                    if not _is_sound(folder, key):
                        texts = islice(found.texts(), max_documents)
                        _build(texts, tokenizer, key, folder, scratch, name=found.name, num_proc=num_proc)
    corpus = open_corpus(folder)
    logger.info("%s: %s", found.name, corpus.info.description)
    return corpus


@contextmanager
def _scratch(cache_dir: Path) -> Iterator[Path]:
    """A folder for what is read only once: beside the corpora, or anywhere else where these cannot be written to."""
    with ExitStack() as stack:
        try:
            scratch = stack.enter_context(scratch_folder(cache_dir, READING))
        except OSError:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=READING)))
        yield scratch


def _is_sound(folder: Path, key: CorpusKey) -> bool:
    """Whether a corpus is there and undamaged; damage is named."""
    if not os.path.lexists(folder):
        return False
    fault = _find_fault(folder, key)
    if fault is not None:
        logger.warning("corpus %s is damaged and not used: %s", folder, fault)
    return fault is None


def _find_fault(folder: Path, key: CorpusKey) -> Damage | None:
    if not os.path.lexists(folder / MANIFEST_NAME):
        return Damage(MANIFEST_NAME, "is missing, as in corpora of older versions of codir")
    damage = find_damage(folder, listed=FILES)
    if damage is not None:
        return damage
    if read_json(folder / KEY_NAME) != json.loads(json.dumps(asdict(key))):
        return Damage(KEY_NAME, "belongs to another corpus")
    return None


def _build(
    texts: Iterator[str],
    tokenizer: PreTrainedTokenizerBase,
    key: CorpusKey,
    folder: Path,
    scratch: Path,
    *,
    name: str,
    num_proc: int,
) -> None:
    logger.info("%s: preparing it once, in %s", name, folder)
    clear_place(folder, own=[*FILES, MANIFEST_NAME])  # what is there is damaged
    with written_whole(folder) as staging:
        build_corpus(texts, tokenizer, key.layout, folder=staging, scratch=scratch, name=name, num_proc=num_proc)
        (staging / KEY_NAME).write_text(json.dumps(asdict(key)))
        write_manifest(staging)
