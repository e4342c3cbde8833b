"""The queue against a Python list, and two processes against one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from codir.memory import NegativeQueue


def rows(*numbers: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Indices, and vectors that can be told by them."""
    index = torch.tensor(numbers, dtype=torch.long)
    return index, torch.stack([index.float(), -index.float()], dim=1)


def entries(queue: NegativeQueue) -> list[int]:
    assert torch.equal(queue.vectors, rows(*queue.index.tolist())[1])  # each vector stands beside its own index
    return sorted(queue.index.tolist())


@settings(max_examples=50, deadline=None)
@given(size=st.integers(1, 9), batches=st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=12), max_size=6))
def test_an_entry_that_stays_too_long_or_leaves_too_soon(size, batches):
    queue, by_hand = NegativeQueue(size, 2), []
    for batch in batches:
        queue.update(*rows(*batch))
        by_hand = [*by_hand, *batch][-size:]
        assert entries(queue) == sorted(by_hand)
        assert len(queue) == len(by_hand)


def test_places_not_filled_yet_taken_for_negatives():
    queue = NegativeQueue(5, 2)
    assert queue.vectors.shape == (0, 2)
    queue.update(*rows(7, 8))
    assert entries(queue) == [7, 8]
    queue.clear()
    assert entries(queue) == []


@settings(max_examples=30, deadline=None)
@given(stop=st.integers(0, 6), size=st.integers(2, 7))
def test_a_saved_queue_that_goes_on_elsewhere(tmp_path_factory, stop, size):
    straight, resumed = NegativeQueue(size, 2), NegativeQueue(size, 2)
    for step in range(7):
        if step == stop:
            path = tmp_path_factory.mktemp("queue") / "queue.safetensors"
            save_file(straight.state_dict(), path)
            resumed.load_state_dict(load_file(path))
        for queue in (straight, resumed):
            queue.update(*rows(3 * step, 3 * step + 1, 3 * step + 2))
    assert torch.equal(straight.index, resumed.index)
    assert torch.equal(straight.vectors, resumed.vectors)


def test_half_precision_that_is_far_off_or_handed_out():
    vectors = torch.nn.functional.normalize(torch.randn(6, 32, generator=torch.Generator().manual_seed(0)), dim=1)
    queues = [NegativeQueue(6, 32, dtype=dtype) for dtype in (torch.float32, torch.float16)]
    for queue in queues:
        queue.update(torch.arange(6), vectors)
    assert queues[1].vectors.dtype == torch.float32
    assert torch.allclose(queues[0].vectors, queues[1].vectors, atol=1e-3)
    assert [queue.bytes_per_example for queue in queues] == [32 * 4 + 8, 32 * 2 + 8]


def test_a_queue_that_keeps_the_graph_alive():
    queue = NegativeQueue(3, 2)
    index, vectors = rows(1, 2)
    queue.update(index, vectors.requires_grad_())
    assert not queue.vectors.requires_grad


def test_a_queue_of_another_size_taken_up_in_silence():
    queue, other = NegativeQueue(1, 2), NegativeQueue(4, 2)
    queue.update(*rows(1))
    with pytest.raises(RuntimeError, match="shape"):
        other.load_state_dict(queue.state_dict())


@pytest.fixture(scope="module")
def two_processes(once_per_suite) -> tuple[dict, dict]:
    """What the memories of two gloo processes came to, from `distributed_memories.py`."""
    folder = once_per_suite("memories", launch)
    first, second = (json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1))
    return first, second


def launch(folder: Path) -> None:
    script = Path(__file__).with_name("distributed_memories.py")
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]  # on a free port
    words = [sys.executable, *launcher, str(script), str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False, env=environment)
    assert run.returncode == 0, run.stderr[-3000:]


@pytest.mark.training
def test_processes_that_keep_different_memories(two_processes):
    first, second = two_processes
    assert set(first) == {"bank float32", "bank float16", "mapped float32", "mapped float16", "queue"}
    assert first == second
    assert first["mapped float32"] == first["bank float32"]
    assert first["mapped float16"] == first["bank float16"]
    assert torch.allclose(torch.tensor(first["bank float16"]), torch.tensor(first["bank float32"]), atol=1e-3)
    norms = torch.tensor(first["bank float32"]).norm(dim=1)
    assert torch.allclose(norms, torch.ones(10), atol=1e-5)  # no slot was counted twice or forgotten


@pytest.mark.training
def test_a_queue_that_leaves_out_another_processes_batch(two_processes):
    entered = [100 * rank + 2 * step + place for step in range(3) for rank in (0, 1) for place in (0, 1)]
    assert sorted(two_processes[0]["queue"]) == sorted(entered[-7:])
