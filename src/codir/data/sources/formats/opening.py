"""The text of a file, whatever its compression and its encoding; a byte that does not fit is named with its line.

Compressed files are streamed: nothing is unpacked but what is being read. Knows nothing of what the text means.
"""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TextIO, cast

import pyarrow as pa

from codir.data.sources.formats.reading import broken
from codir.errors import of_files

COMPRESSIONS = {".gz": "gzip", ".zst": "Zstandard"}
"""By the last ending of a file's name."""

MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Byte order marks and the encodings that drop them; those of UTF-32 begin like those of UTF-16."""

OTHER_FILES = {
    b"\x1f\x8b": "a file compressed with gzip: let its name end in .gz",
    b"\x28\xb5\x2f\xfd": "a file compressed with Zstandard: let its name end in .zst",
    b"PK\x03\x04": "a zip archive or a spreadsheet: unpack it, or save the sheet as CSV",
    b"PAR1": "a Parquet file: let its name end in .parquet",
}
"""First bytes of files that are not text, and what to do with them."""

HEAD = 4096
"""Bytes that are looked at to find an encoding."""


@dataclass(frozen=True)
class Encoding:
    """The encoding of one file, and what the user should hear about it."""

    name: str
    notes: tuple[str, ...] = ()


def ending_of(path: Path) -> str:
    """The ending that names the format, in lower case: `.csv` of `reviews.CSV.gz`.

    Example:
        >>> ending_of(Path("reviews.CSV.gz")), ending_of(Path("reviews.tsv")), ending_of(Path("reviews.gz"))
        ('.csv', '.tsv', '')
    """
    return Path(path.stem).suffix.lower() if path.suffix.lower() in COMPRESSIONS else path.suffix.lower()


def stem_of(path: Path) -> str:
    """The name without the endings of format and compression."""
    return Path(path.stem).stem if path.suffix.lower() in COMPRESSIONS else path.stem


@contextmanager
def open_text(path: Path, encoding: str, *, newline: str | None = None) -> Iterator[TextIO]:
    """Open a file as text.

    Raises:
        UserError: a byte that the encoding does not have, or a compressed file that is damaged.
    """
    try:
        with open_bytes(path) as stream, io.TextIOWrapper(stream, encoding=encoding, newline=newline) as text:
            yield text
    except UnicodeError as error:
        raise _wrong_encoding(path, encoding, error) from error


@contextmanager
def open_bytes(path: Path) -> Iterator[io.BufferedReader]:
    """Open a file, unpacked as it is read where it is compressed; damage is a `UserError`."""
    compression = COMPRESSIONS.get(path.suffix.lower())
    try:
        with _unpacked(path) as stream:
            yield cast(io.BufferedReader, stream)
    except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
        if found := of_files(error, path):
            raise found from error
        if compression is None:
            raise
        raise broken(path, f"a whole file compressed with {compression}", str(error), "copy the file again") from error


def _unpacked(path: Path) -> IO[bytes]:
    if path.suffix.lower() == ".gz":
        return cast(IO[bytes], gzip.open(path))
    if path.suffix.lower() == ".zst":
        packed = pa.CompressedInputStream(pa.PythonFile(path.open("rb"), mode="r"), "zstd")
        return io.BufferedReader(cast(io.RawIOBase, packed))
    return path.open("rb")


# ---- Which encoding ----


def find_encoding(path: Path, given: str | None = None) -> Encoding:
    """Find the encoding of a text file: that of its byte order mark, the given one, UTF-16 by its pattern, or UTF-8.

    Raises:
        UserError: the file is no text.
    """
    with open_bytes(path) as stream:
        head = stream.read(HEAD)
    for first, what in OTHER_FILES.items():
        if head.startswith(first):
            raise broken(path, "a text file", what.split(":")[0], what.split(": ")[1])
    marked = next((name for mark, name in MARKS.items() if head.startswith(mark)), None)
    if marked is not None:
        return Encoding(marked, _note_mark(path, marked, given))
    if given is not None:
        return Encoding(given, _note_utf8(path, given))
    guessed = _utf16_by_pattern(head)
    if guessed is not None:
        return Encoding(
            guessed, (f"{path.name}: read as {guessed}, guessed from its bytes; `data.encoding` overrides",)
        )
    return Encoding("utf-8")


def _utf16_by_pattern(head: bytes) -> str | None:
    """Western text in UTF-16 has a zero in every second byte, and hardly one in the others."""
    even, odd = head[0::2], head[1::2]
    if len(odd) < 4:
        return None
    shares = even.count(0) / len(even), odd.count(0) / len(odd)
    if shares[0] < 0.05 and shares[1] > 0.4:
        return "utf-16-le"
    return "utf-16-be" if shares[1] < 0.05 and shares[0] > 0.4 else None


def _note_mark(path: Path, marked: str, given: str | None) -> tuple[str, ...]:
    if given is None or _family(given) == _family(marked):
        return ()
    return (f"{path.name}: its byte order mark says {_family(marked)}, so it is not read as {given}",)


def _family(name: str) -> str:
    """UTF-8, UTF-16 or UTF-32 for each of their forms; any other encoding as Python writes it."""
    plain = codecs.lookup(name).name
    return next((family for family in ("utf-8", "utf-16", "utf-32") if plain.startswith(family)), plain)


def _note_utf8(path: Path, given: str) -> tuple[str, ...]:
    """Whoever reads UTF-8 as something else gets two or three odd letters for one, and no error."""
    if _family(given).startswith("utf-"):
        return ()
    decoder, has_letters = codecs.getincrementaldecoder("utf-8")(), False
    with open_bytes(path) as stream:
        try:
            while chunk := stream.read(1 << 20):
                has_letters = has_letters or not chunk.isascii()
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return ()
    note = (
        f"{path.name}: read as {given}, as `data.encoding` says, although all of it is valid UTF-8; look at its letters"
    )
    return (note,) if has_letters else ()


# ---- What to say of a byte that does not fit ----


def _wrong_encoding(path: Path, encoding: str, error: UnicodeError) -> Exception:
    shown = "UTF-8" if _family(encoding) == "utf-8" else encoding
    number, line = _first_bad_line(path, encoding)
    if number is None:
        return broken(path, f"text in {shown}", str(error), "name its encoding with `--encoding`")
    likely = _likely_encoding(line)
    if _family(encoding) == likely or likely is None:
        do = "name its encoding with `--encoding`: cp1251 for Cyrillic, gb18030 for Chinese, shift_jis for Japanese"
        return broken(path, f"text in {shown}", f"a byte that is not, at line {number}", do)
    where = f"a byte that is not, at line {number}, which reads {_around(line, likely)!r} in {likely}"
    return broken(path, f"text in {shown}", where, f"if that is right, give `--encoding {likely}`, or save it in UTF-8")


def _first_bad_line(path: Path, encoding: str) -> tuple[int | None, bytes]:
    """Where the error is; encodings of two and four bytes have no lines of bytes."""
    if _family(encoding) in ("utf-16", "utf-32"):
        return None, b""
    with open_bytes(path) as stream:
        for number, line in enumerate(stream, start=1):
            try:
                line.decode(encoding)
            except UnicodeError:
                return number, line
    return None, b""


def _likely_encoding(line: bytes) -> str | None:
    """UTF-8 where it fits, cp1252 where letters with accents are few; `None` where most letters are not ASCII."""
    letters = [byte for byte in line if byte > 127 or chr(byte).isalpha()]
    if 2 * sum(byte > 127 for byte in letters) > len(letters):
        return None
    for candidate in ("utf-8", "cp1252", "latin-1"):
        try:
            line.decode(candidate)
        except UnicodeDecodeError:
            continue
        return candidate
    return None  # pragma: no cover - latin-1 has every byte


def _around(line: bytes, encoding: str) -> str:
    """A few letters before and after the first that is not ASCII."""
    text = line.decode(encoding).strip()
    place = next((place for place, letter in enumerate(text) if not letter.isascii()), 0)
    return text[max(0, place - 20) : place + 20]
