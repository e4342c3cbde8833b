"""What a tokenizer's vocabulary says of single tokens: which are special, and which begin a word.

Three ways to write it are known: WordPiece marks the tokens that continue a word (`##ing`), byte-level vocabularies
(GPT-2, RoBERTa) and SentencePiece those that begin one (`Ġword`, `▁word`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

CONTINUES_WORD = "##"
BEGINS_WORD = ("Ġ", "▁")
LINE_BREAKS = ("Ċ", "ĉ", "č")
"""Line feed, tab and carriage return in a byte-level vocabulary: words end there, whatever follows."""


@dataclass(frozen=True)
class Vocabulary:
    """A table with an entry for each token.

    Attributes:
        is_special: padding, separators and the like; numbers that no token has, too.
        begins_word: the first token of a word, or a special one.
        ends_word: a new word begins after it, whatever its first token looks like.
    """

    is_special: Bool[Tensor, " vocabulary"]
    begins_word: Bool[Tensor, " vocabulary"]
    ends_word: Bool[Tensor, " vocabulary"]

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase) -> Vocabulary:
        """Read it off a tokenizer."""
        ids = tokenizer.get_vocab()
        is_special = torch.ones(max(ids.values()) + 1, dtype=torch.bool)
        is_special[list(ids.values())] = False
        is_special[tokenizer.all_special_ids] = True
        begins, ends = is_special.clone(), is_special.clone()
        begins[[ids[token] for token in _beginnings(list(ids))]] = True
        ends[[number for token, number in ids.items() if token.endswith(LINE_BREAKS)]] = True
        return cls(is_special, begins, ends)

    def word_starts(self, input_ids: Int[Tensor, "batch tokens"]) -> Bool[Tensor, "batch tokens"]:
        """Where words begin in a batch; every special token is a word of its own."""
        starts = self.begins_word[input_ids]
        starts[:, 1:] |= self.ends_word[input_ids[:, :-1]]
        starts[:, 0] = True  # of a document that was cut, perhaps in the middle of a word
        return starts


def _beginnings(tokens: list[str]) -> list[str]:
    """The tokens that begin a word, by the mark that most tokens have."""
    counts = {mark: sum(token.startswith(mark) for token in tokens) for mark in (CONTINUES_WORD, *BEGINS_WORD)}
    mark = max(counts, key=lambda mark: counts[mark])
    if mark == CONTINUES_WORD:  # or no mark at all: every token is a word
        return [token for token in tokens if not token.startswith(mark)]
    return [token for token in tokens if token.startswith((mark, *LINE_BREAKS))]
