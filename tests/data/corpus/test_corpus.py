"""A corpus from its source to the disk: prepared once, whole or not at all, the same for any number of processes."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import stat
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import datasets
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from transformers import BertTokenizer

from codir.data import build_negative_sampler, column_of, find_minilm, load_corpus, split_documents
from codir.data.corpus import build, load
from codir.errors import UserError
from codir.models import load_tokenizer
from codir.store import BUILDING, READING
from codir.store.folders import OWNER_NAME
from conftest import SPECIAL, WORDS, make_texts
from vocabularies import next_token


@pytest.fixture
def small_blocks(monkeypatch) -> None:
    """Many blocks of a corpus of tests."""
    monkeypatch.setattr(build, "BLOCK_CHARACTERS", 100)


def texts_of_words(rows: int, *, longest: int = 40) -> datasets.Dataset:
    return make_texts(rows, kind="none", shortest=2, longest=longest)


def prepared(source, tokenizer, tmp_path, **options) -> datasets.Dataset:
    return load_corpus(source, tokenizer, **{"max_length": 16, "cache_dir": tmp_path / "cache", **options})


def tokens_of_documents(corpus: datasets.Dataset, tokenizer) -> list[int]:
    special = set(tokenizer.all_special_ids)
    return [token for ids in corpus["input_ids"] for token in ids if token not in special]


# ---- Content ----


@pytest.mark.parametrize("packing", ["packed", "apart"])
@pytest.mark.usefixtures("small_blocks")
def test_text_that_is_lost_between_file_and_sequences(tokenizer, tmp_path, packing):
    texts = texts_of_words(100)
    corpus = prepared(texts, tokenizer, tmp_path, packing=packing)
    expected = tokenizer(texts["text"][:], add_special_tokens=False).input_ids
    assert sorted(tokens_of_documents(corpus, tokenizer)) == sorted(chain.from_iterable(expected))
    for row in corpus:
        ids = [token for token in row["input_ids"] if token not in tokenizer.all_special_ids]
        first = expected[row["document_id"]]
        stop = row["input_ids"][1:].index(tokenizer.sep_token_id)
        part = ids[:stop]  # up to the first separator it is the document that the sequence is named after
        assert any(first[start : start + stop] == part for start in range(len(first)))


@pytest.mark.usefixtures("small_blocks")
def test_numbers_and_lengths_that_do_not_fit_the_rows(tokenizer, tmp_path):
    corpus = prepared(texts_of_words(100), tokenizer, tmp_path)
    assert corpus["example_index"] == list(range(len(corpus)))
    assert corpus["length"] == [len(ids) for ids in corpus["input_ids"]]
    assert max(corpus["length"]) == 16
    assert corpus.cache_files, "memory-mapped"


@pytest.mark.parametrize("packing", ["packed", "apart"])
@pytest.mark.usefixtures("small_blocks")
def test_sequences_that_depend_on_the_number_of_processes(tokenizer, tmp_path, packing):
    texts = texts_of_words(60)
    one = prepared(texts, tokenizer, tmp_path, packing=packing)
    two = prepared(texts, tokenizer, tmp_path, packing=packing, cache_dir=tmp_path / "other", num_proc=2)
    assert one.to_dict() == two.to_dict()
    assert len(two) > 20


def test_short_documents_that_take_more_sequences_packed_than_apart(tokenizer, tmp_path):
    texts = texts_of_words(200, longest=6)
    apart = prepared(texts, tokenizer, tmp_path, packing="apart")
    packed = prepared(texts, tokenizer, tmp_path)
    assert len(apart) == 200
    assert len(packed) < 85
    assert np.mean(packed["length"][:]) > 12


def test_a_setting_of_the_tokenizers_file_that_cuts_or_pads_documents(tmp_path):
    """MiniLM's own file says to cut at 128 tokens and to pad to as many."""
    tokenizer = load_tokenizer(find_minilm())
    texts = datasets.Dataset.from_dict({"text": ["word " * 1000, "short one"]})
    corpus = prepared(texts, tokenizer, tmp_path, max_length=256, packing="apart")
    assert corpus["length"] == [256, 256, 256, 1000 - 3 * 254 + 2, 4]


def test_a_text_longer_than_the_model_reads_that_is_warned_of(tokenizer, tmp_path, caplog):
    tokenizer = BertTokenizer(vocab=tokenizer.get_vocab(), model_max_length=16)
    with caplog.at_level(logging.WARNING):
        prepared(datasets.Dataset.from_dict({"text": ["w1 " * 50]}), tokenizer, tmp_path)
    assert not caplog.records


def test_a_decoders_sequences_with_tokens_of_its_own_making(tmp_path):
    tokenizer = next_token()
    corpus = prepared(
        datasets.Dataset.from_dict({"text": ["lower newer"]}), tokenizer, tmp_path, max_length=8, packing="apart"
    )
    assert tokenizer.decode(corpus[0]["input_ids"]) == "lower newer"


def test_more_documents_than_were_asked_for(tokenizer, tmp_path):
    corpus = prepared(texts_of_words(50), tokenizer, tmp_path, packing="apart", max_documents=7)
    assert sorted(set(corpus["document_id"])) == list(range(7))


# ---- What is left out ----


def test_short_documents_that_vanish_without_a_word(tokenizer, tmp_path, caplog):
    (tmp_path / "a.txt").write_text("w1 w2\nw3\n\nw4 w5 w6\n")
    for _ in range(2):  # as it is prepared, and as it is found
        with caplog.at_level(logging.INFO, logger="codir"):
            corpus = prepared(tmp_path / "a.txt", tokenizer, tmp_path)
        note = "2 documents in 1 sequence of 8 tokens on average; 1 shorter than two tokens was left out"
        assert corpus.info.description == note
        assert note in caplog.messages[-1]
        caplog.clear()
    assert corpus["document_id"] == [0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("\n \n", r"corpus '.*a.txt': expected documents, got none: it is empty"),
        ("w1\n\nw2\n", r"expected a document of at least 2 tokens, got 2, all of them shorter.*`documents: file`"),
    ],
)
def test_a_corpus_with_nothing_to_learn_from(tokenizer, tmp_path, content, message):
    (tmp_path / "a.txt").write_text(content)
    with pytest.raises(UserError, match=message):
        prepared(tmp_path / "a.txt", tokenizer, tmp_path)
    assert not list((tmp_path / "cache").glob("[!.]*")), "nothing is left to be taken for a corpus"


@pytest.mark.usefixtures("small_blocks")
def test_an_error_in_a_late_row_that_comes_as_another_librarys(tokenizer, tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "w1 w2"}\n' * 100 + '{"text": 2}\n')
    with pytest.raises(UserError, match=r"row 101: expected a text, got 2"):
        prepared(tmp_path / "a.jsonl", tokenizer, tmp_path)


# ---- Once, whole or not at all ----


def test_a_corpus_that_is_prepared_twice(tokenizer, tmp_path, monkeypatch):
    texts = texts_of_words(30)
    first = prepared(texts, tokenizer, tmp_path)
    monkeypatch.setattr(load, "build_corpus", lambda *_, **__: pytest.fail("it was prepared again"))
    assert prepared(texts, tokenizer, tmp_path).to_dict() == first.to_dict()
    assert prepared(texts, tokenizer, tmp_path, num_proc=2).to_dict() == first.to_dict()
    stream = texts.to_iterable_dataset()
    assert prepared(stream, tokenizer, tmp_path).to_dict() == first.to_dict()


@pytest.mark.parametrize(
    "change",
    [
        {"max_length": 15},
        {"packing": "apart"},
        {"max_documents": 29},
        {"tokenizer": BertTokenizer(vocab={word: i for i, word in enumerate([*SPECIAL, *WORDS[:45]])})},
        {"source": texts_of_words(31)},
    ],
)
def test_a_stale_corpus_used_in_silence(tokenizer, tmp_path, change):
    given = {"source": texts_of_words(30), "tokenizer": tokenizer}
    before = prepared(**given, tmp_path=tmp_path)
    after = prepared(**{**given, **change}, tmp_path=tmp_path)
    assert after.cache_files != before.cache_files


def test_a_separator_that_the_fingerprint_overlooks(tokenizer, tmp_path):
    other = BertTokenizer(vocab=tokenizer.get_vocab())
    other.sep_token = "w89"
    before, after = (prepared(texts_of_words(30), which, tmp_path) for which in (tokenizer, other))
    assert after.cache_files != before.cache_files


def test_a_convention_that_finds_the_corpus_of_another(tokenizer, tmp_path):
    (tmp_path / "a.txt").write_text("w1 w2\nw3 w4\n\nw5 w6")
    counts = [
        len(prepared(tmp_path / "a.txt", tokenizer, tmp_path, documents=convention, packing="apart"))
        for convention in ("line", "blank-line", "file")
    ]
    assert counts == [3, 2, 1]


def test_a_half_prepared_corpus_taken_for_a_whole_one(tokenizer, tmp_path, monkeypatch):
    def dies(*_, **__):
        raise KeyboardInterrupt

    texts = texts_of_words(30)
    with monkeypatch.context() as patched:
        patched.setattr(build, "_number", dies)
        with pytest.raises(KeyboardInterrupt):
            prepared(texts, tokenizer, tmp_path)
    assert {path.suffix for path in (tmp_path / "cache").iterdir()} == {".lock"}
    assert len(prepared(texts, tokenizer, tmp_path))


def test_what_a_killed_run_left_that_is_kept_for_ever(tokenizer, tmp_path):
    """It had not got so far as to hold its owner's lock for good: nobody holds it now."""
    left = [tmp_path / "cache" / f"{prefix}left" for prefix in (BUILDING, READING)]
    for folder in left:
        folder.mkdir(parents=True)
        (folder / OWNER_NAME).touch()
        (folder / "0.part").write_bytes(b"half")
    assert len(prepared(texts_of_words(30), tokenizer, tmp_path))
    assert not any(folder.exists() for folder in left)


FAULTS = {
    "a flipped bit": (lambda folder: flip(folder / "sequences.arrow"), "sequences.arrow is damaged"),
    "counts of another": (lambda folder: (folder / "counts.json").write_text("{}"), "counts.json has 2 bytes"),
    "sequences gone": (lambda folder: (folder / "sequences.arrow").unlink(), "sequences.arrow is missing"),
    "cut short": (lambda folder: os.truncate(folder / "sequences.arrow", 500), "sequences.arrow has 500 bytes"),
    "an older version": (lambda folder: (folder / "manifest.json").unlink(), "as in corpora of older versions"),
    "garbage": (lambda folder: (folder / "manifest.json").write_bytes(b"[" * 100_000), "manifest.json is not JSON"),
}


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_damaged_corpus_that_is_read_or_not_named_or_not_prepared_anew(tokenizer, tmp_path, caplog, fault):
    damage, said = FAULTS[fault]
    folder = _files_of(before := prepared(texts_of_words(30), tokenizer, tmp_path))[0].parent
    rows = before.to_dict()
    damage(folder)
    after = prepared(texts_of_words(30), tokenizer, tmp_path)
    assert (after.to_dict(), after.info.description) == (rows, before.info.description)
    assert _files_of(after)[0].parent == folder
    assert f"corpus {folder} is damaged and not used: " in caplog.text
    assert said in caplog.text
    assert {path.name for path in folder.parent.iterdir()} == {folder.name, f".{folder.name}.lock"}


def test_a_whole_corpus_in_the_place_of_another(tokenizer, tmp_path, caplog):
    one, other = (_files_of(prepared(texts_of_words(rows), tokenizer, tmp_path))[0].parent for rows in (30, 40))
    shutil.rmtree(one)
    shutil.copytree(other, one)
    assert len(set(prepared(texts_of_words(30), tokenizer, tmp_path, packing="packed")["document_id"])) <= 30
    assert "key.json belongs to another corpus" in caplog.text


def test_files_in_a_damaged_corpus_that_codir_did_not_write_and_deletes(tokenizer, tmp_path):
    folder = _files_of(prepared(texts_of_words(30), tokenizer, tmp_path))[0].parent
    (folder / "notes.txt").write_text("mine")
    (folder / "counts.json").unlink()
    assert len(prepared(texts_of_words(30), tokenizer, tmp_path))
    assert [path.read_text() for path in folder.parent.glob(".set-aside-*/notes.txt")] == ["mine"]


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_finished_corpus_that_nobody_can_read_where_nobody_may_write(tokenizer, tmp_path, monkeypatch, is_stream):
    def refuse(parent, prefix):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(parent))

    texts = texts_of_words(30)
    source = texts.to_iterable_dataset() if is_stream else texts
    before = prepared(source, tokenizer, tmp_path).to_dict()
    monkeypatch.setattr(load, "scratch_folder", refuse)
    monkeypatch.setattr(load, "written_whole", refuse)
    assert prepared(source, tokenizer, tmp_path).to_dict() == before


def test_a_folder_for_corpora_that_cannot_be_and_is_not_named(tokenizer, tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(
        UserError, match=r"the data set: expected a folder that can be written to, got .*/cache \("
    ) as raised:
        prepared(texts_of_words(30), tokenizer, tmp_path)
    assert "choose another `corpus.cache_dir`" in str(raised.value)


@pytest.mark.parametrize("num_proc", [1, 2])
def test_a_disk_that_is_full_in_the_middle(tokenizer, tmp_path, monkeypatch, num_proc):
    def refuse(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(build, "cut_block", refuse)
    with pytest.raises(UserError, match=r"got .*/cache \(.*No space left on device.*\)"):
        prepared(texts_of_words(30), tokenizer, tmp_path, num_proc=num_proc)
    assert {path.suffix for path in (tmp_path / "cache").iterdir()} == {".lock"}


@pytest.mark.parametrize("umask", [0o022, 0o077], ids=oct)
def test_a_shared_corpus_that_others_cannot_read(tokenizer, tmp_path, umask):
    before = os.umask(umask)
    try:
        folder = _files_of(prepared(texts_of_words(30), tokenizer, tmp_path))[0].parent
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder, folder.parent)} == {0o777 & ~umask}
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o666 & ~umask}


def test_two_runs_that_prepare_the_same_corpus_side_by_side(tokenizer, tmp_path, monkeypatch):
    built = []
    monkeypatch.setattr(load, "build_corpus", lambda *a, **k: (built.append(1), build.build_corpus(*a, **k)))
    texts = texts_of_words(300)
    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(lambda _: prepared(texts, tokenizer, tmp_path), range(2))
    assert one.to_dict() == two.to_dict()
    assert len(built) == 1


def test_scratch_that_stays_behind(tokenizer, tmp_path):
    folder = _files_of(prepared(texts_of_words(30), tokenizer, tmp_path))[0].parent
    assert sorted(path.name for path in folder.iterdir()) == [
        "counts.json", "key.json", "manifest.json", "sequences.arrow"
    ]  # fmt: skip
    assert {path.name for path in folder.parent.iterdir()} == {folder.name, f".{folder.name}.lock"}


def _files_of(corpus: datasets.Dataset) -> list[Path]:
    return [Path(file["filename"]) for file in corpus.cache_files]


# ---- Documents held out, documents as negatives ----


def corpus_of(document_ids: list[int]) -> datasets.Dataset:
    return datasets.Dataset.from_dict({"document_id": document_ids, "example_index": list(range(len(document_ids)))})


@settings(max_examples=60, deadline=None)
@given(
    ids=st.lists(st.integers(0, 12), min_size=2, max_size=60).filter(lambda ids: len(set(ids)) > 1),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 99),
)
def test_a_document_on_both_sides_or_on_neither(ids, fraction, seed):
    corpus = corpus_of(ids)
    stay, heldout = split_documents(corpus, fraction=fraction, seed=seed)
    assert stay["document_id"]
    assert heldout["document_id"]
    assert not set(stay["document_id"]) & set(heldout["document_id"])
    assert sorted([*stay["example_index"], *heldout["example_index"]]) == list(range(len(ids)))
    assert abs(len(set(heldout["document_id"])) - fraction * len(set(ids))) <= 1
    assert split_documents(corpus, fraction=fraction, seed=seed)[1].to_dict() == heldout.to_dict()


def test_a_split_that_is_the_same_for_every_seed():
    corpus = corpus_of(list(range(100)))
    held = {tuple(split_documents(corpus, fraction=0.1, seed=seed)[1]["document_id"]) for seed in range(5)}
    assert len(held) == 5


def test_a_single_document_that_is_to_be_held_out():
    with pytest.raises(UserError, match=r"at least two documents.*got one"):
        split_documents(corpus_of([3, 3, 3]), fraction=0.1, seed=0)
    with pytest.raises(UserError, match=r"heldout_fraction: expected a part between 0 and 1, got 1"):
        split_documents(corpus_of([1, 2]), fraction=1, seed=0)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lengths=st.lists(st.integers(1, 40), min_size=8, max_size=40), seed=st.integers(0, 99), packed=st.booleans())
def test_a_negative_of_the_same_document(tokenizer, tmp_path_factory, lengths, seed, packed):
    """Every word says which document it is of, and no sequence's negatives hold a word of its documents."""
    texts = [" ".join([WORDS[number]] * length) for number, length in enumerate(lengths)]
    source = datasets.Dataset.from_dict({"text": texts})
    try:
        corpus = load_corpus(
            source,
            tokenizer,
            max_length=16,
            packing="packed" if packed else "apart",
            cache_dir=tmp_path_factory.mktemp("corpus"),
        )
        sampler = build_negative_sampler(
            column_of(corpus, "document_id"),
            num_examples=len(corpus),
            count=2,
            batch_size=2,
            strategy="other_class",
            seed=seed,
        )
    except UserError:
        assume(False)  # too few documents
    special = set(tokenizer.all_special_ids)
    words = [set(ids) - special for ids in corpus["input_ids"]]
    batch = np.random.default_rng(seed).choice(len(corpus), 2, replace=False)
    drawn = sampler.sample(batch)
    allowed = sampler.allows(batch, np.arange(len(corpus)))
    for place, row in enumerate(batch):
        for negative in drawn.index[drawn.group[place]]:
            assert not words[row] & words[negative]
        for other, may_be in enumerate(allowed[drawn.group[place]]):
            assert may_be == (not words[row] & words[other])
