"""Words with tags: the files that people keep them in, and where tokens begin them."""

from __future__ import annotations

import json

import datasets
import numpy as np
import pytest

from codir import UserError
from codir.data import (
    POSITIONS,
    DistillationCollator,
    RowCollator,
    count_unread,
    encode,
    from_datasets,
    load_data,
    mask_unread,
    words_of_tokens,
)
from codir.data.sources.formats import TAGGED
from codir.data.words import positions_of
from codir.tasks import IGNORED_CLASS
from vocabularies import byte_level, next_token, sentence_piece, word_piece

TASK = "token_classification"
CONLL = """-DOCSTART- -X- -X- O

Lufthansa NNP I-NP B-ORG
serves VBZ I-VP O
Danish JJ I-NP B-MISC

Ada NNP I-NP B-PER
Lovelace NNP I-NP I-PER
"""


def rows_of(path, **settings) -> tuple[list[list[str]], list[list[str]]]:
    """Words and tags of a file that is its own evaluation set."""
    data = load_data(str(path), dev=str(path), **settings)
    names = data.task.id2label
    return data.train["words"][:], [[names[index] for index in row] for row in data.train["label"]]


EXPECTED = (
    [["Lufthansa", "serves", "Danish"], ["Ada", "Lovelace"]],
    [["B-ORG", "O", "B-MISC"], ["B-PER", "I-PER"]],
)


@pytest.mark.parametrize("ending", [*sorted({*TAGGED} - {".conllu"}), ".txt", ".testa"])
@pytest.mark.parametrize(
    "written",
    [
        CONLL,
        CONLL.replace(" ", "\t"),
        CONLL.replace("\n", "\r\n"),
        CONLL.replace("\n\n", "\n   \n\n\n"),
        CONLL.rstrip("\n"),
        "\ufeff" + CONLL.replace("Lufthansa NNP", "# id 7\nLufthansa NNP"),
    ],
    ids=["spaces", "tabs", "windows", "blank lines", "no end", "comment"],
)
def test_a_file_of_words_and_tags_that_is_read_otherwise(tmp_path, ending, written):
    (tmp_path / f"train{ending}").write_bytes(written.encode())
    assert rows_of(tmp_path / f"train{ending}", task=TASK) == EXPECTED


def test_a_hash_that_is_a_word_taken_for_a_comment(tmp_path):
    (tmp_path / "a.conll").write_text("# O\nnlp B-X\n\nso O\n")
    assert rows_of(tmp_path / "a.conll")[0] == [["#", "nlp"], ["so"]]


def test_a_treebank_whose_parts_of_speech_are_not_found(tmp_path):
    lines = [
        "# sent_id = 1",
        "1-2\tIt's\t_\t_\t_\t_\t_\t_\t_\t_",
        "1\tIt\tit\tPRON\tPRP\t_\t2\tnsubj\t_\t_",
        "2\t's\tbe\tAUX\tVBZ\t_\t0\troot\t_\t_",
        "",
        "1\t#\t#\tSYM\t_\t_\t_\t_\t_\t_",
    ]
    (tmp_path / "a.conllu").write_text("\n".join(lines))
    assert rows_of(tmp_path / "a.conllu") == ([["It", "'s"], ["#"]], [["PRON", "AUX"], ["SYM"]])
    assert load_data(str(tmp_path / "a.conllu"), dev=str(tmp_path / "a.conllu")).task.metrics[0] == "token_accuracy"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Lufthansa B-ORG\nLondon\n", "a word and its tag on each line, got 1 at line 2: 'London'"),
        ("Lufthansa NNP B-ORG\nNew York NNP B-LOC\n", "3 cells on each line, as on the first, got 4 at line 2"),
        ("\n\n", "a row with a word, got none"),
        ("Lufthansa O\nLondon O\n", "at least two different tags, got 'O'"),
    ],
)
def test_a_broken_file_of_words_that_is_read_nevertheless(tmp_path, written, said):
    (tmp_path / "a.conll").write_text(written)
    with pytest.raises(UserError, match="expected " + said):
        load_data(str(tmp_path / "a.conll"), dev=str(tmp_path / "a.conll"), task=TASK)


def test_columns_between_word_and_tag_that_cannot_be_had(tmp_path):
    (tmp_path / "a.conll").write_text(CONLL)
    tags = rows_of(tmp_path / "a.conll", task=TASK, label_column="2")[1]
    assert tags == [["NNP", "VBZ", "JJ"], ["NNP", "NNP"]]


def write_lines(path, rows) -> str:
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return str(path)


@pytest.mark.parametrize("names", [("tokens", "ner_tags"), ("words", "tags"), ("tokens", "labels")])
def test_lists_of_words_and_tags_that_are_not_found_by_themselves(tmp_path, names):
    rows = [dict(zip(names, row, strict=True)) for row in zip(*EXPECTED, strict=True)]
    assert rows_of(write_lines(tmp_path / "a.jsonl", rows)) == EXPECTED


def test_rows_without_tags_that_are_lost_or_learnt_from(tmp_path):
    some = {"tokens": ["a", "b"], "tags": ["O", "B-X"]}
    rows = [{"tokens": ["c"], "tags": None}, some, {"tokens": ["d", "e"], "tags": [None, None]}, some, some]
    (tmp_path / "more.txt").write_text("f\ng\n\nh\n")
    file = write_lines(tmp_path / "a.jsonl", rows)
    data = load_data(file, dev=file, unlabelled=[tmp_path / "more.txt"], task=TASK)
    assert data.train["words"][:] == [["a", "b"]] * 3 + [["c"], ["d", "e"], ["f", "g"], ["h"]]
    assert data.num_unlabelled == 4
    assert not any(index != IGNORED_CLASS for row in data.train["label"][3:] for index in row)
    assert len(data.dev["dev"]) == 3
    assert any("2 rows without a tag are left out" in note for note in data.notes)


def test_a_word_without_a_tag_that_counts_as_one(tmp_path):
    file = write_lines(tmp_path / "a.jsonl", [{"tokens": ["a", "b", "c"], "tags": ["O", -100, "B-X"]}] * 3)
    data = load_data(file, dev=file)
    assert data.train["label"][0] == [0, IGNORED_CLASS, 1]
    assert any("3 words without a tag do not count" in note for note in data.notes)


@pytest.mark.parametrize(("tags", "known"), [([0, -1, 2, 1], 3), (["0", "-1", "2", "1"], 3), ([0, -1, 1, 1], 2)])
def test_minus_one_that_becomes_a_tag(tmp_path, tags, known):
    """It stands for none beside the places of three classes or more; beside two it may be a third."""
    file = write_lines(tmp_path / "a.jsonl", [{"tokens": ["a", "b", "c", "d"], "tags": tags}] * 3)
    data = load_data(file, dev=file)
    assert data.task.num_labels == 3
    assert (data.train["label"][0][1] == IGNORED_CLASS) == (known == 3)
    assert any("3 words have no tag, since -1 stands for none" in note for note in data.notes) == (known == 3)


@pytest.mark.parametrize(("options", "judged"), [({}, [0, -1, 1]), ({"labels": ["O", "X", "Y"]}, [-1, 0, -1])])
def test_minus_one_that_is_a_tag_in_one_table_alone(tmp_path, options, judged):
    """What it stands for is seen in all tables together."""
    train = write_lines(
        tmp_path / "a.jsonl", [{"tokens": ["a", "b", "c"], "tags": tags} for tags in ([0, 1, 2], [0, -1, 1])]
    )
    dev = write_lines(tmp_path / "b.jsonl", [{"tokens": ["a", "b", "c"], "tags": judged}])
    data = load_data(train, dev=dev, **options)
    assert data.task.num_labels == 3
    assert data.dev["dev"]["label"][0] == [IGNORED_CLASS if tag == -1 else tag for tag in judged]


def test_minus_one_that_moves_the_places_of_a_models_tags(tmp_path):
    file = write_lines(tmp_path / "a.jsonl", [{"tokens": ["a", "b", "c"], "tags": [0, -1, 1]}])
    known = {"model_names": ["O", "X"], "num_labels": 2}
    data = load_data(file, dev=None, evaluation_only=True, **known)
    assert next(iter(data.dev.values()))["label"][0] == [0, IGNORED_CLASS, 1]


def test_names_of_classes_that_are_lost_in_lists(tmp_path):
    names = datasets.List(datasets.ClassLabel(names=["O", "B-X", "I-X"]))
    features = datasets.Features({"tokens": datasets.List(datasets.Value("string")), "ner_tags": names})
    rows = datasets.Dataset.from_dict(
        {"tokens": [["a", "b"], ["c"], []] * 4, "ner_tags": [[0, 1], [2], []] * 4}, features
    )
    rows.to_parquet(tmp_path / "rows.parquet")
    rows.save_to_disk(tmp_path / "rows")
    of_object = from_datasets(rows, rows)
    for data in (of_object, load_data(str(tmp_path / "rows.parquet")), load_data(str(tmp_path / "rows"))):
        assert data.task.label_names == ("O", "B-X", "I-X")
        assert any("4 rows without a word are left out" in note for note in data.notes)
    assert of_object.train["label"][:2] == [[0, 1], [2]]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"tokens": ["a", "b"], "tags": ["O"]}, "expected 2 tags, one for each word, got 1 tags for 2 words"),
        ({"tokens": "a b", "tags": ["O", "B-X"]}, "expected a list of words, got 'a b'"),
        ({"tokens": ["a", None], "tags": ["O", "B-X"]}, "expected a text, got no value"),
        ({"tokens": ["a", "b"], "tags": "O B-X"}, "expected 2 tags, one for each word, got 'O B-X'"),
    ],
)
def test_a_row_whose_tags_would_go_to_other_words(tmp_path, row, said):
    file = write_lines(tmp_path / "a.jsonl", [{"tokens": ["a", "b"], "tags": ["O", "B-X"]}, row])
    with pytest.raises(UserError, match="row 2.*" + said):
        load_data(file, dev=file, task=TASK)


def test_tags_that_training_did_not_have(tmp_path):
    train = write_lines(tmp_path / "a.jsonl", [{"tokens": ["a", "b"], "tags": ["O", "B-X"]}] * 3)
    dev = write_lines(tmp_path / "b.jsonl", [{"tokens": ["a"], "tags": ["B-Y"]}])
    with pytest.raises(UserError, match=r"b.jsonl, row 1: expected tags known from training: 'O', 'B-X', got 'B-Y'"):
        load_data(train, dev=dev)


def test_tags_that_stand_in_another_order_in_the_model(tmp_path):
    file = write_lines(tmp_path / "a.jsonl", [{"tokens": ["a", "b"], "tags": ["O", "B-X"]}] * 3)
    data = load_data(file, dev=file, model_names=["I-X", "B-X", "O"], num_labels=3)
    assert data.task.label_names == ("I-X", "B-X", "O")
    assert data.train["label"][0] == [2, 1]


# ---- Tokens ----


@pytest.mark.parametrize("made", [word_piece, byte_level, sentence_piece, next_token])
def test_a_word_that_begins_at_another_words_token(made):
    reader = made()
    words = ["newer", "low", "wide", "lowest", "new"]
    text = " ".join(words)
    encoded = encode(datasets.Dataset.from_dict({"words": [words]}), reader, max_length=64)
    offsets = reader(text, return_offsets_mapping=True)["offset_mapping"]
    start = 0
    for word, place in zip(words, encoded[0][POSITIONS], strict=True):
        begin, end = offsets[place]
        assert begin in (start, start - 1)  # some count the space before a word
        assert start < end <= start + len(word)
        start += len(word) + 1


def test_positions_that_are_not_those_of_the_library(tokenizer):
    rng = np.random.default_rng(0)
    rows = [
        [f"w{rng.integers(0, 95)}" + "," * int(rng.integers(0, 2)) for _ in range(rng.integers(1, 9))]
        for _ in range(50)
    ]
    encoded = encode(datasets.Dataset.from_dict({"words": rows}), tokenizer, max_length=10)
    for words, found in zip(rows, encoded[POSITIONS], strict=True):
        ids = tokenizer(words, is_split_into_words=True, truncation=True, max_length=10).word_ids()
        assert found == [ids.index(word) if word in ids else -1 for word in range(len(words))]


def test_words_without_a_token_that_are_learnt_from_or_not_counted(tokenizer):
    rows = {"words": [["w1", "\u200b", "", "w2", "w3", "w4"]], "label": [[0, 1, 1, 0, 1, 1]]}
    encoded = encode(datasets.Dataset.from_dict(rows), tokenizer, max_length=5)
    assert [place >= 0 for place in encoded[0][POSITIONS]] == [True, False, False, True, True, False]
    assert encoded[0]["truncated"]
    assert count_unread(encoded) == 3
    assert mask_unread(encoded)[0]["labels"] == [0, IGNORED_CLASS, IGNORED_CLASS, 0, 1, IGNORED_CLASS]


def test_no_word_at_all():
    assert positions_of([], [(0, 0)]) == []
    assert positions_of(["a"], []) == [-1]


def test_rows_that_were_tokenised_elsewhere_with_a_label_for_each_token(tokenizer):
    rows = datasets.Dataset.from_dict({"input_ids": [[2, 7, 8, 9, 3]], "labels": [[-100, 1, -100, 0, -100]]})
    assert words_of_tokens(rows)[0][POSITIONS] == [1, 3]
    assert words_of_tokens(rows)[0]["labels"] == [1, 0]
    with pytest.raises(UserError, match="a label for each token"):
        words_of_tokens(datasets.Dataset.from_dict({"input_ids": [[2, 7, 3]], "labels": [[1]]}))


def test_a_slow_tokenizer_that_does_not_say_where_words_begin(tokenizer):
    class Slow:
        is_fast = False

        def num_special_tokens_to_add(self, pair):
            return 2

    with pytest.raises(UserError, match="a fast one"):
        encode(datasets.Dataset.from_dict({"words": [["a"]]}), Slow(), max_length=8)


def numbered(path, labels=((3, 4), (0, 1)), **more) -> str:
    """Tags as the numbers that `datasets` keeps, without their names."""
    rows = [{"tokens": ["Ada", "York"], "ner_tags": list(row), **more} for row in labels]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows * 4))
    return str(path)


NUMBERED_NAMES = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")


def test_numbers_of_tags_that_no_name_can_be_given(tmp_path):
    path = numbered(tmp_path / "train.jsonl")
    data = load_data(path, dev=path, labels=NUMBERED_NAMES)
    assert data.task.label_names == NUMBERED_NAMES
    assert data.task.metrics[0] == "entity_f1"
    assert data.train["label"][:2] == [[3, 4], [0, 1]]
    with pytest.raises(UserError, match="'4'"):
        load_data(path, dev=path, labels=NUMBERED_NAMES[:3])


def test_numbers_of_tags_that_a_model_with_names_is_not_judged_by_entities_on(tmp_path):
    path = numbered(tmp_path / "train.jsonl")
    data = load_data(path, dev=path, model_names=NUMBERED_NAMES, num_labels=5)
    assert data.task.label_names == NUMBERED_NAMES
    assert data.train["label"][:2] == [[3, 4], [0, 1]]


def test_numbers_of_tags_without_names_in_silence(tmp_path):
    path = numbered(tmp_path / "train.jsonl")
    assert any("--labels O,B-PER,..." in note for note in load_data(path, dev=path).notes)


@pytest.mark.parametrize(
    ("name", "written", "advice"),
    [
        ("train.tsv", "Ada\tB-PER\nLovelace\tI-PER\n\nYork\tB-LOC\n", "call the file `.conll`"),
        ("train.csv", "tokens,tags\n\"['Ada', 'York']\",\"['B-PER', 'B-LOC']\"\n", "as JSON lines or Parquet"),
        ("train.jsonl", '{"text": "Ada in York", "entities": [[0, 3, "PER"]]}\n', "split into words with a tag each"),
    ],
    ids=["words in cells", "lists in cells", "spans"],
)
def test_words_in_a_form_that_cannot_be_read_without_a_way_out(tmp_path, name, written, advice):
    (tmp_path / name).write_text(written)
    with pytest.raises(UserError) as caught:
        load_data(str(tmp_path / name), task=TASK)
    assert advice in str(caught.value)


def test_spans_that_are_taken_for_several_labels(tmp_path):
    (tmp_path / "train.jsonl").write_text('{"text": "Ada in York", "label": [[0, 3, "PER"]]}\n')
    with pytest.raises(UserError, match="turn spans into lists `tokens` and `tags`"):
        load_data(str(tmp_path / "train.jsonl"))


def test_a_word_with_a_space_of_its_own_that_is_read_as_two_cells(tmp_path):
    (tmp_path / "rows.conll").write_text("10\u00a0000 B-NUM\nEuro  O\n\nAda B-PER\n", encoding="utf-8")
    words, tags = rows_of(tmp_path / "rows.conll")
    assert words == [["10\u00a0000", "Euro"], ["Ada"]]
    assert tags == [["B-NUM", "O"], ["B-PER"]]


@pytest.mark.parametrize("side", ["right", "left"])
def test_words_that_are_read_off_the_padding_before_them(side):
    """Decoders' tokenizers pad at the left."""
    tokenizer = word_piece()
    tokenizer.padding_side = side
    rows = datasets.Dataset.from_dict({"words": [["wide"], ["newer", "lowest", "wide", "low"], []]})
    encoded = encode(rows, tokenizer, max_length=32)
    alone = [
        [row["input_ids"][place] for place in row[POSITIONS]]
        for row in encoded.select_columns(["input_ids", POSITIONS])
    ]
    batches = (
        RowCollator(encoded, tokenizer, words=True)([0, 1, 2]),
        DistillationCollator(tokenizer)([encoded[row] for row in range(3)]),
    )
    for batch in batches:
        found = [
            [int(batch["input_ids"][row, place]) for place in places if place >= 0]
            for row, places in enumerate(batch[POSITIONS].tolist())
        ]
        assert found == alone
