"""A text on each line, as lists of sentences are kept; blank lines are passed over.

Cells between tabs are refused: both texts of a pair would be read as one.
"""

from __future__ import annotations

from pathlib import Path

from codir.data.sources.formats.opening import find_encoding, open_text
from codir.data.sources.formats.reading import Reading, broken
from codir.data.sources.tables import Table


def read_lines(path: Path, reading: Reading) -> Table:
    """A table of one column, `text`.

    Raises:
        UserError: a line with a tab in it, or no text at all.
    """
    encoding, texts = find_encoding(path, reading.encoding), []
    with open_text(path, encoding.name) as stream:
        for number, line in enumerate(stream, start=1):
            text = line.strip()
            if "\t" in text:
                do = "call the file `.tsv`, and give it a header or `--no-header`"
                raise broken(path, "a text on each line", f"cells between tabs, in line {number}", do)
            if text:
                texts.append(text)
    if not texts:
        raise broken(path, "a text on each line", "no text", "check how the file was written")
    hint = "a `.txt` file has a text on each line and no more: write rows of more as CSV, TSV or JSON lines"
    return Table(path.name, {"text": texts}, notes=encoding.notes, hints=(hint,))
