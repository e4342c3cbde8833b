"""How documents are cut and packed: nothing lost, nothing twice, no sequence that two documents could both claim."""

from __future__ import annotations

from itertools import chain, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codir.data.corpus.sequences import Layout, cut, group_documents, lay_out, special_tokens_around
from codir.errors import UserError
from vocabularies import MASKED, byte_level, next_token, sentence_piece, word_piece

PREFIX, SUFFIX, SEPARATOR = (-1,), (-2, -3), -4
DOCUMENTS = st.lists(st.integers(0, 40), max_size=20)
ROOM = st.integers(3, 12)


def documents_of(lengths: list[int]) -> list[list[int]]:
    """Documents whose every token says where it came from."""
    return [[1000 * document + place for place in range(length)] for document, length in enumerate(lengths)]


def origin(token: int) -> int:
    return token // 1000


@settings(max_examples=300, deadline=None)
@given(lengths=DOCUMENTS, room=ROOM, packed=st.booleans())
def test_a_token_that_is_lost_or_repeated(lengths, room, packed):
    layout = Layout(room, PREFIX, SUFFIX, SEPARATOR if packed else None)
    documents = documents_of(lengths)
    read: dict[int, list[int]] = {}
    for row in lay_out(documents, layout):
        for token in row.input_ids:
            if token >= 0:
                read.setdefault(origin(token), []).append(token)
    assert read == {number: ids for number, ids in enumerate(documents) if len(ids) >= 2}


@settings(max_examples=300, deadline=None)
@given(lengths=DOCUMENTS, room=ROOM, packed=st.booleans(), first_id=st.integers(0, 5))
def test_two_sequences_that_share_a_document_under_two_names_or_a_name_without_one(lengths, room, packed, first_id):
    layout = Layout(room, PREFIX, SUFFIX, SEPARATOR if packed else None)
    rows = list(lay_out(documents_of(lengths), layout, first_id=first_id))
    read = [{first_id + origin(token) for token in row.input_ids if token >= 0} for row in rows]
    for one, held in zip(rows, read, strict=True):
        assert one.document_id in held
        for other, also_held in zip(rows, read, strict=True):
            assert (one.document_id == other.document_id) == bool(held & also_held)
            if one is not other and held & also_held:
                assert len(held) == len(also_held) == 1, "pieces of a long document stand alone"


@settings(max_examples=300, deadline=None)
@given(lengths=DOCUMENTS, room=ROOM, packed=st.booleans())
def test_a_sequence_that_is_too_long_or_has_a_single_token_of_text(lengths, room, packed):
    layout = Layout(room, PREFIX, SUFFIX, SEPARATOR if packed else None)
    for row in lay_out(documents_of(lengths), layout):
        assert row.input_ids[0] == PREFIX[0]
        assert tuple(row.input_ids[-2:]) == SUFFIX
        inside = row.input_ids[1:-2]
        assert 2 <= len(inside) <= room
        assert inside.count(SEPARATOR) == max(row.begun, 1) - 1
        for one, following in pairwise(inside):
            assert SEPARATOR in (one, following) or origin(one) == origin(following)


@settings(max_examples=300, deadline=None)
@given(lengths=st.lists(st.integers(2, 40), max_size=20), room=ROOM, packed=st.booleans())
def test_documents_that_are_counted_twice_or_not_at_all(lengths, room, packed):
    layout = Layout(room, PREFIX, SUFFIX, SEPARATOR if packed else None)
    assert sum(row.begun for row in lay_out(documents_of(lengths), layout)) == len(lengths)


@settings(max_examples=200, deadline=None)
@given(lengths=st.lists(st.integers(2, 40), max_size=20), room=ROOM)
def test_room_that_is_left_although_the_next_document_would_have_fitted(lengths, room):
    groups = group_documents(lengths, room)
    assert sorted(chain.from_iterable(groups)) == list(range(len(lengths)))
    short = [group for group in groups if lengths[group[0]] <= room]
    for group, following in pairwise(short):
        assert sum(lengths[i] + 1 for i in group) + lengths[following[0]] > room


@pytest.mark.parametrize(
    ("length", "room", "expected"),
    [(8, 4, [4, 4]), (9, 4, [4, 3, 2]), (10, 4, [4, 4, 2]), (4, 4, [4]), (4, 3, [2, 2]), (1, 4, [1])],
)
def test_a_remainder_of_one_token(length, room, expected):
    assert [len(piece) for piece in cut(list(range(length)), room)] == expected


@pytest.mark.parametrize(
    ("make", "prefix", "suffix"),
    [
        (word_piece, ["[CLS]"], ["[SEP]"]),
        (byte_level, ["<s>"], ["</s>"]),
        (sentence_piece, ["<s>"], ["</s>"]),
        (next_token, [], []),
    ],
)
def test_sequences_framed_otherwise_than_the_tokenizer_frames_a_text(make, prefix, suffix):
    tokenizer = make()
    found = special_tokens_around(tokenizer)
    assert [tokenizer.convert_ids_to_tokens(list(side)) for side in found] == [prefix, suffix]
    ids = tokenizer("low new", add_special_tokens=False).input_ids
    assert [*found[0], *ids, *found[1]] == tokenizer("low new").input_ids


def test_a_decoder_whose_documents_run_into_each_other():
    tokenizer = next_token()
    layout = Layout.of(tokenizer, max_length=8, packed=True)
    (row,) = lay_out(tokenizer(["lower", "newer"], add_special_tokens=False).input_ids, layout)
    assert tokenizer.decode(row.input_ids) == "lower<|endoftext|>newer"


@pytest.mark.parametrize("make", MASKED.values(), ids=MASKED)
@pytest.mark.parametrize("max_length", [0, 4])
def test_a_length_without_room_for_text(make, max_length):
    with pytest.raises(UserError, match=rf"max_length: expected at least 5.*got {max_length}"):
        Layout.of(make(), max_length=max_length, packed=True)


def test_a_length_beyond_what_the_tokenizer_says_of_its_model():
    tokenizer = word_piece()
    tokenizer.model_max_length = 16
    assert Layout.of(tokenizer, max_length=16, packed=True).room == 14
    with pytest.raises(UserError, match=r"max_length: expected at most 16.*got 17.*--max-length 16"):
        Layout.of(tokenizer, max_length=17, packed=True)


def test_documents_packed_by_a_tokenizer_without_a_separator():
    tokenizer = word_piece()
    tokenizer.sep_token = None
    assert Layout.of(tokenizer, max_length=8, packed=False).separator is None
    with pytest.raises(UserError, match=r"packing: expected a tokenizer with a separator.*`packing: apart`"):
        Layout.of(tokenizer, max_length=8, packed=True)
