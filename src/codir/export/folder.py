"""The folder that is shipped: whole or not there, with all that running the model needs, and hashes of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from codir.config.words import Engine
from codir.errors import UserError
from codir.export.scripts import script_of
from codir.measure import FILE_NAMES, RECORD_NAME
from codir.models import shipped_config
from codir.store import MANIFEST_NAME, clear_place, write_manifest, writing_to, written_whole
from codir.tasks import kind_of_config

INFER_NAME = "infer.py"
OWN_NAMES = (
    "model.onnx*",
    "model.xml",
    "model.bin",
    "config.json",
    "tokenizer*.json",
    "*.jinja",
    INFER_NAME,
    RECORD_NAME,
    MANIFEST_NAME,
)
"""Patterns of the names that an exported folder holds. One with others, or without a record, is set aside."""


def check_ships(tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse a tokenizer that only Python can run.

    Raises:
        UserError: it has no `tokenizer.json`.
    """
    if not tokenizer.is_fast:
        raise UserError(
            "tokenizer",
            expected="one that `tokenizers` can run, with a tokenizer.json",
            got=type(tokenizer).__name__,
            do="save its fast version into the model's folder: `AutoTokenizer.from_pretrained(..., use_fast=True)`",
        )


def write_folder(
    source: Path,
    folder: Path,
    *,
    engine: Engine,
    config: PreTrainedConfig,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    record: Mapping[str, Any],
) -> None:
    """Put together what is shipped.

    Args:
        source: holds the graph of one candidate.
        folder: takes its place when all is written; what was there goes if it is an export, or is set aside.
        engine: of the graph.
        config: of the student, with the names of its classes.
        tokenizer: of the student.
        max_length: that `infer.py` cuts texts to.
        record: what was measured.

    Raises:
        FolderError: the folder cannot be written to, or its disk is full.
    """
    with writing_to(folder, "export", do="free some space, or choose another `--output-dir`"):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(folder) as staging:
            for file in source.glob(f"{Path(FILE_NAMES[engine]).stem}.*"):
                shutil.copy(file, staging)
            shipped_config(config).save_pretrained(staging)
            tokenizer.save_pretrained(staging)
            kind = kind_of_config(config)
            (staging / INFER_NAME).write_text(script_of(engine, kind, pairs=bool(record.get("pairs"))), "utf-8")
            truncation = truncation_of(tokenizer, max_length)
            if record.get("stride") is not None:  # windows of a context
                truncation |= {"stride": record["stride"], "strategy": "only_second"}
            reads = {"padding": padding_of(tokenizer), "truncation": truncation}
            labels = [
                str(config.id2label[number]) for number in range(0 if kind.reads_apart else config.num_labels)
            ]  # not in a config of usual ones
            content = {**record, "labels": labels, **reads}
            (staging / RECORD_NAME).write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", "utf-8")
            write_manifest(staging)
            is_export = (folder / RECORD_NAME).is_file()
            clear_place(folder, own=OWN_NAMES if is_export else ())


def padding_of(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """What `Tokenizer.enable_padding` of the package `tokenizers` is given to pad as this tokenizer does."""
    return {
        "direction": tokenizer.padding_side,
        "pad_id": tokenizer.pad_token_id,
        "pad_type_id": tokenizer.pad_token_type_id,
        "pad_token": tokenizer.pad_token,
    }


def truncation_of(tokenizer: PreTrainedTokenizerBase, max_length: int) -> dict[str, Any]:
    """What `Tokenizer.enable_truncation` of the package `tokenizers` is given to cut as this tokenizer does."""
    return {"max_length": max_length, "direction": tokenizer.truncation_side}
