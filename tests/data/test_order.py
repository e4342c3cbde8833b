"""The order that brings neighbours of a document together: every row once, and each where its neighbours can see it."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from codir.data import NeighbourSampler


def make_documents(count: int, longest: int, seed: int) -> np.ndarray:
    """Numbers with gaps, in the order of the text."""
    rng = np.random.default_rng(seed)
    return np.repeat(np.sort(rng.choice(10 * count, count, replace=False)), rng.integers(1, longest + 1, count))


@given(
    count=st.integers(1, 30),
    longest=st.integers(1, 9),
    lanes=st.integers(1, 12),
    length=st.integers(1, 5),
    seed=st.integers(0, 999),
)
def test_rows_of_a_run_that_are_read_apart(count, longest, lanes, length, seed):
    """A run's next row comes a step later, in the same lane; lanes are cut anywhere, and a rest is left over."""
    documents = make_documents(count, longest, seed)
    order = list(NeighbourSampler(documents, lanes=lanes, run_length=length, seed=seed))
    assert sorted(order) == list(range(len(documents)))
    place, apart = {row: i for i, row in enumerate(order)}, 0
    for row in range(len(documents) - 1):
        in_document = row - int(np.flatnonzero(documents == documents[row])[0])
        is_of_run = documents[row + 1] == documents[row] and (in_document + 1) % length > 0
        apart += is_of_run and place[row + 1] - place[row] != lanes
    assert apart <= (0 if lanes == 1 else lanes + len(documents) % lanes)


def test_an_order_that_comes_back_or_that_a_resumed_run_cannot_repeat():
    documents = make_documents(50, 6, seed=0)
    sampler, other = (NeighbourSampler(documents, lanes=8, seed=seed) for seed in (0, 1))
    orders = []
    for epoch in (0, 1, 0):
        sampler.set_epoch(epoch)
        orders.append(list(sampler))
    assert orders[0] == orders[2] != orders[1]
    assert list(other) not in orders
    assert len(sampler) == len(documents)


def test_neighbours_that_a_queue_or_a_step_rarely_holds():
    """Documents of four sequences: of which rows is a neighbour among the keys, in this order and in a random one?"""
    documents, rows = np.repeat(np.arange(500), 4), 16
    shuffled = np.random.default_rng(0).permutation(len(documents))
    orders = {
        "batch": list(NeighbourSampler(documents, lanes=1)),
        "queue": list(NeighbourSampler(documents, lanes=rows)),
        "random": shuffled.tolist(),
    }
    met = dict.fromkeys([(order, keys) for order in orders for keys in ("batch", "queue")], 0)
    for name, order in orders.items():
        for start in range(0, len(order), rows):
            step, queue = documents[order[start : start + rows]], documents[order[max(0, start - 4 * rows) : start]]
            met[name, "batch"] += sum((step == document).sum() > 1 for document in step)
            met[name, "queue"] += sum(document in queue for document in step)
    share = {key: count / len(documents) for key, count in met.items()}
    assert share["batch", "batch"] == 1.0
    assert share["queue", "queue"] > 0.7  # all but the first of four
    assert max(share["random", "batch"], share["random", "queue"]) < 0.15
    assert share["batch", "queue"] < 0.05  # each source needs its own order
    assert share["queue", "batch"] < 0.05
