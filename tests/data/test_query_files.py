"""Reading queries and candidates: columns, groups, and splits that keep a query whole."""

from __future__ import annotations

import json

import datasets
import numpy as np
import pytest

from codir.data import labels_of, load_data, with_groups
from codir.data.sources.split import hold_out_groups
from codir.errors import UserError
from codir.tasks import KINDS

QUERIES, CANDIDATES = 20, 4


def rows(**names: str) -> list[dict[str, object]]:
    """Candidates of all queries in turns, under the names of these columns."""
    columns = {"query": "query", "candidate": "document", "score": "score", "id": "query_id"} | names
    found = [
        {
            columns["query"]: f"query {query}",
            columns["candidate"]: f"candidate {number} of {query}",
            columns["score"]: (query + number) % 3,
            columns["id"]: f"q{query}",
        }
        for number in range(CANDIDATES)
        for query in range(QUERIES)
    ]
    return [{name: value for name, value in row.items() if name} for row in found]


def write(path, content) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in content))
    return str(path)


@pytest.mark.parametrize(
    "names",
    [
        {},
        {"candidate": "passage"},
        {"candidate": "text"},
        {"query": "text", "candidate": "text_pair", "score": "label", "id": "qid"},
    ],
    ids=["document", "passage", "text", "plain"],
)
def test_columns_of_rerankers_that_are_not_found(tmp_path, names):
    data = load_data(write(tmp_path / "rows.jsonl", rows(**names)), task="reranking")
    assert data.task.kind == "reranking"
    assert data.task.metrics == ("ndcg@10", "mrr")
    first = data.train[0]
    assert first["text"].startswith("query")
    assert first["text_pair"].startswith("candidate")
    assert len(first["label"]) == 2


@pytest.mark.parametrize("id_column", ["query_id", ""], ids=["by id", "by text"])
def test_a_query_that_is_in_train_and_dev(tmp_path, id_column):
    source = write(tmp_path / "rows.jsonl", rows(id=id_column))
    data = load_data(source, task="reranking", heldout_rows=8, max_train_rows=24, unlabelled_rows=12)
    sets = {"train": data.train, **data.dev}
    queries = {name: {text.split()[1] for text in part["text"]} for name, part in sets.items()}
    for name, one in sets.items():
        assert len(one) == CANDIDATES * len(queries[name]), name
        numbers = {(text, label[1]) for text, label in zip(one["text"], one["label"], strict=True)}
        assert len(numbers) == len(queries[name])
    assert not queries["train"] & queries["dev"]
    assert not queries["train"] & queries["heldout"]
    assert not queries["dev"] & queries["heldout"]
    assert [len(part) for part in sets.values()] == [36, 8, 8]
    assert data.num_unlabelled == 12
    assert np.isnan([label[0] for label in data.train["label"][24:]]).all()
    assert any("by whole queries" in note for note in data.notes)


def test_a_query_of_two_tables_that_has_two_numbers(tmp_path):
    of_train, more = rows(), [{"query": "query 3", "document": "one more", "query_id": "q3"}]
    dev = write(tmp_path / "dev.jsonl", rows()[:5])
    data = load_data(
        write(tmp_path / "train.jsonl", of_train),
        dev=dev,
        task="reranking",
        unlabelled=[write(tmp_path / "more.jsonl", more)],
    )
    numbers = {label[1] for text, label in zip(data.train["text"], data.train["label"], strict=True) if "3" in text[6:]}
    assert data.train[len(data.train) - 1]["label"][1] == next(
        label[1] for text, label in zip(data.train["text"], data.train["label"], strict=True) if text == "query 3"
    )
    assert len(numbers) == 2  # queries 3 and 13


def test_groups_of_several_queries_that_nobody_hears_of(tmp_path):
    wrong = [{**row, "query_id": number % 7} for number, row in enumerate(rows())]
    notes = load_data(write(tmp_path / "rows.jsonl", wrong), task="reranking").notes
    assert any("7 queries have several texts" in note for note in notes)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"query_id": None}, {}, "row 3: expected the name or number of a query, got none"),
        ({"score": -1}, {}, "expected a relevance of 0 or more in evaluation rows, got -1"),
        ({}, {"group_column": "nothing"}, "expected a column 'nothing'"),
        ({}, {"group_column": "query_id", "task": "regression"}, "group_column: expected a task whose rows belong"),
        ({}, {"group_column": "document", "text_pair_column": "document"}, "expected a column of its own"),
    ],
    ids=["no id", "negative", "no column", "other task", "twice"],
)
def test_candidates_that_cannot_be_ranked(tmp_path, change, options, message):
    content = rows()
    content[2] |= change
    source = write(tmp_path / "rows.jsonl", content)
    options = {"task": "reranking", "evaluation_only": True} | options
    if options["task"] == "regression":
        options |= {"text_column": "query"}
    with pytest.raises(UserError, match=message):
        load_data(source, **options)


def test_a_single_query_that_is_held_out(tmp_path):
    source = write(tmp_path / "rows.jsonl", [row for row in rows() if row["query"] == "query 1"])
    with pytest.raises(UserError, match="expected at least two queries"):
        load_data(source, task="reranking")


def test_a_pair_that_is_missing(tmp_path):
    source = write(tmp_path / "rows.jsonl", rows(candidate=""))
    with pytest.raises(UserError, match="exactly one column named like document, passage, candidate"):
        load_data(source, task="reranking")


def test_rows_that_are_said_to_be_drawn_where_queries_are(tmp_path):
    source = write(tmp_path / "rows.jsonl", rows())
    data = load_data(source, task="reranking", heldout_rows=8, tune_rows=12, max_train_rows=30, unlabelled_rows=8)
    drawn = [note for note in data.notes if "seed 0" in note]
    assert len(drawn) == 5
    assert all("by whole queries, " in note for note in drawn), drawn
    plain = load_data(source, task="regression", text_column="document", label_column="score", max_train_rows=30)
    assert any("30 of 72 labelled rows, chosen with seed 0" in note for note in plain.notes), plain.notes


def test_groups_that_are_not_whole_or_all():
    groups = np.repeat(np.arange(10), 7).tolist()
    stay, aside = hold_out_groups(groups, 20, seed=1)
    assert sorted([*stay, *aside]) == list(range(70))
    assert len(aside) == 21
    assert not {groups[row] for row in stay} & {groups[row] for row in aside}
    assert hold_out_groups([0, 0, 1, 1], 4, seed=0)[1] in ([0, 1], [2, 3])
    assert hold_out_groups([0, 0], 1, seed=0) == ([0, 1], [])
    assert hold_out_groups(groups, 20, seed=1) == (stay, aside)
    assert hold_out_groups(groups, 20, seed=2) != (stay, aside)


def test_a_data_set_in_python_whose_groups_are_lost():
    content = {"text": ["b", "a", "b"], "text_pair": ["x", "y", "z"], "label": [1, 0, 2]}
    kind = KINDS["reranking"]
    by_text = with_groups(datasets.Dataset.from_dict(content), kind)
    assert by_text["label"][:] == [[1.0, 1.0], [0.0, 0.0], [2.0, 1.0]]
    by_column = with_groups(datasets.Dataset.from_dict({**content, "group": [7, 7, 8]}), kind)
    assert by_column["label"][:] == [[1.0, 0.0], [0.0, 0.0], [2.0, 1.0]]
    assert by_column.column_names == ["text", "text_pair", "label"]
    assert with_groups(by_column, kind) is by_column
    del content["label"]
    unlabelled = with_groups(datasets.Dataset.from_dict(content), kind)["label"][:]
    assert np.isnan([label[0] for label in unlabelled]).all()
    with pytest.raises(UserError, match="expected a column `group`"):
        with_groups(datasets.Dataset.from_dict({"input_ids": [[1]], "labels": [1.0]}), kind)
    other = datasets.Dataset.from_dict({"text": ["a"], "label": [1.0]})
    assert with_groups(other, KINDS["regression"]) is other


@pytest.mark.parametrize("groups", [["q1", "q1", "q2"], [100_000_001, 100_000_001, 100_000_002]], ids=["names", "high"])
def test_queries_in_python_that_are_refused_or_become_one(groups):
    content = {"text": ["b", "a", "b"], "text_pair": ["x", "y", "z"], "label": [1, 0, 2], "group": groups}
    kind = KINDS["reranking"]
    grouped = with_groups(datasets.Dataset.from_dict(content), kind)
    assert kind.units(labels_of(grouped, kind)).tolist() == [0, 0, 1]


@pytest.mark.parametrize("missing", ["group", "text"])
def test_rows_in_python_without_a_query(missing):
    content = {"text": ["b", "a"], "text_pair": ["x", "y"], "label": [1, 0], "group": [1, 2]}
    content[missing][1] = None
    if missing == "text":
        del content["group"]
    rows = datasets.Dataset.from_dict(content)
    with pytest.raises(UserError, match=f"data set, column '{missing}'"):
        with_groups(rows, KINDS["reranking"])
    assert with_groups(rows.select([0]), KINDS["reranking"])["label"][:] == [[1.0, 0.0]]  # what is left out counts not
    assert len(with_groups(rows.filter(lambda row: row[missing] is not None), KINDS["reranking"])) == 1


@pytest.mark.parametrize(
    ("row", "settings", "advice"),
    [
        ({"query": "q", "document": "d", "score": 1}, {}, "`--task reranking`"),
        ({"question": "q", "context": "c", "answers": {"text": [], "answer_start": []}}, {}, "question_answering`"),
        ({"query": "q", "docs": ["a", "b"], "labels": [1, 0]}, {"task": "reranking"}, "a row for each candidate"),
        ({"query": "q", "positive": "a", "negative": ["b"]}, {"task": "reranking"}, "a row for each candidate"),
    ],
    ids=["ranking", "questions", "lists", "positive and negative"],
)
def test_rows_of_another_task_or_form_without_a_way_out(tmp_path, row, settings, advice):
    with pytest.raises(UserError) as caught:
        load_data(write(tmp_path / "train.jsonl", [row] * 20), **settings)
    assert advice in str(caught.value)


def test_squad_without_its_task_that_is_to_be_saved_otherwise(tmp_path):
    article = {"title": "t", "paragraphs": [{"context": "c", "qas": []}]}
    (tmp_path / "train.json").write_text(json.dumps({"version": "v2.0", "data": [article]}))
    with pytest.raises(UserError, match="give `--task question_answering`"):
        load_data(str(tmp_path / "train.json"))


def test_questions_of_the_hub_taken_for_a_file_without_an_ending():
    with pytest.raises(UserError, match="to_parquet"):
        load_data("rajpurkar/squad", task="question_answering")


def test_files_that_number_their_queries_each_for_itself(tmp_path):
    """Candidates of two queries would have been one list."""
    content = [{**row, "query_id": int(str(row["query_id"])[1:])} for row in rows()]
    other = [{**row, "query": f"another {row['query']}"} for row in content]
    files = [write(tmp_path / f"{name}.jsonl", part) for name, part in (("train", content), ("more", other))]
    data = load_data(files[0], dev=files[0], unlabelled=[files[1]], task="reranking")
    texts_of: dict[float, set[str]] = {}
    for row in data.train:
        texts_of.setdefault(row["label"][1], set()).add(row["text"])
    assert len(texts_of) == 2 * QUERIES
    assert all(len(texts) == 1 for texts in texts_of.values())
