"""The sections of a recipe that name things: teacher, data, corpus, student and masking."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    model_validator,
)

from codir.errors import UserError

UserPath = Annotated[Path, AfterValidator(Path.expanduser)]


PathOrName = Annotated[str, AfterValidator(os.path.expanduser)]


class Room(BaseModel):
    """Base of all sections: an unknown key is an error, and nothing changes after it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TeacherConfig(Room):
    """Who teaches: a fine-tuned model, and whether its features are kept on disk."""

    model: PathOrName = Field(description="folder or hub name of a model with a trained head")
    cache: Literal["auto"] | bool = Field(
        "auto", description="run the teacher once and keep its features (true), at every step (false), or what pays"
    )
    cache_dir: UserPath = Field(
        Path("~/.cache/codir/teacher"), validate_default=True, description="where caches are kept, one folder each"
    )
    cache_dtype: Literal["float32", "float16"] = Field("float32", description="of pooled layers in the cache")


class DataConfig(Room):
    """What is learned from."""

    source: PathOrName = Field(
        description="`glue:SST-2`, a CSV/TSV/JSONL/Parquet file or a folder of them, or a hub name"
    )
    data_dir: UserPath | None = Field(None, description="holds the GLUE folders; without it GLUE comes from the hub")
    dev: PathOrName | None = Field(None, description="file to evaluate on; held out of the training rows by default")
    unlabelled: list[UserPath] = Field([], description="files of rows without labels, for soft targets and contrast")
    text_column: str | None = Field(None, description="found by its name where it has a usual one")
    text_pair_column: str | None = Field(None, description="column of the second text")
    label_column: str | None = Field(None, description="column of the label or score")
    task: Literal["auto", "classification", "regression"] = Field("auto", description="kind of task; found in the data")
    labels: list[str] | None = Field(None, description="label names in the order of the class indices")
    dev_fraction: float = Field(0.1, gt=0, lt=1, description="share held out where there is no dev set")
    max_train_rows: PositiveInt | None = Field(None, description="train on a seeded part of the labelled rows")
    heldout_rows: PositiveInt | None = Field(None, description="rows set aside as the evaluation set `heldout`")
    tune_rows: PositiveInt | None = Field(None, description="rows set aside as the evaluation set `tune`")
    unlabelled_rows: PositiveInt | None = Field(None, description="further rows to train on, without their labels")
    evaluate_on: list[str] | None = Field(None, min_length=1, description="which evaluation sets; all of them")
    max_length: PositiveInt = Field(128, description="tokens per example at the most; longer ones are cut")


class CorpusConfig(Room):
    """What is pre-trained on; all keys but the last are arguments of `codir.data.load_corpus`."""

    source: PathOrName = Field(
        description="a text, CSV, TSV, JSONL or Parquet file, a folder of them, a hub name, or `demo:imdb`"
    )
    documents: Literal["file", "line", "blank-line"] = Field("line", description="what a document is in a text file")
    text_column: str | None = Field(None, description="of any other file; found where it has a usual name")
    packing: Literal["packed", "apart"] = Field("packed", description="short documents share a sequence, or do not")
    max_length: PositiveInt = Field(128, description="tokens per sequence at the most; longer documents give several")
    max_documents: PositiveInt | None = Field(None, description="read no more than these, from the first on")
    num_proc: PositiveInt = Field(1, description="processes that tokenise")
    cache_dir: UserPath = Field(
        Path("~/.cache/codir/corpus"), validate_default=True, description="one folder per prepared corpus"
    )
    heldout_fraction: float = Field(0.05, gt=0, lt=1, description="share of the documents that evaluation is on")


class StudentConfig(Room):
    """Who learns: some of the teacher's layers, any other checkpoint, or a configuration with random weights."""

    layers: PositiveInt | list[PositiveInt] | None = Field(None, description="how many, or which of the teacher's")
    selection: Literal["lower", "upper", "every-other"] = Field(
        "every-other", description="which of the teacher's layers to copy"
    )
    checkpoint: PathOrName | None = Field(None, description="folder or hub name of another pre-trained model")
    config: dict[str, Any] | None = Field(None, description="overrides of the teacher's configuration; random start")

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
    """Which tokens are to be predicted, where they are masked; a causal model predicts all of them."""

    probability: float = Field(0.15, gt=0, lt=1, description="share of the tokens")
    whole_words: bool = Field(False, description="mask all tokens of a word together")
