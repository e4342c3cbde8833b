"""Rows of one query: which they are, and a mean over queries."""

from __future__ import annotations

from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from codir.errors import UserError
from codir.signals import Batch
from codir.tasks import Kind


def same_query(queries: Shaped[Tensor, " batch"]) -> Bool[Tensor, "batch batch"]:
    """Which rows are candidates of one query."""
    return queries[:, None] == queries


def mean_over_queries(sums: Float[Tensor, " batch"], same: Bool[Tensor, "batch batch"]) -> Float[Tensor, ""]:
    """What the rows of a query add up to, mean over the queries that have at least two; 0 where none has.

    Args:
        sums: each row's part in its query's loss.
        same: from `same_query`.

    Example:
        >>> import torch
        >>> same = same_query(torch.tensor([7, 7, 8]))  # query 8 has nothing to compare
        >>> mean_over_queries(torch.tensor([1.0, 2.0, 9.0]), same)
        tensor(3.)
    """
    sizes = same.sum(dim=1)
    counts = sizes > 1
    queries = (counts / sizes).sum()
    return (sums * counts).sum() / queries.clamp(min=1)


def queries_of(batch: Batch, kind: Kind | None, term: str) -> Tensor:
    """The query of each row of a batch.

    Raises:
        UserError: the rows say no query.
    """
    queries = None if kind is None or batch.labels is None else kind.units(batch.labels)
    if queries is None:
        raise UserError(
            term,
            expected="rows that say which query they belong to",
            got="rows without",
            do="give the training set a column `group`, beside `text`, `text_pair` and `label`",
        )
    return queries
