"""NCE, Jensen-Shannon, supervised and soft contrast against their papers' formulas in plain loops."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from codir.objectives import info_nce_from_scores, jsd, log_mean_exp, nce, soft_contrast, supcon

SHAPES = {"batch": st.integers(1, 5), "count": st.integers(1, 7), "seed": st.integers(0, 10_000)}


def scores_of(batch: int, count: int, seed: int, *, tau: float = 0.2) -> tuple[Tensor, Tensor]:
    """Cosines over tau, with some keys left out, but never all of an anchor's."""
    g = torch.Generator().manual_seed(seed)
    positive = (torch.rand(batch, generator=g, dtype=torch.float64) * 2 - 1) / tau
    negative = (torch.rand(batch, count, generator=g, dtype=torch.float64) * 2 - 1) / tau
    left_out = torch.rand(batch, count, generator=g) < 0.3
    left_out[:, 0] = False
    return positive, negative.masked_fill(left_out, -torch.inf)


def nce_by_hand(positive: Tensor, negative: Tensor, *, num_examples: int, z: float) -> float:
    """Eq. 7 of arXiv 1805.01978, for each anchor, with h of eq. 6, one probability at a time."""
    total = 0.0
    for right, row in zip(positive.tolist(), negative.tolist(), strict=True):
        keys = [score for score in row if score > -math.inf]
        noise = len(keys) / num_examples
        p = math.exp(right) / z
        total -= math.log(p / (p + noise))
        for wrong in keys:
            p = math.exp(wrong) / z
            total -= math.log(1 - p / (p + noise))
    return total / len(positive)


@settings(max_examples=30, deadline=None)
@given(num_examples=st.integers(10, 10_000), mean=st.floats(0.1, 30.0), **SHAPES)
def test_nce_that_differs_from_its_formula(batch, count, seed, num_examples, mean):
    positive, negative = scores_of(batch, count, seed)
    expected = nce_by_hand(positive, negative, num_examples=num_examples, z=num_examples * mean)
    value = nce(positive, negative, log_mean=torch.tensor(math.log(mean), dtype=torch.float64))
    assert value.item() == pytest.approx(expected, rel=1e-7)


@settings(max_examples=20, deadline=None)
@given(**SHAPES)
def test_a_normaliser_that_counts_what_was_left_out(batch, count, seed):
    _, negative = scores_of(batch, count, seed)
    kept = [math.exp(score) for score in negative.flatten().tolist() if score > -math.inf]
    assert log_mean_exp(negative).item() == pytest.approx(math.log(sum(kept) / len(kept)), abs=1e-9)


def test_nce_that_overflows_in_half_precision():
    for dtype in (torch.float16, torch.bfloat16):
        extreme = torch.tensor([1.0, -1.0], dtype=dtype) / 0.07
        scores = extreme.repeat(2, 1).requires_grad_()
        loss = nce(extreme, scores, log_mean=log_mean_exp(scores.detach()))
        loss.backward()
        assert torch.isfinite(loss)
        assert torch.isfinite(scores.grad).all()


def test_keys_that_nothing_tells_apart_judged_as_if_something_did():
    same = torch.full((3,), 5.0, dtype=torch.float64)
    loss = nce(same, same.unsqueeze(1).expand(3, 100), log_mean=same[0])
    assert loss.item() == pytest.approx(math.log(101) + 100 * math.log(1 + 1 / 100))
    assert jsd(same * 0, torch.zeros(3, 100, dtype=torch.float64)).item() == pytest.approx(2 * math.log(2))


@settings(max_examples=30, deadline=None)
@given(**SHAPES)
def test_jensen_shannon_that_differs_from_its_formula(batch, count, seed):
    """Eq. 4 of arXiv 1808.06670: `-E_P[-sp(-T)] + E_{P x P~}[sp(T)]`."""
    positive, negative = scores_of(batch, count, seed)
    total = 0.0
    for right, row in zip(positive.tolist(), negative.tolist(), strict=True):
        keys = [score for score in row if score > -math.inf]
        total += math.log(1 + math.exp(-right)) + sum(math.log(1 + math.exp(wrong)) for wrong in keys) / len(keys)
    assert jsd(positive, negative).item() == pytest.approx(total / batch, rel=1e-9)


@settings(max_examples=30, deadline=None)
@given(batch=st.integers(2, 6), classes=st.integers(1, 3), seed=st.integers(0, 10_000))
def test_supervised_contrast_that_differs_from_its_formula(batch, classes, seed):
    """Eq. 2 of arXiv 2004.11362, for anchors of one view and keys of the other."""
    g = torch.Generator().manual_seed(seed)
    scores = torch.randn(batch, batch, generator=g, dtype=torch.float64) * 3
    labels = torch.randint(0, classes, (batch,), generator=g)
    total = 0.0
    for i in range(batch):
        positives = [p for p in range(batch) if labels[p] == labels[i]]
        everything = sum(math.exp(float(scores[i, a])) for a in range(batch))
        total -= sum(math.log(math.exp(float(scores[i, p])) / everything) for p in positives) / len(positives)
    same = labels[:, None] == labels[None, :]
    assert supcon(scores, is_positive=same, is_negative=~same).item() == pytest.approx(total / batch, rel=1e-9)


def test_supervised_contrast_with_one_positive_that_is_not_info_nce():
    positive, negative = scores_of(4, 6, 0)
    scores = torch.cat([positive.unsqueeze(1), negative], dim=1)
    is_positive = torch.zeros_like(scores, dtype=torch.bool)
    is_positive[:, 0] = True
    ours = supcon(scores, is_positive=is_positive, is_negative=scores.isfinite() & ~is_positive)
    assert torch.allclose(ours, info_nce_from_scores(positive, negative, temperature=1.0))


@pytest.mark.parametrize("estimate", [lambda p, n: nce(p, n, log_mean=torch.tensor(0.5)), jsd])
def test_a_key_left_out_that_still_counts_or_gives_nan(estimate):
    positive, negative = (scores.float() for scores in scores_of(4, 6, 3))
    negative = negative.requires_grad_()
    loss = estimate(positive, negative)
    (gradient,) = torch.autograd.grad(loss, negative)
    assert torch.equal(gradient != 0, negative.isfinite())
    alone = [estimate(positive[[i]], negative[[i]][:, negative[i].isfinite()]) for i in range(4)]
    assert torch.allclose(loss, torch.stack(alone).mean())


def test_an_anchor_that_nothing_is_compared_with_becoming_nan():
    positive = torch.zeros(2, requires_grad=True)
    nothing = torch.full((2, 3), -torch.inf)
    assert nce(positive, nothing, log_mean=torch.tensor(0.0)).item() == 0.0
    assert jsd(positive, nothing).item() == pytest.approx(math.log(2))
    for loss in (nce(positive, nothing, log_mean=torch.tensor(0.0)), jsd(positive, nothing)):
        assert torch.isfinite(torch.autograd.grad(loss, positive)[0]).all()


@settings(max_examples=30, deadline=None)
@given(**SHAPES)
def test_soft_contrast_that_differs_from_its_formula(batch, count, seed):
    """arXiv 2101.04731, one share at a time."""
    (own, others), (own_s, others_s) = scores_of(batch, count, seed), scores_of(batch, count, seed + 1)
    others_s = others_s.nan_to_num(neginf=0.3).masked_fill(others == -torch.inf, -torch.inf)
    of_teacher, of_student = (torch.cat([a[:, None], b], dim=1) for a, b in ((own, others), (own_s, others_s)))
    total = 0.0
    for teacher, student in zip(of_teacher.tolist(), of_student.tolist(), strict=True):
        keys = [k for k, score in enumerate(teacher) if score > -math.inf]
        whole_t, whole_s = (sum(math.exp(row[k]) for k in keys) for row in (teacher, student))
        total -= sum(math.exp(teacher[k]) / whole_t * math.log(math.exp(student[k]) / whole_s) for k in keys)
    assert soft_contrast(of_student, of_teacher).item() == pytest.approx(total / batch, rel=1e-9)


@settings(max_examples=20, deadline=None)
@given(**SHAPES)
def test_soft_contrast_with_one_right_key_that_is_not_info_nce(batch, count, seed):
    positive, negative = scores_of(batch, count, seed)
    scores = torch.cat([positive.unsqueeze(1), negative], dim=1)
    one_hot = torch.full_like(scores, -torch.inf)
    one_hot[:, 0] = 0.0
    expected = info_nce_from_scores(positive, negative, temperature=1.0)
    assert torch.allclose(soft_contrast(scores, one_hot), expected)


def test_soft_contrast_that_is_least_elsewhere_than_at_the_teachers_shares():
    g = torch.Generator().manual_seed(0)
    of_teacher = torch.randn(3, 6, generator=g, dtype=torch.float64)
    shares = of_teacher.softmax(dim=1)
    entropy = -(shares * shares.log()).sum(dim=1).mean()
    student = (of_teacher + 5.0).requires_grad_()  # a constant changes no share
    loss = soft_contrast(student, of_teacher)
    assert torch.allclose(loss, entropy)
    assert torch.autograd.grad(loss, student)[0].abs().max() < 1e-12
    assert soft_contrast(torch.randn(3, 6, generator=g, dtype=torch.float64), of_teacher) > entropy + 1e-2


def test_soft_targets_that_learn():
    """A teacher's side that could move would make its own similarities easy."""
    of_teacher, of_student = torch.zeros(2, 3, requires_grad=True), torch.zeros(2, 3, requires_grad=True)
    soft_contrast(of_student, of_teacher).backward()
    assert of_teacher.grad is None
