"""Margins between candidates: how much better one is than another, as the teacher sees it."""

from __future__ import annotations

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from codir.objectives.base import Objective
from codir.objectives.parts.candidates import mean_over_queries, queries_of, same_query
from codir.signals import Batch, Needs, Negatives, StudentSignal, TeacherSignal


def margin_mse_loss(
    student_scores: Float[Tensor, " batch"],
    teacher_scores: Float[Tensor, " batch"],
    queries: Shaped[Tensor, " batch"],
    relevance: Float[Tensor, " batch"] | None = None,
) -> Float[Tensor, ""]:
    """`((s_p - s_n) - (t_p - t_n))^2`, mean over the pairs `p, n` of a query, then over queries.

    Margin-MSE of Hofstätter et al. 2020 (arXiv 2010.02666): the student may place its scores anywhere, and learns the
    distances between them alone. The paper's pairs are a relevant passage and one that is not. Here they are all pairs
    of a query whose relevances differ; where none do, or nothing is known of them, all its pairs. A query with many
    pairs weighs as much as one with few, where the paper has one pair for each line of its training file.

    Args:
        student_scores: of the candidates.
        teacher_scores: of the same candidates.
        queries: which query each candidate belongs to; one with a single candidate does not count.
        relevance: of the candidates, NaN where there is none.

    Returns:
        0, with a zero gradient, where no query has two candidates.

    Example:
        >>> teacher, queries = torch.tensor([5.0, 1.0, 0.0]), torch.tensor([7, 7, 8])
        >>> margin_mse_loss(torch.tensor([3.0, 1.0, 9.0]), teacher, queries)  # margins 2 and 4
        tensor(4.)
    """
    same = same_query(queries)
    pairs = same & ~torch.eye(len(queries), dtype=torch.bool, device=queries.device)
    if relevance is not None:
        ordered = same & (relevance[:, None] > relevance)
        has_ordered = (same & (ordered.any(dim=1) | ordered.any(dim=0))).any(dim=1)
        pairs = torch.where(has_ordered[:, None], ordered, pairs)
    apart = student_scores - teacher_scores
    squares = torch.where(pairs, (apart[:, None] - apart).square(), 0.0)
    of_query = (same * pairs.sum(dim=1)).sum(dim=1).clamp(min=1)
    return mean_over_queries(squares.sum(dim=1) / of_query, same)


class MarginMSE(Objective):
    """Squared error between margins; see `margin_mse_loss`.

    Where micro-batches are accumulated, or several processes train, the mean is over the queries of the whole step:
    `Batch.group_weight` says what part of them this batch has.

    Raises:
        UserError: when built, for a student that does not rank candidates.
    """

    needs = Needs(teacher_logits=True, demands=frozenset({"classes"}), of_kind=frozenset({"answers", "groups"}))

    def forward(
        self, student: StudentSignal, teacher: TeacherSignal, batch: Batch, negatives: Negatives | None
    ) -> Float[Tensor, ""]:
        """The batch's part of the mean over the step's queries, labelled or not."""
        queries = queries_of(batch, self.kind, self.term)
        assert batch.labels is not None, "they say the queries"
        scores = student.logits.squeeze(1), teacher.logits.squeeze(1)
        return margin_mse_loss(*scores, queries, batch.labels[:, 0]) * batch.group_weight
