"""The teacher's distribution over the candidates of a query."""

from __future__ import annotations

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from codir.config.words import LIST_TEMPERATURE
from codir.objectives.base import Objective
from codir.objectives.parts.candidates import mean_over_queries, queries_of, same_query
from codir.signals import Batch, Needs, Negatives, StudentSignal, TeacherSignal


def listwise_kl_loss(
    student_scores: Float[Tensor, " batch"],
    teacher_scores: Float[Tensor, " batch"],
    queries: Shaped[Tensor, " batch"],
    *,
    temperature: float = LIST_TEMPERATURE,
) -> Float[Tensor, ""]:
    """`T^2 KL(softmax(t / T) || softmax(s / T))` over the candidates of a query, mean over queries.

    The softmax over candidates is ListNet's "top one" probability (Cao et al. 2007, ICML, §4); the teacher's scores as
    its target, by KL, are the distillation of ColBERTv2 (Santhanam et al. 2021, arXiv 2112.01488, §3.2). The factor
    `T^2` is that of `soft_target_loss`. The student may place its scores anywhere, as in `margin_mse_loss`; unlike
    there, candidates that the teacher holds for hopeless hardly count.

    Args:
        student_scores: of the candidates.
        teacher_scores: of the same candidates.
        queries: which query each candidate belongs to; one with a single candidate does not count.
        temperature: T > 0; 1 takes the teacher's scores for log-odds as they are.

    Returns:
        0, with a zero gradient, where no query has two candidates.

    Example:
        >>> teacher, queries = torch.tensor([8.0, 0.0, 1.0]), torch.tensor([7, 7, 8])
        >>> listwise_kl_loss(torch.tensor([0.0, 0.0, 3.0]), teacher, queries, temperature=4.0)
        tensor(5.2450)
    """
    same = same_query(queries)

    def log_probs(scores: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        softened = scores / temperature
        return softened - torch.where(same, softened, -torch.inf).logsumexp(dim=1)

    of_student, of_teacher = log_probs(student_scores), log_probs(teacher_scores)
    return temperature**2 * mean_over_queries(of_teacher.exp() * (of_teacher - of_student), same)


class ListwiseKL(Objective):
    """KL between distributions over candidates; see `listwise_kl_loss`.

    The mean is over the queries of the whole step, as in `MarginMSE`.

    Args:
        list_temperature: T, 1 by default.

    Raises:
        UserError: when built, for a student that does not rank candidates.
    """

    needs = Needs(teacher_logits=True, demands=frozenset({"classes"}), of_kind=frozenset({"answers", "groups"}))

    def __init__(self, list_temperature: float = LIST_TEMPERATURE) -> None:
        super().__init__()
        self.list_temperature = list_temperature

    def forward(
        self, student: StudentSignal, teacher: TeacherSignal, batch: Batch, negatives: Negatives | None
    ) -> Float[Tensor, ""]:
        """The batch's part of the mean over the step's queries, labelled or not."""
        queries = queries_of(batch, self.kind, self.term)
        scores = student.logits.squeeze(1), teacher.logits.squeeze(1)
        return listwise_kl_loss(*scores, queries, temperature=self.list_temperature) * batch.group_weight
