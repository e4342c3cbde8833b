"""The sections of a recipe that name things: teacher, data, corpus, student and masking."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, PositiveInt, model_validator

from codir.config.base import PathOrName, Room, UserPath
from codir.config.words import (
    CACHE_WISH,
    CORPUS_CACHE_DIR,
    DEV_FRACTION,
    DOCUMENT_BOUNDARY,
    HEADER,
    HELDOUT_FRACTION,
    LAYER_SELECTION,
    MASK_PROBABILITY,
    MAX_LENGTH,
    NUM_PROC,
    PACKING,
    STORED_DTYPE,
    TASK,
    TEACHER_CACHE_DIR,
    CacheWish,
    DocumentBoundary,
    EmbeddingStart,
    LayerSelection,
    Packing,
    StoredDtype,
    TaskChoice,
)
from codir.errors import UserError


class TeacherConfig(Room):
    """The model that teaches, or a file of its answers, and whether its features are kept on disk."""

    model: PathOrName = Field(
        description="folder or hub name of a fine-tuned model, or a CSV, TSV, JSON or Parquet file of answers"
    )
    id_column: str | None = Field(
        None, description="column of a file of answers and of the data that rows are found by; their text by default"
    )
    cache: CacheWish = Field(
        CACHE_WISH, description="run the teacher once and keep its features (true), at every step (false), or decide"
    )
    cache_dir: UserPath = Field(Path(TEACHER_CACHE_DIR), description="where caches are kept, one folder each")
    cache_dtype: StoredDtype = Field(STORED_DTYPE, description="number format of pooled layers in the cache")


class DataConfig(Room):
    """What is learned from."""

    source: PathOrName = Field(
        description="`glue:SST-2`, a CSV, TSV, JSON, Parquet or CoNLL file, a folder of them, or a hub name"
    )
    data_dir: UserPath | None = Field(
        None, description="folder that holds the GLUE folders; without it GLUE comes from the hub"
    )
    dev: PathOrName | None = Field(
        None, description="file to evaluate on; by default rows are held out of the training set"
    )
    unlabelled: list[UserPath] = Field([], description="files of rows without labels, for soft targets and contrast")
    separator: str | None = Field(
        None, description="what stands between the cells of CSV and TSV files, such as `;` or `tab`; found by default"
    )
    header: bool = Field(HEADER, description="whether the first line of CSV and TSV files names the columns")
    columns: list[str] | None = Field(
        None, min_length=1, description="names of the columns, without a header; 1, 2 and so on by default"
    )
    encoding: str | None = Field(
        None, description="encoding of text files, such as `cp1252`; UTF-8, or what a byte order mark says, by default"
    )
    text_column: str | None = Field(None, description="column of the text; found where it has a usual name")
    text_pair_column: str | None = Field(None, description="column of the second text")
    label_column: str | list[str] | None = Field(
        None,
        description="column of the label or score, or of a list of labels; `a,b` for several columns of 0 and 1",
    )
    label_separator: str | None = Field(
        None, min_length=1, description="what stands between several labels that are written as one text"
    )
    group_column: str | None = Field(
        None, description="for reranking: column of the query's name or number; by default, equal texts are one query"
    )
    task: TaskChoice | str = Field(TASK, description="kind of task; found from the labels by default")
    labels: list[str] | None = Field(None, description="label names in the order of the class indices")
    dev_fraction: float = Field(DEV_FRACTION, gt=0, lt=1, description="share held out where there is no dev set")
    max_train_rows: PositiveInt | None = Field(None, description="train on a seeded part of the labelled rows")
    heldout_rows: PositiveInt | None = Field(None, description="rows set aside as the evaluation set `heldout`")
    tune_rows: PositiveInt | None = Field(None, description="rows set aside as the evaluation set `tune`")
    unlabelled_rows: PositiveInt | None = Field(None, description="further rows to train on, without their labels")
    evaluate_on: list[str] | None = Field(None, min_length=1, description="which evaluation sets; all by default")
    max_length: PositiveInt = Field(MAX_LENGTH, description="tokens per example at most; longer ones are cut")


class CorpusConfig(Room):
    """What is pre-trained on; all keys but the last are arguments of `codir.data.load_corpus`."""

    source: PathOrName = Field(
        description="a text, CSV, TSV, JSON or Parquet file, a folder of them, a hub name, or `demo:imdb`"
    )
    documents: DocumentBoundary = Field(DOCUMENT_BOUNDARY, description="what a document is in a text file")
    text_column: str | None = Field(None, description="column of the text; found where it has a usual name")
    packing: Packing = Field(PACKING, description="whether short documents share a sequence")
    max_length: PositiveInt = Field(
        MAX_LENGTH, description="tokens per sequence at most; longer documents give several"
    )
    max_documents: PositiveInt | None = Field(None, description="read this many documents at most, from the first on")
    num_proc: PositiveInt = Field(NUM_PROC, description="processes that tokenise")
    cache_dir: UserPath = Field(Path(CORPUS_CACHE_DIR), description="where prepared corpora are kept, one folder each")
    heldout_fraction: float = Field(
        HELDOUT_FRACTION, gt=0, lt=1, description="share of the documents that evaluation is on"
    )


class StudentConfig(Room):
    """The model that learns: some of the teacher's layers, another checkpoint, or a configuration with new weights."""

    layers: PositiveInt | list[PositiveInt] | None = Field(
        None, description="how many of the teacher's layers, such as `3`, or which, such as `1,3,5`"
    )
    selection: LayerSelection = Field(LAYER_SELECTION, description="which layers, where only their number is given")
    checkpoint: PathOrName | None = Field(None, description="folder or hub name of another pre-trained model")
    config: dict[str, Any] | None = Field(
        None, description="changes to the teacher's configuration; the student's layers start from random weights"
    )
    embeddings: EmbeddingStart | None = Field(
        None,
        description="how a student from `config` starts its embeddings; from the teacher's, projected to its width, "
        "wherever the vocabulary is shared",
    )
    dense: bool = Field(
        False, description="for sentence vectors: end in a dense map to the teacher's width, which the student keeps"
    )

    @model_validator(mode="after")
    def _one_origin(self) -> StudentConfig:
        given = [name for name in ("layers", "checkpoint", "config") if getattr(self, name) is not None]
        if len(given) != 1:
            raise UserError(
                "student",
                expected="exactly one of `layers`, `checkpoint` and `config`",
                got=" and ".join(given) or "none",
                do="give `--student-layers 3`, or name another student in the recipe",
            )
        return self


class MaskingConfig(Room):
    """Which tokens are predicted by a masked language model; a causal model predicts all of them."""

    probability: float = Field(MASK_PROBABILITY, gt=0, lt=1, description="share of the tokens")
    whole_words: bool = Field(False, description="mask all tokens of a word together")
