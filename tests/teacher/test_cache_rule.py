"""Cache or live: the stated rule, at its edges."""

from __future__ import annotations

import pytest

from codir.signals import Representation
from codir.teacher import (
    CACHE_DISK_SHARE,
    LiveTeacher,
    TeacherView,
    choose_cache,
    count_readings,
    estimate_bytes,
    open_or_build_cache,
)

ROOM = {"size": 78_000_000, "free_disk": 120_000_000_000}


@pytest.mark.parametrize(("passes", "is_cached"), [(0.5, False), (1.0, False), (1.01, True), (3.0, True)])
def test_a_cache_that_does_not_pay(passes, is_cached):
    assert choose_cache("auto", readings=count_readings(passes), **ROOM).is_cached == is_cached


def test_negatives_read_live_again_and_again():
    assert choose_cache("auto", readings=count_readings(1.0, negatives=1, batch_size=32), **ROOM).is_cached
    few_steps = count_readings(0.001, negatives=100, batch_size=32)  # fewer rows than a cache would have to read
    assert not choose_cache("auto", readings=few_steps, **ROOM).is_cached


@pytest.mark.parametrize(("size", "is_cached"), [(500, True), (501, False)])
def test_a_cache_that_fills_the_disk(size, is_cached):
    choice = choose_cache("auto", size=size, readings=3.0, free_disk=1000)
    assert choice.is_cached == is_cached


def test_a_share_that_the_words_do_not_name():
    assert CACHE_DISK_SHARE == 0.5
    assert "half of the free disk" in " ".join(choose_cache.__doc__.split())


def test_a_cache_of_an_earlier_run_left_unread():
    for room in ({"readings": 1.0, **ROOM}, {"readings": 3.0, "size": 10**9, "free_disk": 10**9}):
        assert not choose_cache("auto", **room).is_cached
        assert choose_cache("auto", **room, is_there=lambda: True).is_cached


def test_all_texts_looked_at_where_the_answer_is_known():
    def looks():
        raise AssertionError

    choose_cache("auto", readings=3.0, **ROOM, is_there=looks)
    for asked in (True, False):
        assert choose_cache(asked, readings=1.0, **ROOM, is_there=looks).is_cached == asked


@pytest.mark.parametrize(("asked", "said"), [(True, ", although a cache was asked for"), ("auto", ""), (False, "")])
def test_a_cache_of_every_token_or_its_refusal_in_silence(asked, said):
    choice = choose_cache(asked, readings=3.0, **ROOM, tokens=True, is_there=lambda: True)
    assert not choice.is_cached
    assert choice.line == f"teacher: live{said} (objectives that compare tokens read no cache)"


def test_a_choice_that_does_not_say_its_numbers():
    lines = [
        choose_cache("auto", readings=3.0, **ROOM).line,
        choose_cache("auto", readings=0.5, **ROOM).line,
        choose_cache("auto", readings=3.0, size=78_000_000, free_disk=100_000_000).line,
        choose_cache(True, readings=3.0, **ROOM).line,
    ]
    assert lines == [
        "teacher: cached, 78.0 MB (at most 60.0 GB, 50% of the free disk), in place of 3 readings of each row",
        "teacher: live, 0.5 readings of each row (a cache pays where there are more than 1)",
        "teacher: live, a cache would take 78.0 MB, more than 50.0 MB, 50% of the free disk",
        "teacher: cached, 78.0 MB (asked for)",
    ]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_bytes_on_paper_that_are_not_those_on_the_disk(teacher, texts, tokenizer, tmp_path, dtype):
    pooled = frozenset({Representation((1, 3)), Representation("last", "cls"), Representation((4,), "cls")})
    live = LiveTeacher(teacher, texts, tokenizer, TeacherView(pooled), max_length=16)
    folder = open_or_build_cache(live, tmp_path, cache_dtype=dtype)
    on_disk = sum(path.stat().st_size for path in folder.glob("*.npy"))
    assert 0 <= on_disk - estimate_bytes(live, dtype) < 768  # the headers of three files
