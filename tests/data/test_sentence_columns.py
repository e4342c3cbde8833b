"""Which columns hold sentences to learn from, and pairs to judge by, where someone names them."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from codir.data import load_data
from codir.errors import UserError

TASK = "embedding"


def write(path: Path, head: str, *rows: str) -> str:
    path.write_text("\n".join([head, *rows]) + "\n")
    return str(path)


def test_a_score_of_the_pairs_that_sentences_are_asked_for(tmp_path):
    train = write(tmp_path / "train.csv", "text", "a b", "c d")
    dev = write(tmp_path / "dev.tsv", "sentence1\tsentence2\tsimilarity", "a\tb\t0.5", "c\td\t4")
    data = load_data(train, dev=dev, unlabelled=[train], task=TASK, label_column="similarity")
    assert data.train["text"][:] == ["a b", "c d"]
    assert data.dev["dev"]["label"][:] == [0.5, 4.0]


@pytest.mark.parametrize(
    ("name", "content"),
    [("train.txt", "a b\nc d\n"), ("train.csv", "text\na b\nc d\n"), ("train.csv", "one\na b\nc d\n")],
)
def test_texts_of_the_pairs_that_sentences_are_asked_for(tmp_path, name, content):
    """`--text-column` and `--text-pair-column` name the columns of the evaluation set."""
    (tmp_path / name).write_text(content)
    train = str(tmp_path / name)
    dev = write(tmp_path / "dev.csv", "one,two,score", "a,b,0.5", "c,d,4")
    data = load_data(train, dev=dev, unlabelled=[train], task=TASK, text_column="one", text_pair_column="two")
    assert data.train["text"][:] == ["a b", "c d"]
    assert data.dev["dev"]["text_pair"][:] == ["b", "d"]


def test_second_texts_of_training_pairs_left_out_in_silence(tmp_path):
    train = write(tmp_path / "train.csv", "text,text_pair", "a b,c d")
    dev = write(tmp_path / "dev.csv", "one,two,score", "a,b,0.5", "c,d,4")
    data = load_data(train, dev=dev, task=TASK, text_column="one", text_pair_column="two")
    assert data.train["text"][:] == ["a b", "c d"]
    with pytest.raises(UserError, match="expected a column 'one'"):
        load_data(write(tmp_path / "other.csv", "three", "a b"), dev=dev, task=TASK, text_column="one")


def test_negatives_of_triples_left_out_in_silence(tmp_path):
    train = write(
        tmp_path / "train.csv", "anchor,positive,negative_1,hard negative,is_negative", "a,b,c,c,0", "d,e,f,f,1"
    )
    dev = write(tmp_path / "dev.csv", "text,text_pair,score", "a,b,0.5", "c,d,4")
    data = load_data(train, dev=dev, task=TASK)
    assert data.train["text"][:] == ["a", "b", "d", "e"]
    left = "'negative_1', 'hard negative'"  # a flag is no text
    assert f"train.csv: {left} not read: sentences are taken from 'anchor' and 'positive'" in data.notes


def test_pairs_with_a_score_of_another_name_without_a_way_out(tmp_path):
    train = write(tmp_path / "train.csv", "text", "a b", "c d")
    dev = write(tmp_path / "dev.tsv", "sentence1\tsentence2\tsimilarity", "a\tb\t0.5")
    with pytest.raises(UserError, match="`--label-column`"):
        load_data(train, dev=dev, task=TASK)
    with pytest.raises(UserError, match="expected a column 'similarity'"):  # held-out rows of it are judged by
        load_data(train, task=TASK, label_column="similarity")


@pytest.mark.parametrize("ending", [".txt", ".txt.gz"])
def test_a_list_of_sentences_that_is_no_table(tmp_path, ending):
    """One on each line: commas and quotes are letters, blank lines are nothing."""
    text = 'a "b", c\n\n d e \nf\n'
    file = tmp_path / f"train{ending}"
    file.write_bytes(gzip.compress(text.encode()) if ending.endswith("gz") else text.encode())
    dev = write(tmp_path / "dev.csv", "text,text_pair,score", "a,b,0.5", "c,d,4")
    data = load_data(str(file), dev=dev, unlabelled=[str(file)], task=TASK)
    assert data.train["text"][:] == ['a "b", c', "d e", "f"]


@pytest.mark.parametrize(
    ("text", "message"),
    [("a\nb\tc\t1\n", "cells between tabs, in line 2"), ("\n \n", "expected a text on each line, got no text")],
)
def test_lines_that_are_no_sentences(tmp_path, text, message):
    (tmp_path / "train.txt").write_text(text)
    with pytest.raises(UserError, match=message):
        load_data(str(tmp_path / "train.txt"), task=TASK)
    with pytest.raises(UserError, match="expected one of the endings"):
        load_data(str(tmp_path / "train.txt"))
