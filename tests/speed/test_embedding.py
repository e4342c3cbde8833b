"""Row-wise gradients of an embedding: the same dense gradient, at every step, without a fresh table."""

from __future__ import annotations

import torch
from torch import nn

from codir.speed import RowGradientEmbedding


def twins(padding_idx: int | None = None) -> tuple[nn.Embedding, RowGradientEmbedding]:
    plain = nn.Embedding(50, 4, padding_idx=padding_idx)
    fast = RowGradientEmbedding(50, 4, padding_idx=padding_idx)
    fast.load_state_dict(plain.state_dict())
    return plain, fast


def run(embedding: nn.Embedding, ids: torch.Tensor, scale: float = 1.0) -> None:
    (embedding(ids).sin().sum() * scale).backward()


def gradient(embedding: nn.Embedding) -> torch.Tensor:
    assert embedding.weight.grad is not None
    return embedding.weight.grad


def test_rows_of_an_earlier_step_stay_in_the_gradient() -> None:
    plain, fast = twins()
    for step in range(5):
        ids = torch.randint(0, 50, (3, 7), generator=torch.Generator().manual_seed(step))
        for embedding in (plain, fast):
            embedding.zero_grad()  # sets it to None, as Trainer does
            run(embedding, ids)
        assert torch.allclose(gradient(fast), gradient(plain))


def test_micro_batches_do_not_add_up() -> None:
    plain, fast = twins()
    for embedding in (plain, fast):
        run(embedding, torch.tensor([1, 2, 2]))
        run(embedding, torch.tensor([2, 3]), scale=0.5)
    assert torch.allclose(gradient(fast), gradient(plain))


def test_two_look_ups_in_one_step_do_not_add_up() -> None:
    plain, fast = twins()
    for embedding in (plain, fast):
        (embedding(torch.tensor([1, 2])).sum() + embedding(torch.tensor([[2], [4]])).sin().sum()).backward()
    assert torch.allclose(gradient(fast), gradient(plain))


def test_padding_gets_a_gradient() -> None:
    plain, fast = twins(padding_idx=0)
    for embedding in (plain, fast):
        run(embedding, torch.tensor([[0, 3, 0]]))
    assert torch.equal(gradient(fast)[0], torch.zeros(4))
    assert torch.allclose(gradient(fast), gradient(plain))


def test_zeroing_in_place_or_clipping_leaves_something_behind() -> None:
    plain, fast = twins()
    for step in range(3):
        for embedding in (plain, fast):
            embedding.zero_grad(set_to_none=False)
            run(embedding, torch.tensor([step, step + 1]))
            nn.utils.clip_grad_norm_(embedding.parameters(), 0.1)
        assert torch.allclose(gradient(fast), gradient(plain))


def test_an_optimiser_ends_elsewhere() -> None:
    plain, fast = twins()
    optimisers = [torch.optim.AdamW(e.parameters(), lr=0.1, weight_decay=0.01) for e in (plain, fast)]
    for step in range(20):
        ids = torch.randint(0, 50, (8,), generator=torch.Generator().manual_seed(step))
        for embedding, optimiser in zip((plain, fast), optimisers, strict=True):
            optimiser.zero_grad()
            run(embedding, ids)
            optimiser.step()
    assert torch.allclose(fast.weight, plain.weight, atol=1e-6)


def test_memory_is_kept_or_saved_after_training() -> None:
    _, fast = twins()
    run(fast, torch.tensor([1]))
    assert list(fast.state_dict()) == ["weight"]
    fast.forget_table()
    assert fast.weight.grad is None
    assert "_table" not in vars(fast)
