"""Documents are tokenised, cut and packed into a folder, in parallel.

A block of about 250,000 characters is the unit of work: however many processes there are, and however large the
corpus, the same blocks give the same sequences, and a process holds one block at a time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, DatasetInfo, Features, List, Value
from transformers import PreTrainedTokenizerBase

from codir.config.words import NUM_PROC
from codir.data.corpus.documents import write_rows
from codir.data.corpus.sequences import SHORTEST_DOCUMENT, Layout, lay_out
from codir.errors import UserError
from codir.errors.shown import counted
from codir.system import progress

BLOCK_CHARACTERS = 250_000
SEQUENCES_NAME, COUNTS_NAME = "sequences.arrow", "counts.json"

BLOCKS = Features({"texts": List(Value("string")), "first_id": Value("int64")})
PIECES = Features({"input_ids": List(Value("int32")), "document_id": Value("int64"), "begun": Value("int32")})
SEQUENCES = Features(
    {
        "input_ids": List(Value("int32")),
        "document_id": Value("int64"),
        "example_index": Value("int64"),
        "length": Value("int32"),
    }
)


@dataclass(frozen=True)
class Counts:
    """What a corpus is made of: documents that were read, those that were too short, sequences and their tokens."""

    documents: int
    dropped: int
    sequences: int
    tokens: int

    def describe(self) -> str:
        """In words.

        Example:
            >>> Counts(documents=1200, dropped=2, sequences=300, tokens=36000).describe()
            '1,200 documents in 300 sequences of 120 tokens on average; 2 shorter than two tokens were left out'
        """
        shorter = "shorter than two tokens"
        dropped = counted(self.dropped, f"{shorter} was left out", f"{shorter} were left out")
        left_out = f"; {dropped}" if self.dropped else ""
        average = self.tokens / self.sequences
        return (
            f"{counted(self.documents, 'document')} in {counted(self.sequences, 'sequence')} of {average:.0f} tokens "
            f"on average{left_out}"
        )


def build_corpus(
    texts: Iterable[str],
    tokenizer: PreTrainedTokenizerBase,
    layout: Layout,
    *,
    folder: Path,
    scratch: Path,
    name: str,
    num_proc: int = NUM_PROC,
) -> Counts:
    """Write the sequences of a corpus to a folder.

    Args:
        texts: the documents.
        tokenizer: of the model that will read them.
        layout: what a sequence looks like.
        folder: where the sequences go.
        scratch: where texts and pieces stand meanwhile: about twice the corpus.
        name: what messages call it.
        num_proc: processes that tokenise.

    Raises:
        UserError: no documents, or none of two tokens.
    """
    with progress.phase("reading the corpus", unit="documents"):
        blocks = write_rows(cut_blocks(texts), BLOCKS, scratch / "blocks", name=name, rows_at_once=1)
    with progress.phase("tokenising", len(blocks), unit="blocks"):
        pieces = blocks.map(
            cut_block,
            batched=True,
            batch_size=1,
            num_proc=min(num_proc, len(blocks)) if num_proc > 1 else None,
            remove_columns=blocks.column_names,
            features=PIECES,
            fn_kwargs={"tokenizer": tokenizer, "layout": layout},
            cache_file_name=str(scratch / "pieces.arrow"),
            load_from_cache_file=False,
            new_fingerprint="pieces",  # spares hashing the tokenizer; the folder is new, so nothing is found in it
            desc="tokenise",
        )
    last = blocks[-1]
    documents = last["first_id"] + len(last["texts"])
    begun = pc.sum(pieces.data.column("begun")).as_py() or 0
    if begun == 0:
        raise UserError(
            name,
            expected=f"a document of at least {SHORTEST_DOCUMENT} tokens",
            got=f"{documents:,}, all of them shorter",
            do="check the text column, or what a document is (`documents: file`, `line` or `blank-line`)",
        )
    if not has_known_tokens(pieces, tokenizer):
        raise UserError(
            name,
            expected="words that the tokenizer has in its vocabulary",
            got="none in all of the corpus",
            otherwise="there would have been nothing to predict",
            do="check the language and the encoding of the texts, or take the tokenizer of another model",
        )
    sequences = _number(pieces, folder)
    tokens = pc.sum(sequences.data.column("length")).as_py()
    counts = Counts(begun, documents - begun, len(sequences), tokens)
    (folder / COUNTS_NAME).write_text(json.dumps(asdict(counts)))
    return counts


def open_corpus(folder: Path) -> Dataset:
    """See a folder that `build_corpus` wrote as a data set that is memory-mapped; its description has the counts."""
    counts = Counts(**json.loads((folder / COUNTS_NAME).read_text()))
    return Dataset.from_file(str(folder / SEQUENCES_NAME), info=DatasetInfo(description=counts.describe()))


def has_known_tokens(pieces: Dataset, tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether there is any token but special ones, of which the unknown token is one."""
    special = pa.array(tokenizer.all_special_ids, pa.int32())
    chunks = pieces.data.column("input_ids").chunks
    return any(pc.any(pc.invert(pc.is_in(pc.list_flatten(chunk), special))).as_py() for chunk in chunks)


def cut_blocks(texts: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Documents in blocks of about 250,000 characters, with the number of the first."""
    block: list[str] = []
    first_id, size = 0, 0
    for text in texts:
        block.append(text)
        progress.advance()
        size += len(text) + 1
        if size >= BLOCK_CHARACTERS:
            yield {"texts": block, "first_id": first_id}
            first_id, block, size = first_id + len(block), [], 0
    if block:
        yield {"texts": block, "first_id": first_id}


def cut_block(
    blocks: dict[str, list[Any]], tokenizer: PreTrainedTokenizerBase, layout: Layout
) -> dict[str, Sequence[Any]]:
    """The sequences of one block, in columns."""
    (texts,), (first_id,) = blocks["texts"], blocks["first_id"]
    encoded = tokenizer(
        texts,
        add_special_tokens=False,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,  # a text longer than the model reads is what this is for
    )
    rows = list(lay_out(encoded["input_ids"], layout, first_id=first_id))
    progress.advance()
    return {name: [getattr(row, name) for row in rows] for name in PIECES}


def _number(pieces: Dataset, folder: Path) -> Dataset:
    """Give each sequence its number and its length; Arrow's tables go from file to file, and no list is made."""

    def number(rows: pa.Table, indices: list[int]) -> pa.Table:
        numbered = rows.append_column("example_index", pa.array(indices, pa.int64()))
        lengths = pc.list_value_length(rows["input_ids"]).cast(pa.int32())
        return numbered.append_column("length", lengths).drop(["begun"])

    return pieces.with_format("arrow").map(
        number,
        with_indices=True,
        batched=True,
        remove_columns=["begun"],
        features=SEQUENCES,
        cache_file_name=str(folder / SEQUENCES_NAME),
        load_from_cache_file=False,
        new_fingerprint="sequences",
        desc="number",
    )
