"""The memory bank against a list of vectors that is updated one example at a time."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from codir.memory import MemoryBank
from codir.objectives import info_nce


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


def spread_negatives(bank: MemoryBank, *, steps: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    """Fill a bank of 200 x 32, move it, and look up 100 negatives; and an anchor to compare them with."""
    bank.fill(torch.arange(200), unit(200, 32))
    for step in range(steps):
        index = torch.randperm(200, generator=torch.Generator().manual_seed(step))[:50]
        bank.update(index, unit(50, 32, seed=step + 1))
    return unit(8, 32, seed=99), bank.lookup(torch.arange(100).reshape(1, 100))


def test_half_precision_that_changes_a_loss():
    losses = []
    for dtype in (torch.float32, torch.float16):
        anchors, negatives = spread_negatives(MemoryBank(200, 32, dtype=dtype))
        assert negatives.dtype == torch.float32
        losses.append(info_nce(anchors, anchors.roll(1, 0), negatives[0], temperature=0.07))
    assert losses[0].item() == pytest.approx(losses[1].item(), abs=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_mapped_bank_that_holds_other_bits(tmp_path, dtype):
    in_memory, mapped = MemoryBank(200, 32, dtype=dtype), MemoryBank(200, 32, dtype=dtype, folder=tmp_path / "new")
    assert torch.equal(spread_negatives(in_memory)[1], spread_negatives(mapped)[1])
    assert torch.equal(in_memory.vectors, mapped.vectors)


def test_a_mapped_bank_that_leaves_its_file_behind(tmp_path):
    bank = MemoryBank(20, 4, folder=tmp_path)
    bank.fill(torch.arange(20), unit(20, 4))
    assert list(tmp_path.iterdir()) == []
    assert torch.equal(bank.vectors, unit(20, 4))


def test_bytes_per_example_that_are_not_the_banks():
    for dtype in (torch.float32, torch.float16):
        bank = MemoryBank(20, 4, dtype=dtype)
        assert bank.bytes_per_example * 20 == bank.vectors.nbytes


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("is_mapped", [False, True])
def test_a_bank_of_any_kind_that_does_not_come_back_from_a_file(tmp_path, dtype, is_mapped):
    folder = tmp_path if is_mapped else None
    bank, other = (MemoryBank(20, 4, dtype=dtype, folder=folder) for _ in range(2))
    bank.fill(torch.arange(20), unit(20, 4))
    save_file(bank.state_dict(), tmp_path / "bank.safetensors")
    other.load_state_dict(load_file(tmp_path / "bank.safetensors"))
    assert torch.equal(other.vectors, bank.vectors)


def test_one_saved_slot_spread_over_all_in_silence():
    with pytest.raises(RuntimeError, match="shape"):
        MemoryBank(20, 4).load_state_dict({"vectors": torch.ones(1, 4)})
