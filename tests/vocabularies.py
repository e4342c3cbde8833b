"""Tiny tokenizers of every way to mark words: WordPiece, byte-level, SentencePiece; and one for next tokens."""

from __future__ import annotations

from collections.abc import Callable

from transformers import BertTokenizer, GPT2Tokenizer, PreTrainedTokenizerBase, RobertaTokenizer, XLMRobertaTokenizer

LETTERS = sorted("lowernstid")
MERGES = [("l", "o"), ("lo", "w"), ("e", "r"), ("n", "e"), ("ne", "w"), ("Ġ", "low"), ("Ġ", "new")]
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def _byte_level(special: list[str]) -> dict[str, int]:
    tokens = [*special, *LETTERS, "Ġ", "Ċ", *("".join(pair) for pair in MERGES)]
    return {token: number for number, token in enumerate(tokens)}


def word_piece() -> PreTrainedTokenizerBase:
    """BERT's: `##` continues a word."""
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "low", "new", "wide", "##er", "##est", ","]
    return BertTokenizer(vocab={token: number for number, token in enumerate(pieces)})


def byte_level() -> PreTrainedTokenizerBase:
    """RoBERTa's: `Ġ` begins a word."""
    return RobertaTokenizer(vocab=_byte_level(SPECIAL), merges=MERGES)


def sentence_piece() -> PreTrainedTokenizerBase:
    """XLM-RoBERTa's: `▁` begins a word."""
    pieces = ["▁", "▁low", "▁new", "er", "est", *LETTERS]
    scored = [(piece, -1.0 - number) for number, piece in enumerate(pieces)]
    return XLMRobertaTokenizer(vocab=[*((token, 0.0) for token in SPECIAL[:4]), *scored, (SPECIAL[4], 0.0)])


def next_token() -> PreTrainedTokenizerBase:
    """GPT-2's, with the padding token of `codir.models.loading`: no special tokens around a text, no mask token."""
    tokenizer = GPT2Tokenizer(vocab=_byte_level(["<|endoftext|>"]), merges=MERGES)
    tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


MASKED: dict[str, Callable[[], PreTrainedTokenizerBase]] = {
    "WordPiece": word_piece,
    "byte-level": byte_level,
    "SentencePiece": sentence_piece,
}
