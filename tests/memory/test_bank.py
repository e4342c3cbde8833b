"""The memory bank against a list of vectors that is updated one example at a time."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from codir.memory import MemoryBank


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


@settings(max_examples=25, deadline=None)
@given(momentum=st.floats(0.0, 0.9), steps=st.integers(1, 4), seed=st.integers(0, 1000))
def test_an_update_that_differs_from_the_formula(momentum, steps, seed):
    bank = MemoryBank(10, 4, momentum=momentum)
    bank.fill(torch.arange(10), unit(10, 4, seed=seed))
    slots = [vector.tolist() for vector in unit(10, 4, seed=seed)]
    for step in range(steps):
        index = torch.randperm(10, generator=torch.Generator().manual_seed(step))[:3]
        vectors = unit(3, 4, seed=seed + step + 1)
        bank.update(index, vectors)
        for i, z in zip(index.tolist(), vectors.tolist(), strict=True):
            mixed = [momentum * old + (1 - momentum) * new for old, new in zip(slots[i], z, strict=True)]
            length = math.sqrt(sum(value**2 for value in mixed))
            slots[i] = [value / length for value in mixed]
    assert torch.allclose(bank.lookup(torch.arange(10)), torch.tensor(slots), atol=1e-5)


def test_an_example_twice_in_a_batch_counting_by_the_order_of_writing():
    banks = []
    for order in ([0, 1], [1, 0]):
        bank = MemoryBank(3, 4)
        bank.fill(torch.arange(3), unit(3, 4))
        bank.update(torch.tensor([2, 2]), unit(2, 4, seed=1)[order])
        banks.append(bank.lookup(torch.tensor([2])))
    assert torch.allclose(*banks)


def test_a_bank_that_keeps_the_graph_alive():
    bank = MemoryBank(3, 4)
    vectors = unit(2, 4).requires_grad_()
    bank.fill(torch.tensor([0, 1]), vectors)
    bank.update(torch.tensor([0, 1]), vectors * 2)
    assert not bank.lookup(torch.tensor([0])).requires_grad


def test_a_saved_bank_that_comes_back_different():
    bank, other = MemoryBank(5, 4), MemoryBank(5, 4)
    bank.fill(torch.arange(5), unit(5, 4))
    other.load_state_dict(bank.state_dict())
    assert torch.equal(other.vectors, bank.vectors)
