"""What is free, against what the machine's own files say."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil
import pytest
import torch

from codir.runs.plan import sizes_on_paper
from codir.system import machine


def test_free_memory_that_is_not_a_sensible_number():
    free = machine.free_memory(torch.device("cpu"))
    assert 2**20 < free < 2**50


def test_file_pages_counted_as_taken(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "CGROUP", tmp_path)  # no container
    free = psutil.virtual_memory()
    assert machine.free_memory() == pytest.approx(free.available, rel=0.05)
    assert free.free <= free.available


def test_a_container_that_takes_its_host_for_its_own(tmp_path):
    assert machine._left_to_container(tmp_path) == sys.maxsize
    for name, content in {
        "memory.max": "1000",
        "memory.current": "700",
        "memory.stat": "anon 5\ninactive_file 200\n",
    }.items():
        (tmp_path / name).write_text(content)
    assert machine._left_to_container(tmp_path) == 500
    (tmp_path / "memory.max").write_text("max\n")
    assert machine._left_to_container(tmp_path) == sys.maxsize


def test_a_folder_not_made_yet_that_stops_the_rule(tmp_path):
    assert machine.free_disk(tmp_path / "a" / "b") == machine.free_disk(tmp_path) > 0
    assert machine.free_disk(Path("not-there-yet")) > 0


def test_a_queue_that_grows_with_the_data():
    few, many = (sizes_on_paper(rows, layers=12, hidden=768, processes=8) for rows in (10**4, 10**9))
    assert many.cache == 10**5 * few.cache
    assert many.bank == 10**5 * few.bank
    assert (many.queue, many.lookup, many.memory_messages) == (few.queue, few.lookup, few.memory_messages)


def test_one_process_that_talks_to_others():
    alone = sizes_on_paper(10**4, layers=6, hidden=384, student_parameters=10**6)
    assert (alone.memory_messages, alone.gradient_messages) == (0, 0)
