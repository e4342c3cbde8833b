"""Losses over the candidates of a query, against their papers' formulas in slow loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from codir.objectives import listwise_kl_loss, margin_mse_loss


def candidates(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Scores of student and teacher for queries of 1 to 5 candidates in mixed order; relevances, some missing."""
    rng = np.random.default_rng(seed)
    queries = np.repeat(np.arange(6), [1, 2, 3, 4, 5, 3])
    rng.shuffle(queries)
    relevance = rng.integers(0, 3, len(queries)).astype(float)
    relevance[queries == 3] = math.nan
    relevance[queries == 2] = 1.0
    student, teacher = rng.normal(size=(2, len(queries)))
    return tuple(torch.from_numpy(found) for found in (student, teacher, queries, relevance))


def slow_margin_mse(student, teacher, queries, relevance=None) -> float:
    """Hofstätter et al. 2020: MSE(M_s(q, p) - M_s(q, n), M_t(q, p) - M_t(q, n)) over the pairs of each query."""
    of_queries = []
    for query in sorted({int(query) for query in queries}):
        rows = [row for row in range(len(queries)) if queries[row] == query]
        pairs = [(p, n) for p in rows for n in rows if p != n]
        if relevance is not None:
            ordered = [(p, n) for p, n in pairs if relevance[p] > relevance[n]]
            pairs = ordered or pairs
        if pairs:
            errors = [((student[p] - student[n]) - (teacher[p] - teacher[n])) ** 2 for p, n in pairs]
            of_queries.append(float(sum(errors)) / len(errors))
    return sum(of_queries) / len(of_queries)


def slow_listwise_kl(student, teacher, queries, temperature) -> float:
    """Top-one probabilities of Cao et al. 2007, compared by KL."""
    of_queries = []
    for query in sorted({int(query) for query in queries}):
        rows = [row for row in range(len(queries)) if queries[row] == query]
        if len(rows) < 2:
            continue

        def top_one(scores, rows=rows):
            powers = [math.exp(float(scores[row]) / temperature) for row in rows]
            return [power / sum(powers) for power in powers]

        target, found = top_one(teacher), top_one(student)
        of_queries.append(sum(t * math.log(t / s) for t, s in zip(target, found, strict=True)))
    return temperature**2 * sum(of_queries) / len(of_queries)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("is_labelled", [False, True])
def test_a_margin_mse_that_is_not_the_papers(seed, is_labelled):
    student, teacher, queries, relevance = candidates(seed)
    given = (student, teacher, queries, relevance if is_labelled else None)
    assert margin_mse_loss(*given).item() == pytest.approx(slow_margin_mse(*given))


def test_relevances_that_change_nothing():
    student, teacher, queries, relevance = candidates()
    with_pairs = margin_mse_loss(student, teacher, queries, relevance)
    assert with_pairs.item() != pytest.approx(margin_mse_loss(student, teacher, queries).item())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_a_listwise_kl_that_is_not_the_papers(seed, temperature):
    student, teacher, queries, _ = candidates(seed)
    found = listwise_kl_loss(student, teacher, queries, temperature=temperature)
    assert found.item() == pytest.approx(slow_listwise_kl(student, teacher, queries, temperature))


@pytest.mark.parametrize("loss", [margin_mse_loss, listwise_kl_loss])
def test_a_loss_that_asks_for_the_teachers_zero(loss):
    student, teacher, queries, _ = candidates()
    shifted = student + 7.0 * queries  # another zero for each query
    assert loss(shifted, teacher, queries).item() == pytest.approx(loss(student, teacher, queries).item())
    assert loss(teacher + 3.0, teacher, queries).item() == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("loss", [margin_mse_loss, listwise_kl_loss])
def test_queries_with_nothing_to_compare(loss):
    student = torch.randn(4, requires_grad=True)
    found = loss(student, torch.randn(4), torch.arange(4))
    found.backward()
    assert found.item() == 0.0
    assert torch.equal(student.grad, torch.zeros(4))


@pytest.mark.parametrize("loss", [margin_mse_loss, listwise_kl_loss])
def test_gradients_that_are_wrong_or_not_finite(loss):
    student, teacher, queries, _ = candidates()
    assert torch.autograd.gradcheck(lambda scores: loss(scores, teacher, queries), (student.requires_grad_(),))
    extreme = (1000.0 * student).detach().requires_grad_()
    loss(extreme, -1000.0 * teacher, queries).backward()
    assert torch.isfinite(extreme.grad).all()
