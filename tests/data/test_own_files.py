"""Files as they lie on people's disks: each shape is read whole, or refused by a sentence that says what to do."""

from __future__ import annotations

import csv
import gzip
import json
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, DatasetDict

from codir.data import LoadedData
from codir.data.corpus.files import find_column, find_files, read_documents
from codir.data.sources.formats import FORMATS, PLAIN, Reading, dialect, read_table
from codir.data.sources.formats.records import CHUNK
from codir.data.sources.load import load_data
from codir.errors import UserError

TEXTS = [f"the soup was {word}" for word in ("warm", "cold", "salty", "thin", "fine", "gone")]
LABELS = ["yes", "no"] * 3
ROWS = list(zip(TEXTS, LABELS, strict=True))


def read(path: Path, **options: Any) -> tuple[list[str], list[str], LoadedData]:
    """Texts and class names of all rows, in their order."""
    data = load_data(str(path), dev=str(path), **options)
    assert data.train is not None
    return list(data.train["text"]), [data.task.id2label[label] for label in data.train["label"]], data


def cells(rows: Sequence[tuple[str, ...]], separator: str = ",", end: str = "\n") -> str:
    return "".join(separator.join(row) + end for row in rows)


def packed(path: Path, content: bytes) -> None:
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(content))
    elif path.suffix == ".zst":
        with pa.CompressedOutputStream(str(path), "zstd") as stream:
            stream.write(content)
    else:
        path.write_bytes(content)


AS_CSV = cells([("text", "label"), *ROWS])
AS_LINES = "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in ROWS)
FRAME = pd.DataFrame({"text": TEXTS, "label": LABELS})


# ---- One set of rows in every shape ----

SHAPES: dict[str, tuple[str, bytes]] = {
    "semicolons": ("d.csv", AS_CSV.replace(",", ";").encode()),
    "tabs in a file that says commas": ("d.csv", AS_CSV.replace(",", "\t").encode()),
    "bars": ("d.tsv", AS_CSV.replace(",", "|").encode()),
    "line ends of Windows": ("d.tsv", cells([("text", "label"), *ROWS], "\t", "\r\n").encode()),
    "line ends of an old Mac": ("d.csv", AS_CSV.replace("\n", "\r").encode()),
    "no line end after the last row": ("d.csv", AS_CSV.rstrip().encode()),
    "UTF-8 with a mark": ("d.csv", AS_CSV.encode("utf-8-sig")),
    "UTF-16 with a mark": ("d.csv", AS_CSV.encode("utf-16")),
    "UTF-16 without a mark": ("d.csv", AS_CSV.encode("utf-16-le")),
    "UTF-16, the other way round": ("d.jsonl", AS_LINES.encode("utf-16-be")),
    "UTF-32 with a mark": ("d.tsv", AS_CSV.replace(",", "\t").encode("utf-32")),
    "CSV in gzip": ("d.csv.gz", AS_CSV.encode()),
    "TSV in Zstandard": ("d.tsv.zst", AS_CSV.replace(",", "\t").encode()),
    "JSON lines in gzip": ("D.JSONL.gz", AS_LINES.encode()),
    "UTF-16 in gzip": ("d.csv.gz", AS_CSV.encode("utf-16")),
    "JSON lines by their other name": ("d.ndjson", AS_LINES.encode()),
    "JSON lines with blank lines": ("d.json", AS_LINES.replace("\n", "\n\n").encode()),
    "an array on one line": ("d.json", FRAME.to_json(orient="records").encode()),
    "an indented array": ("d.json", FRAME.to_json(orient="records", indent=2).encode()),
    "an array in a file that says lines": ("d.jsonl", b"\n " + FRAME.to_json(orient="records").encode() + b"\n"),
    "an array in Zstandard": ("d.json.zst", FRAME.to_json(orient="records").encode()),
    "a frame in columns": ("d.json", FRAME.to_json().encode()),
    "an indented frame": ("d.json", FRAME.to_json(indent=1).encode()),
    "a frame by index": ("d.json", FRAME.to_json(orient="index").encode()),
    "a split frame": ("d.json", FRAME.to_json(orient="split").encode()),
    "a frame with its schema": ("d.json", FRAME.to_json(orient="table").encode()),
    "trailing commas everywhere": ("d.csv", AS_CSV.replace("\n", ",,\n").encode()),
    "trailing commas in rows alone": ("d.csv", cells([("text", "label"), *((*row, "") for row in ROWS)]).encode()),
    "trailing commas in the header alone": ("d.csv", cells([("text", "label", ""), *ROWS]).encode()),
    "an index without a name": ("d.csv", FRAME.to_csv().encode()),
    "spaces in the header": ("d.csv", AS_CSV.replace("text,label", " text , label").encode()),
    "capitals in the header": ("d.csv", AS_CSV.replace("text,label", "Text,LABEL").encode()),
    "spaces before quotes": ("d.csv", cells([('"text"', ' "label"'), *((a, f' "{b}"') for a, b in ROWS)]).encode()),
    "quotes around everything": ("d.tsv", FRAME.to_csv(sep="\t", index=False, quoting=csv.QUOTE_ALL).encode()),
    "names of a competition": ("d.csv", AS_CSV.replace("text,label", "review,sentiment").encode()),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_that_changes_what_is_read(tmp_path: Path, shape: str) -> None:
    name, content = SHAPES[shape]
    packed(tmp_path / name, content)
    texts, labels, _ = read(tmp_path / name)
    assert (texts, labels) == (TEXTS, LABELS)


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ("semicolons", "separated by ';'"),
        ("tabs in a file that says commas", r"separated by '\\t'"),
        ("UTF-16 without a mark", "read as utf-16-le, guessed"),
        ("UTF-16, the other way round", "read as utf-16-be, guessed"),
        ("a frame in columns", "data frame of pandas"),
    ],
)
def test_a_guess_that_nobody_hears_of(tmp_path: Path, shape: str, said: str) -> None:
    name, content = SHAPES[shape]
    packed(tmp_path / name, content)
    found = [note for note in read(tmp_path / name)[2].notes if name in note and said.replace("\\\\", "\\") in note]
    assert len(found) == 2  # the training set and the same file as the evaluation set


def test_a_shape_that_was_not_guessed_but_said_to_be() -> None:
    """The shapes above that promise what they hold need no note."""
    assert len(SHAPES) == 35


# ---- Cells ----


def test_a_cell_that_is_larger_than_a_reader_likes(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    long = "word, " * 60_000
    (tmp_path / "d.csv").write_text(cells([("text", "label"), (f'"{long}"', "yes"), ("short", "no")]))
    texts, _, _ = read(tmp_path / "d.csv")
    assert texts == [long, "short"]
    assert csv.field_size_limit() == before  # the limit belongs to the whole process


def test_commas_inside_texts_taken_for_separators(tmp_path: Path) -> None:
    texts = [f"{text}, and then, more" for text in TEXTS]
    (tmp_path / "d.csv").write_text(cells([("text", "label"), *zip(texts, LABELS, strict=True)], ";"))
    assert read(tmp_path / "d.csv")[0] == texts


@pytest.mark.parametrize("separator", ["\t", ",", ";", "|"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
def test_what_pandas_wrote_is_what_is_read(tmp_path: Path, separator: str, quoting: int) -> None:
    texts = ['he said "so"', '"quoted"', 'two\nlines, and "one" more', "a ; b | c , d", "plain", 'ends with "']
    pd.DataFrame({"text": texts, "label": LABELS}).to_csv(
        tmp_path / "d.tsv", sep=separator, index=False, quoting=quoting
    )
    assert read(tmp_path / "d.tsv")[:2] == (texts, LABELS)


@pytest.mark.parametrize(
    "texts",
    [
        ['"open', 'and closed"', "plain", "more", "and more", "last"],
        ['"one" and "two"', 'so "he" said', "plain", "more", "and more", "last"],
        ['"one" and "two"', '"a ""b"" c"', "plain", "more", "and more", "last"],
        ['"', "plain", '"', "more", "and more", "last"],
    ],
)
def test_a_quote_of_the_text_that_swallows_rows_of_a_tsv(tmp_path: Path, texts: list[str]) -> None:
    (tmp_path / "d.tsv").write_text(cells([("text", "label"), *zip(texts, LABELS, strict=True)], "\t"))
    assert read(tmp_path / "d.tsv")[0] == texts


def test_a_broken_row_that_makes_swallowing_look_right(tmp_path: Path) -> None:
    """With the row in the middle broken, only the reading with quotes gives every row two cells."""
    rows = [("text", "label"), ('"open', "yes"), ("a", "b", "c"), ('closed"', "no"), ("plain", "yes")]
    (tmp_path / "d.tsv").write_text(cells(rows, "\t"))
    with pytest.raises(UserError, match="2 cells in every row, got 3 at line 3"):
        read(tmp_path / "d.tsv")


def test_quotes_that_may_belong_to_the_text_are_kept_and_said(tmp_path: Path) -> None:
    texts = ['"Alien"', *TEXTS[1:]]
    (tmp_path / "d.tsv").write_text(cells([("text", "label"), *zip(texts, LABELS, strict=True)], "\t"))
    found, _, data = read(tmp_path / "d.tsv")
    assert found == texts
    assert any("1 cell has quotes around it, which are kept" in note for note in data.notes)


def test_a_backslash_that_cuts_a_text(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text(cells([("text", "label"), ('"he said \\"so\\" twice"', "yes"), ("b", "no")]))
    with pytest.raises(UserError, match=r'at line 2.*would end at that quote.*write a quote inside a cell as ""'):
        read(tmp_path / "d.csv")


@pytest.mark.parametrize("odd", ["\0", "\u2028", "\x85", "\x0b", "\x0c", "\x1c"])
@pytest.mark.parametrize("name", ["d.csv", "d.tsv", "d.jsonl"])
def test_a_character_that_some_take_for_a_line_end(tmp_path: Path, name: str, odd: str) -> None:
    texts = [text + odd + "x" for text in TEXTS]
    if name == "d.jsonl":
        lines = [json.dumps({"text": a, "label": b}, ensure_ascii=False) for a, b in zip(texts, LABELS, strict=True)]
        content = "\n".join(lines)
    else:
        content = cells([("text", "label"), *zip(texts, LABELS, strict=True)], "\t" if name == "d.tsv" else ",")
    (tmp_path / name).write_bytes(content.encode())
    assert read(tmp_path / name)[0] == texts


def test_empty_rows_are_passed_over_and_counted(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text(AS_CSV + ",\n , \n\n,\n")
    texts, _, data = read(tmp_path / "d.csv")
    assert texts == TEXTS
    assert "d.csv: passed over 3 empty rows" in data.notes


@pytest.mark.parametrize(
    "row", [("a", "yes", "lost"), ("a",), ("a", "yes", "", "lost")], ids=["more", "fewer", "after an empty one"]
)
def test_a_cell_that_is_lost_or_invented(tmp_path: Path, row: tuple[str, ...]) -> None:
    (tmp_path / "d.csv").write_text(AS_CSV + ",".join(row) + "\n")
    with pytest.raises(UserError, match=rf"2 cells in every row, got {len(row)} at line 8.*--separator"):
        read(tmp_path / "d.csv")


def test_a_cell_under_no_name_that_is_lost(tmp_path: Path) -> None:
    rows = [("text", "label", ""), *((*row, "") for row in ROWS), ("a", "yes", "remark")]
    (tmp_path / "d.csv").write_text(cells(rows))
    assert read(tmp_path / "d.csv")[0] == [*TEXTS, "a"]
    assert list(read_table(tmp_path / "d.csv").columns) == ["text", "label", "unnamed 3"]


# ---- Missing texts, and texts of other types ----


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("d.csv", "text,label\nso,a\n,b\n"),
        ("d.tsv", "text\tlabel\nso\ta\n\tb\n"),
        ("d.jsonl", '{"text": "so", "label": "a"}\n{"text": "", "label": "b"}\n'),
        ("d.jsonl", '{"text": "so", "label": "a"}\n{"text": NaN, "label": "b"}\n'),
        ("d.jsonl", '{"text": "so", "label": "a"}\n{"label": "b"}\n'),
        ("d.json", '[{"text": "so", "label": "a"}, {"text": null, "label": "b"}]'),
    ],
)
def test_an_empty_text_that_one_format_lets_through(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=r"column 'text', row 2: expected a text, got (no value|nan)"):
        read(tmp_path / name)


def test_an_empty_text_in_parquet(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["so", ""], "label": [0, 1]}), tmp_path / "d.parquet")
    with pytest.raises(UserError, match=r"column 'text', row 2: expected a text, got no value"):
        read(tmp_path / "d.parquet")


def test_texts_of_an_evaluation_set_that_are_all_numbers(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text(AS_CSV)
    (tmp_path / "dev.csv").write_text("text,label\n1984,yes\n007,no\n")
    data = load_data(str(tmp_path / "d.csv"), dev=tmp_path / "dev.csv", unlabelled=[tmp_path / "dev.csv"])
    assert data.dev["dev"]["text"][:] == ["1984", "007"]
    assert data.train is not None
    assert data.train["text"][-2:] == ["1984", "007"]
    alone = load_data(str(tmp_path / "dev.csv"), evaluation_only=True)
    assert alone.dev["dev"]["text"][:] == ["1984", "007"]


def test_a_text_inside_an_object_names_the_column_and_what_to_do(tmp_path: Path) -> None:
    lines = [json.dumps({"example": {"body": text}, "label": label}) for text, label in ROWS]
    (tmp_path / "d.jsonl").write_text("\n".join(lines))
    with pytest.raises(UserError, match=r"column 'example' holds objects with 'body': write what is needed"):
        read(tmp_path / "d.jsonl")
    with pytest.raises(UserError, match=r"column 'example', row 1.*got .*dict.*to a column of its own"):
        read(tmp_path / "d.jsonl", text_column="example")
    pq.write_table(pa.table({"example": [{"body": "a"}], "label": [0]}), tmp_path / "d.parquet")
    with pytest.raises(UserError, match=r"column 'example' holds 'body'"):
        read(tmp_path / "d.parquet")


# ---- What is said of a file ----


def test_a_separator_and_a_header_that_are_said(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("".join(f"{label}~{text}\n" for text, label in ROWS))
    said = {"separator": "~", "header": False}
    texts, labels, data = read(tmp_path / "d.csv", **said, text_column="2", label_column="1")
    assert (texts, labels) == (TEXTS, LABELS)
    assert any("no header, so the columns are called 1 to 2" in note for note in data.notes)
    assert read(tmp_path / "d.csv", **said, columns=["label", "text"])[:2] == (TEXTS, LABELS)
    with pytest.raises(UserError, match=r"a name in `data.columns` for each column, got 1 names, and 2 cells"):
        read(tmp_path / "d.csv", **said, columns=["label"])


@pytest.mark.parametrize(
    "content",
    [
        '{"columns": ["text", "label"], "index": [0], "data": [["so"]]}',
        '{"columns": "text", "data": [["so"]]}',
        '{"columns": [["text", "a"], ["label", "b"]], "data": [["so", "a"], 7]}',
        '{"schema": {}, "data": [["so", "a"]]}',
        '{"schema": {}, "data": ["so"]}',
    ],
)
def test_a_data_frame_that_is_not_whole(tmp_path: Path, content: str) -> None:
    (tmp_path / "d.json").write_text(content)
    with pytest.raises(UserError):
        read(tmp_path / "d.json")


def test_columns_of_a_data_frame_that_have_numbers_for_names(tmp_path: Path) -> None:
    (tmp_path / "d.json").write_text(pd.DataFrame(ROWS).to_json(orient="split"))
    assert read(tmp_path / "d.json", text_column="0", label_column="1")[0] == TEXTS


@pytest.mark.parametrize("separator", ["tab", "\t", r"\t"])
def test_a_tab_that_a_shell_makes_hard_to_write(tmp_path: Path, separator: str) -> None:
    (tmp_path / "d.csv").write_text(AS_CSV.replace(",", "\t"))
    assert read(tmp_path / "d.csv", separator=separator)[0] == TEXTS


def test_a_first_row_taken_for_the_header_is_answered_with_the_flag(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text(cells(ROWS))
    with pytest.raises(UserError, match=r"among the columns 'the soup was warm', 'yes'.*--no-header"):
        read(tmp_path / "d.csv")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"columns": ["text", "label"]}, "first row would be lost"),
        ({"columns": ["a", "a"], "header": False}, "different names"),
        ({"separator": ";;"}, "one character"),
        ({"separator": '"'}, "one character"),
        ({"encoding": "cp999"}, "the name of an encoding"),
        ({"encoding": "rot13"}, "the name of an encoding"),
    ],
)
def test_words_about_files_that_cannot_be_meant(tmp_path: Path, said: dict[str, Any], message: str) -> None:
    (tmp_path / "d.csv").write_text(AS_CSV)
    with pytest.raises(UserError, match=message):
        read(tmp_path / "d.csv", **said)


def test_two_separators_that_fit_are_not_chosen_between(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("text;label|more\nso;a|b\nno;c|d\n")
    with pytest.raises(UserError, match=r"one separator that fits every row, got ';' and '\|'.*--separator"):
        read(tmp_path / "d.csv")


# ---- Encodings ----


@pytest.mark.parametrize(("encoding", "letters"), [("cp1252", "“naïve”"), ("latin-1", "café"), ("cp1252", "12 €")])
@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".csv.gz"])
def test_another_encoding_is_refused_with_its_line_and_read_where_it_is_named(
    tmp_path: Path, ending: str, encoding: str, letters: str
) -> None:
    texts = [*TEXTS[:4], letters, TEXTS[5]]
    content = cells([("text", "label"), *zip(texts, LABELS, strict=True)])
    if ending == ".jsonl":
        rows = [{"text": text, "label": label} for text, label in zip(texts, LABELS, strict=True)]
        content = "\n" + "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    path = tmp_path / f"d{ending}"
    packed(path, content.encode(encoding))
    with pytest.raises(
        UserError, match=rf"text in UTF-8, got .* at line 6, .*{letters}.* in cp1252.*--encoding cp1252"
    ):
        read(path)
    assert read(path, encoding=encoding)[0] == texts


def test_an_encoding_that_is_not_western_is_not_called_so(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_bytes("text,label\nлють,да\nвинить,нет\n".encode("cp1251"))
    with pytest.raises(UserError, match=r"at line 2\. What to do: name its encoding.*cp1251 for Cyrillic"):
        read(tmp_path / "d.csv")
    assert read(tmp_path / "d.csv", encoding="cp1251")[0] == ["лють", "винить"]


def test_utf8_read_as_something_else_in_silence(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("text,label\ncafé,yes\nthé,no\n", encoding="utf-8")
    _, _, data = read(tmp_path / "d.csv", encoding="cp1252")
    assert any("all of it is valid UTF-8" in note for note in data.notes)
    (tmp_path / "d.csv").write_text("text,label\ncafé,yes\nthé,no\n", encoding="utf-8-sig")
    texts, _, data = read(tmp_path / "d.csv", encoding="cp1252")
    assert texts == ["café", "thé"]
    assert any("its byte order mark says utf-8" in note for note in data.notes)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le"])
def test_half_a_character_at_the_end(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "d.csv").write_bytes(AS_CSV.encode(encoding) + b"\x41")
    with pytest.raises(UserError, match="text in utf-16"):
        read(tmp_path / "d.csv")


# ---- Compressed files, and files that are not what their names say ----


@pytest.mark.parametrize("name", ["d.csv.gz", "d.csv.zst", "d.jsonl.gz"])
@pytest.mark.parametrize("damage", [lambda content: content[:-9], lambda content: b"text,label\n"])
def test_a_damaged_archive_that_is_read_in_part(tmp_path: Path, name: str, damage: Callable[[bytes], bytes]) -> None:
    content = (AS_CSV if "csv" in name else AS_LINES) * 300
    packed(tmp_path / name, content.encode())
    (tmp_path / name).write_bytes(damage((tmp_path / name).read_bytes()))
    with pytest.raises(UserError, match="a whole file compressed with"):
        read(tmp_path / name)


@pytest.mark.parametrize(
    ("first", "what"), [(b"PK\x03\x04", "zip archive"), (b"\x1f\x8b\x08", "gzip"), (b"PAR1", "Parquet")]
)
@pytest.mark.parametrize("name", ["d.csv", "d.jsonl", "d.txt"])
def test_a_file_that_is_no_text(tmp_path: Path, name: str, first: bytes, what: str) -> None:
    (tmp_path / name).write_bytes(first + b"\xff\0" * 40)
    with pytest.raises(UserError, match=rf"a text file, got a .*{what}"):
        list(read_documents(tmp_path / name, column=find_column(tmp_path / name, "text")))


def test_an_archive_unpacked_at_once(tmp_path: Path) -> None:
    """A few kilobytes that unpack to 60 MB: what is held is the text column of one row at a time."""
    row = b"so," + b"0" * 60_000 + b",yes\n"
    with gzip.open(tmp_path / "d.csv.gz", "wb", compresslevel=9) as stream:
        stream.write(b"text,unused,label\n")
        stream.writelines(row for _ in range(1000))
    assert (tmp_path / "d.csv.gz").stat().st_size < 200_000
    tracemalloc.start()
    assert len(read_table(tmp_path / "d.csv.gz").select(["text", "label"])) == 1000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 25_000_000


# ---- JSON ----


def test_an_array_read_in_pieces(tmp_path: Path) -> None:
    """Objects that begin in one piece of the file and end in the next, or fill several."""
    texts = [("é" * (length % 7)) + "x" * length for length in (1, 10, CHUNK - 30, CHUNK, 3 * CHUNK, 5, 6, 7)]
    rows = [{"text": text, "label": str(row % 2) + "a"} for row, text in enumerate(texts)]
    (tmp_path / "d.json").write_text(json.dumps(rows, ensure_ascii=False))
    assert read(tmp_path / "d.json")[0] == texts


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[{"text": "a"}, {"text": "b"}', "the end of the file as element 3"),
        ('[{"text": "a"} {"text": "b"}]', "as element 2"),
        ('[{"text": "a"}, ["b"]]', "as element 2"),
        ('[{"text": "a"}, {"text": ]', "as element 2"),
        ('[{"text": "a"}] {"text": "b"}', "one JSON array, got .* after its end"),
        ('[{"text": "\\ud800"}]', "as element 1"),
        ("[1, 2]", "as element 1"),
        ('{"rows": [{"text": "a"}], "version": 1}', "save the list under 'rows' by itself"),
        ('{\n"text": "a"', "one JSON object on each line.* at line 1"),
        ("[]", "got no rows"),
    ],
)
def test_json_that_is_read_in_part(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "d.json").write_text(content)
    with pytest.raises(UserError, match=message):
        read(tmp_path / "d.json")


# ---- Parquet ----


@pytest.mark.parametrize(
    "text_type", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())], ids=str
)
def test_a_type_of_text_that_only_some_writers_use(tmp_path: Path, text_type: pa.DataType) -> None:
    columns = {"text": pa.array(TEXTS), "label": pa.array(LABELS)}
    table = pa.table({name: column.cast(text_type) for name, column in columns.items()})
    pq.write_table(table, tmp_path / "d.parquet")
    assert read(tmp_path / "d.parquet")[:2] == (TEXTS, LABELS)


def test_a_column_that_nobody_asked_for_stands_in_the_way(tmp_path: Path) -> None:
    more = pa.array([[("a", 1)]] * 6, pa.map_(pa.string(), pa.int64()))
    pq.write_table(pa.table({"text": TEXTS, "label": LABELS, "more": more}), tmp_path / "d.parquet")
    assert read(tmp_path / "d.parquet")[:2] == (TEXTS, LABELS)


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_memory_that_grows_with_columns_nobody_asked_for(tmp_path: Path, ending: str) -> None:
    frame = pd.DataFrame({"text": ["so"] * 400, "unused": ["word " * 10_000] * 400, "label": ["a", "b"] * 200})
    path = tmp_path / f"d{ending}"
    if ending == ".csv":
        frame.to_csv(path, index=False)
    elif ending == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_parquet(path)
    tracemalloc.start()
    assert len(read_table(path).select(["text", "label"])) == 400
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8_000_000  # the unused column alone is 20 MB


# ---- Folders ----


def write_shards(folder: Path, numbers: list[int], count: int, *, suffix: str = "") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        rows = [*ROWS[number::count], (f"shard {number}", LABELS[number + 1])]
        table = pa.table({"text": [row[0] for row in rows], "label": [row[1] for row in rows]})
        pq.write_table(table, folder / f"train-{number:05d}-of-{count:05d}{suffix}.parquet")


@pytest.mark.parametrize("inner", ["", "data"])
@pytest.mark.parametrize("suffix", ["", "-0123456789abcdef"])
def test_shards_are_one_training_set(tmp_path: Path, inner: str, suffix: str) -> None:
    write_shards(tmp_path / inner, [0, 1, 2], 3, suffix=suffix)
    data = load_data(str(tmp_path), dev_fraction=0.4)
    assert data.train is not None
    assert sorted([*data.train["text"], *data.dev["dev"]["text"]]) == sorted(
        [*TEXTS, *(f"shard {number}" for number in range(3))]
    )


def test_a_shard_that_is_missing(tmp_path: Path) -> None:
    write_shards(tmp_path, [0, 2], 3)
    with pytest.raises(UserError, match=r"all 3 files of 'train', got 2 of them; number 1 is missing"):
        load_data(str(tmp_path))


def test_one_shard_is_not_passed_off_as_the_whole(tmp_path: Path) -> None:
    write_shards(tmp_path, [0, 1], 2)
    one = tmp_path / "train-00000-of-00002.parquet"
    data = load_data(str(one), dev=one)
    assert any("is one of 2 files; give the folder to read all" in note for note in data.notes)


def test_shards_of_different_columns_are_refused(tmp_path: Path) -> None:
    write_shards(tmp_path, [0], 2)
    pq.write_table(pa.table({"text": ["a"], "stars": [1]}), tmp_path / "train-00001-of-00002.parquet")
    with pytest.raises(UserError, match=r"the columns and classes of train-00000-of-00002.parquet.*'stars'"):
        load_data(str(tmp_path))


@pytest.mark.parametrize("name", ["dev", "val", "valid", "validation", "eval", "Dev"])
def test_a_name_for_the_evaluation_set(tmp_path: Path, name: str) -> None:
    (tmp_path / "train.csv.gz").write_bytes(gzip.compress(AS_CSV.encode()))
    (tmp_path / f"{name}.jsonl").write_text(AS_LINES)
    (tmp_path / "test.csv").write_text("text,label\nof another day,no\n")
    data = load_data(str(tmp_path))
    assert data.dev["dev"]["text"][:] == TEXTS


def test_two_evaluation_sets_are_not_chosen_between(tmp_path: Path) -> None:
    for name in ("train", "dev", "valid"):
        (tmp_path / f"{name}.csv").write_text(AS_CSV)
    with pytest.raises(UserError, match=r"one part named dev or .*, got dev.csv, valid.csv"):
        load_data(str(tmp_path))


def test_a_test_set_is_used_where_nothing_else_is_and_has_labels(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(AS_CSV * 1)
    (tmp_path / "test.csv").write_text("text,label\nof another day,no\n")
    data = load_data(str(tmp_path))
    assert data.dev["dev"]["text"][:] == ["of another day"]
    assert any("has no dev part, so evaluation is on 'test.csv'" in note for note in data.notes)
    (tmp_path / "test.csv").write_text("text\nof another day\n")  # as competitions give it
    assert any("held out" in note for note in load_data(str(tmp_path)).notes)


def saved_rows(texts: list[str]) -> Dataset:
    return Dataset.from_dict({"text": texts, "label": (LABELS * len(texts))[: len(texts)]})


def test_folders_that_datasets_wrote(tmp_path: Path) -> None:
    saved_rows(TEXTS).save_to_disk(tmp_path / "one")
    DatasetDict({"train": saved_rows(TEXTS), "validation": saved_rows(TEXTS[:2])}).save_to_disk(tmp_path / "both")
    data = load_data(str(tmp_path / "both"), unlabelled=[tmp_path / "one"])
    assert data.train is not None
    assert data.train["text"][:] == TEXTS * 2
    assert data.dev["dev"]["text"][:] == TEXTS[:2]
    assert load_data(str(tmp_path / "both"), dev="train").dev["dev"]["text"][:] == TEXTS
    assert load_data(str(tmp_path / "one"), dev=tmp_path / "one").dev["dev"]["text"][:] == TEXTS
    assert load_data(str(tmp_path / "one"), evaluation_only=True).dev["dev"]["text"][:] == TEXTS
    with pytest.raises(UserError, match="one data set, got the splits train, validation"):
        load_data(str(tmp_path / "one"), dev=tmp_path / "both")


def test_a_folder_of_saved_parts(tmp_path: Path) -> None:
    saved_rows(TEXTS).save_to_disk(tmp_path / "train")
    saved_rows(TEXTS[:2]).save_to_disk(tmp_path / "val")
    assert load_data(str(tmp_path)).dev["dev"]["text"][:] == TEXTS[:2]


@pytest.mark.parametrize("damage", ["state.json", "data-00000-of-00001.arrow"])
def test_a_damaged_folder_of_datasets(tmp_path: Path, damage: str) -> None:
    saved_rows(TEXTS).save_to_disk(tmp_path / "one")
    (tmp_path / "one" / damage).write_bytes(b"{")
    with pytest.raises(UserError, match=r"a data set that `save_to_disk` wrote"):
        load_data(str(tmp_path / "one"))


# ---- Corpora read with the same readers ----


@pytest.mark.parametrize("name", ["a.txt.gz", "a.txt.zst", "a.txt"])
def test_a_corpus_in_another_encoding_or_compressed(tmp_path: Path, name: str) -> None:
    packed(tmp_path / name, "\n".join(TEXTS).encode("utf-16"))
    assert [list(read_documents(file)) for file in find_files(tmp_path)] == [TEXTS]


@pytest.mark.parametrize("shape", ["semicolons", "an indented array", "CSV in gzip", "UTF-16 with a mark"])
def test_a_corpus_of_tables_in_every_shape(tmp_path: Path, shape: str) -> None:
    name, content = SHAPES[shape]
    packed(tmp_path / name, content)
    (file,) = find_files(tmp_path)
    assert list(read_documents(file, column=find_column(file, None))) == TEXTS


def rows_of(path: Path, reading: Reading = PLAIN) -> Iterator[tuple[Any, ...]]:
    return FORMATS[path.suffix].rows(path, ["text"], reading)


@pytest.mark.parametrize("name", ["d.csv", "d.jsonl"])
def test_rows_are_streamed(tmp_path: Path, name: str) -> None:
    """The first rows come before an error at the end of the file."""
    lines = AS_CSV * 1 if name == "d.csv" else AS_LINES
    body = lines + (lines.split("\n", 1)[1] if name == "d.csv" else lines) * dialect.ROWS_AT_ONCE
    (tmp_path / name).write_text(body + ('"open' if name == "d.csv" else "{"))
    rows = rows_of(tmp_path / name)
    assert [next(rows)[0] for _ in range(6)] == TEXTS
    with pytest.raises(UserError):
        list(rows)


# ---- Not a row, and not a header ----

OTHER_BEGINNINGS: dict[str, tuple[str, str, str]] = {
    "Excel's own first line": (
        "d.csv",
        "sep=;\r\n" + AS_CSV.replace(",", ";"),
        r"`sep=;`, which only Excel.*remove that line",
    ),
    "the same between tabs": ("d.tsv", "SEP=\t\n" + AS_CSV.replace(",", "\t"), r"which only Excel.*remove that line"),
    "JSON lines": ("d.csv", AS_LINES, r"got JSON\. What to do: rename it so that its name ends in \.json"),
    "a list of objects": (
        "d.csv",
        json.dumps([{"text": "a", "label": "b"}] * 2, indent=1),
        r"got JSON\..*ends in \.json",
    ),
    "JSON lines between tabs": ("d.tsv", AS_LINES, r"got JSON\..*ends in \.json"),
}


@pytest.mark.parametrize("beginning", OTHER_BEGINNINGS)
def test_a_file_whose_beginning_is_taken_for_its_header(tmp_path: Path, beginning: str) -> None:
    name, content, said = OTHER_BEGINNINGS[beginning]
    (tmp_path / name).write_bytes(content.encode())
    with pytest.raises(UserError, match=said):
        load_data(str(tmp_path / name))


@pytest.mark.parametrize("content", [AS_LINES, json.dumps([{"text": t, "label": one} for t, one in ROWS], indent=1)])
def test_a_file_of_json_that_cannot_be_read_once_it_is_renamed(tmp_path: Path, content: str) -> None:
    (tmp_path / "d.json").write_text(content)
    assert read(tmp_path / "d.json")[:2] == (TEXTS, LABELS)


@pytest.mark.parametrize("text", ['{""a"": 1}', "[so it goes]", "sep=;and more", '[{""a"": 1}, {}]'])
def test_a_text_that_is_taken_for_json_or_for_excels_line(tmp_path: Path, text: str) -> None:
    rows = "".join(f'"{text}",{label}\n' for label in LABELS)
    (tmp_path / "d.csv").write_text(rows)
    texts, labels, _ = read(tmp_path / "d.csv", header=False, text_column="1", label_column="2")
    assert labels == LABELS
    assert set(texts) == {text.replace('""', '"')}
