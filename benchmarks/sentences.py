"""The files of the measurement on embeddings, made of GLUE's: sentences to learn from, and pairs to be judged by.

Whatever is scored is left out of the sentences, and so is what settings are tuned on: no sentence is one of their
texts, however it is spelled. GLUE's folders are looked for in `./glue`. Knows files; knows nothing of models.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from codir.data import find_minilm

GLUE, FOLDER = Path("glue"), Path("runs", "embeddings")
SENTENCES, TUNING_PAIRS = 16_000, 1_500
"""Sentences: 250 batches of 64, each read once."""
TEACHER, TRAIN, TUNE = "teacher", "sentences", "tune"
STS_B, HEADLINES, MRPC = "sts-b", "headlines", "mrpc"

Pair = tuple[str, str, float]


@dataclass(frozen=True)
class Texts:
    """All that is learned from, tuned on and scored.

    Attributes:
        sentences: each once; those of STS-B and MRPC first.
        pairs: by the name of their set, two texts and a score.
    """

    sentences: Sequence[str]
    pairs: Mapping[str, Sequence[Pair]]


def prepare() -> None:
    """Write `runs/embeddings/`: a file for each set, and a link to the teacher; what is there already stays."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    if not (FOLDER / TEACHER).exists():
        (FOLDER / TEACHER).symlink_to(find_minilm(), target_is_directory=True)
    if file_of(TRAIN).exists():
        return
    texts = divide(GLUE)
    for name, pairs in texts.pairs.items():
        header = ("query", "document", "score") if name == MRPC else ("text", "text_pair", "score")
        _write(file_of(name), header, pairs)
    _write(file_of(TRAIN), ("text",), ((sentence,) for sentence in texts.sentences))


def file_of(name: str) -> Path:
    """Where a set is kept."""
    return FOLDER / f"{name}.csv"


def divide(glue: Path, *, sentences: int = SENTENCES, tuning_pairs: int = TUNING_PAIRS, seed: int = 0) -> Texts:
    """Divide GLUE's rows among what is learned from, tuned on and scored.

    Scored are STS-B's dev set, the headlines among STS-B's training rows, and MRPC's labelled test set, a query and a
    document in each row. Some of STS-B's other training rows are for tuning. Sentences are those of the rest of STS-B,
    of MRPC's training rows, and of CoLA and SST-2 until there are enough.

    Args:
        glue: the folder with GLUE's.
        sentences: how many to learn from.
        tuning_pairs: how many to tune on.
        seed: for every random choice.
    """
    draw = random.Random(seed)
    graded = list(_rows(glue / "STS-B" / "train.tsv"))
    headlines = [row for row in graded if row["filename"] == "headlines"]
    others = [row for row in graded if row["filename"] != "headlines"]
    draw.shuffle(others)
    tuned, rest = others[:tuning_pairs], others[tuning_pairs:]
    pairs = {
        TUNE: [_graded(row) for row in tuned],
        STS_B: [_graded(row) for row in _rows(glue / "STS-B" / "dev.tsv")],
        HEADLINES: [_graded(row) for row in headlines],
        MRPC: [_paraphrase(row) for row in _rows(glue / "MRPC" / "msr_test_labelled.tsv")],
    }
    near = [text for row in rest for text in _graded(row)[:2]]
    near += [text for row in _rows(glue / "MRPC" / "train.tsv") for text in _paraphrase(row)[:2]]
    more = [line[3] for line in _lines(glue / "CoLA" / "train.tsv")]
    more += [row["sentence"] for row in _rows(glue / "SST-2" / "train.tsv")]
    draw.shuffle(more)
    judged = {spelling(text) for rows in pairs.values() for row in rows for text in row[:2]}
    return Texts(_different([*near, *more], judged)[:sentences], pairs)


def spelling(text: str) -> str:
    """A text without case, spaces and punctuation, which differ between GLUE's tasks where the sentence is the same."""
    return "".join(character for character in text.casefold() if character.isalnum())


def _different(texts: Iterable[str], judged: set[str]) -> list[str]:
    seen, found = set(judged), []
    for text in texts:
        key = spelling(text)
        if key and key not in seen:
            seen.add(key)
            found.append(text.strip())
    return found


def _graded(row: Mapping[str, str]) -> Pair:
    return row["sentence1"], row["sentence2"], float(row["score"])


def _paraphrase(row: Mapping[str, str]) -> Pair:
    return row["#1 String"], row["#2 String"], float(row["Quality"])


def _rows(file: Path) -> Iterator[dict[str, str]]:
    lines = _lines(file)
    header = next(lines)
    return (dict(zip(header, line, strict=False)) for line in lines)


def _lines(file: Path) -> Iterator[list[str]]:
    return (line.split("\t") for line in file.read_text("utf-8-sig").splitlines() if line)


def _write(file: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as opened:
        csv.writer(opened).writerows([header, *rows])
