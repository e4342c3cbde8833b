"""Bank or queue: the stated rule, at its edges."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codir.errors import UserError
from codir.memory import BANK_MEMORY_SHARE, MemoryBank, NegativeQueue, bank_bytes, choose_memory, queue_bytes

SIZES = {"dim": 128, "queue_size": 65536, "itemsize": 4, "free_disk": 10**12}


@given(rows=st.integers(1, 10**10), free=st.integers(0, 10**13), processes=st.integers(1, 8))
def test_a_bank_that_takes_more_than_its_share(rows, free, processes):
    choice = choose_memory("auto", num_examples=rows, free_memory=free, processes=processes, **SIZES)
    assert (choice.place == "bank") == (4 * 128 * rows * processes <= free / 4)
    assert choice.place in ("bank", "queue")


def test_a_share_that_the_words_do_not_name():
    assert BANK_MEMORY_SHARE == 0.25
    assert "a quarter of the free memory" in choose_memory.__doc__


def test_a_choice_that_does_not_say_its_numbers():
    line = choose_memory("auto", num_examples=8530, free_memory=18_200_000_000, **SIZES).line
    assert line == ("negatives: memory bank of 8530 x 128 float32, 4.4 MB (at most 4.5 GB, 25% of the free memory)")
    line = choose_memory("auto", num_examples=10**7, free_memory=18_200_000_000, **SIZES).line
    assert line == (
        "negatives: queue of 65536 x 128 float32, 34.1 MB "
        "(a bank would take 5.1 GB, more than 4.5 GB, 25% of the free memory)"
    )


def test_a_bank_asked_for_and_not_given():
    choices = [choose_memory("bank", num_examples=10**7, free_memory=free, **SIZES).place for free in (10**12, 10**9)]
    assert choices == ["bank", "mapped bank"]
    assert choose_memory("queue", num_examples=10, free_memory=10**12, **SIZES).place == "queue"


def test_a_bank_that_fills_the_disk():
    with pytest.raises(UserError, match=r"5\.1 GB of free disk.*memory: queue"):
        choose_memory("bank", num_examples=10**7, free_memory=0, **{**SIZES, "free_disk": 10**9})


def test_bytes_on_paper_that_are_not_those_in_memory():
    bank, queue = MemoryBank(30, 8), NegativeQueue(20, 8)
    assert bank_bytes(30, 8) == 30 * bank.bytes_per_example
    assert queue_bytes(20, 8) == 20 * queue.bytes_per_example
