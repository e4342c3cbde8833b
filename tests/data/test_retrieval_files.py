"""Queries and documents: how many documents are relevant to each query of the rows that are judged."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from codir.data import load_data
from codir.errors import UserError
from codir.tasks import KINDS


def write(path: Path, rows: list[tuple[str, str, float]]) -> str:
    path.write_text(
        "query,document,score\n" + "".join(f"{query},{document},{score}\n" for query, document, score in rows)
    )
    return str(path)


def test_a_document_that_is_listed_twice_and_counts_twice(tmp_path):
    rows = [("q1", "d1", 1), ("q1", "d2", 0), ("q1", "d1", 1), ("q2", "d2", 0), ("q2", "d2", 1)]
    data = load_data(write(tmp_path / "rows.csv", rows), task="embedding", evaluation_only=True)
    found = [(row["text"], row["text_pair"], row["label"]) for row in data.dev["dev"]]
    assert found == [("q1", "d1", 1.0), ("q1", "d2", 0.0), ("q2", "d2", 1.0)]
    assert list(data.row_numbers["dev"]) == [1, 2, 4]
    assert "rows.csv: 2 rows repeat a query with its document, which count once" in data.notes
    labels = np.array(data.dev["dev"]["label"])
    assert KINDS["retrieval"].own_metrics["ndcg@10"](np.array([2.0, 1.0, 1.0]), labels) == pytest.approx(
        (1 / np.log2(3) + 1) / 2
    )


def test_held_out_rows_that_count_the_documents_of_those_that_stay(tmp_path):
    rows = [(f"q{query}", f"d{query}{number}", 1) for query in range(10) for number in range(5)]
    data = load_data(write(tmp_path / "rows.csv", rows), task="embedding", dev_fraction=0.4, tune_rows=10)
    for part in data.dev.values():
        counts = Counter(part["text"])
        assert [row["label"] for row in part] == [counts[row["text"]] for row in part]
        assert KINDS["retrieval"].own_metrics["recall@10"](np.ones(len(part)), np.array(part["label"])) == 1.0


def test_rows_without_a_relevant_document(tmp_path):
    with pytest.raises(UserError, match="expected a document that is relevant, got none"):
        load_data(write(tmp_path / "rows.csv", [("q1", "d1", 0)]), task="embedding", evaluation_only=True)
