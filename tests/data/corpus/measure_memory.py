"""Prepare a large text file and read it again, and print how much memory of its own the process took for that.

Run in a process of its own by `test_corpus_memory.py`. What counts is anonymous memory: pages of files that are mapped
can be had back at any time.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import datasets
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from codir.data import MaskingCollator, load_corpus

SPECIAL = {"pad_token": "[PAD]", "unk_token": "[UNK]", "sep_token": "[SEP]", "mask_token": "[MASK]"}


def anonymous_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


class Peak(threading.Thread):
    """The most anonymous memory seen while it runs."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.bytes, self._done = anonymous_bytes(), threading.Event()

    def run(self) -> None:
        while not self._done.wait(0.002):
            self.bytes = max(self.bytes, anonymous_bytes())

    def end(self) -> int:
        self._done.set()
        self.join()
        return self.bytes


def prepare_and_read(file: Path, tokenizer: PreTrainedTokenizerFast, cache_dir: Path) -> int:
    """The peak of preparing a corpus and of a look at every eighth batch of it, in bytes."""
    peak = Peak()
    peak.start()
    corpus = load_corpus(file, tokenizer, cache_dir=cache_dir)
    collate = MaskingCollator(tokenizer)
    for start in range(0, len(corpus), 8 * 64):
        rows = corpus[start : start + 64]
        collate([dict(zip(rows, row, strict=True)) for row in zip(*rows.values(), strict=True)])
    return peak.end()


def main(small: Path, large: Path, words: Path, cache_dir: Path) -> None:
    datasets.disable_progress_bars()
    vocabulary = {word: number for number, word in enumerate([*SPECIAL.values(), *words.read_text().split()])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, **SPECIAL)
    at_rest = anonymous_bytes()
    of_small = prepare_and_read(small, tokenizer, cache_dir)
    of_large = prepare_and_read(large, tokenizer, cache_dir)
    print(of_small - at_rest, max(of_large - of_small, 0))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
