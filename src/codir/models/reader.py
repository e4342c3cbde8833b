"""A model together with the tokenizer that it reads with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Reader:
    """A model, the tokenizer that it reads with, and where it is saved."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    folder: Path | None = None
