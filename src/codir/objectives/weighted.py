"""The sum that training descends: objectives by name, each with its weight."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, reduce
from operator import or_

import torch
from torch import Tensor, nn

from codir.errors import UserError
from codir.objectives.base import KeepsVectors, Objective
from codir.signals import Batch, LossBreakdown, ModelShape, Needs, Negatives, StudentSignal, TeacherSignal


class WeightedObjectives(nn.Module):
    """`total = sum_name weight_name * objective_name`, every term a mean over examples.

    The weight of an objective with `warmup_steps` W is multiplied by `min(1, (step + 1) / W)`, steps counted from 0;
    `enter` tells the step, as the trainer does, and until it is told, weights are what they are.

    Args:
        objectives: by the name under which their terms are logged.
        weights: one per objective.

    Raises:
        UserError: no objective at all, or names and weights that do not match.

    Example:
        >>> from codir.objectives import HardLabel, SoftTarget
        >>> objectives = WeightedObjectives({"task": HardLabel(), "kd": SoftTarget()}, {"task": 0.3, "kd": 0.7})
        >>> objectives.needs.teacher_logits, objectives.needs.negatives
        (True, None)
    """

    def __init__(self, objectives: Mapping[str, Objective], weights: Mapping[str, float]) -> None:
        super().__init__()
        if not objectives or set(objectives) != set(weights):
            raise UserError(
                "objectives",
                expected="at least one, and a weight for each",
                got=f"objectives {sorted(objectives)} with weights {sorted(weights)}",
                do="give every objective a weight above 0",
            )
        self.objectives = nn.ModuleDict(objectives)
        self.weights = dict(weights)
        self._is_built = False
        self.step: Tensor  # a tensor, so that a compiled step is not compiled again
        self.register_buffer("step", torch.tensor(torch.inf), persistent=False)

    def _all(self) -> list[tuple[str, Objective]]:
        return [(name, module) for name, module in self.objectives.items() if isinstance(module, Objective)]

    @property
    def active(self) -> WeightedObjectives:
        """What is computed now: these objectives, always; see `StagedObjectives`."""
        return self

    def first_steps(self, num_steps: int) -> tuple[int, ...]:
        """The one stage that this is begins at once; see `StagedObjectives`."""
        return (0,)

    def enter(self, step: int, *, of: int) -> None:
        """Tell which optimiser step comes next, counted from 0, of so many; weights that rise go by it."""
        self.step.fill_(step)

    def _weight(self, name: str, objective: Objective) -> float | Tensor:
        weight = self.weights[name]
        if not objective.warmup_steps:
            return weight
        return weight * torch.clamp((self.step + 1) / objective.warmup_steps, max=1)

    @property
    def contrast(self) -> KeepsVectors | None:
        """The objective whose vectors are remembered, if there is one."""
        return next((objective for _, objective in self._all() if isinstance(objective, KeepsVectors)), None)

    @cached_property
    def needs(self) -> Needs:
        """What all objectives together ask for."""
        return reduce(or_, (objective.needs for _, objective in self._all()))

    def build(self, *, teacher: ModelShape | None, student: ModelShape) -> None:
        """Make the weights of every objective that has any, once.

        Raises:
            UserError: these objectives are in use by a trainer already, whose heads would be replaced under its feet;
                or one of them cannot match models of these sizes.
        """
        if self._is_built:
            raise UserError(
                "objectives",
                expected="objectives that no other trainer uses",
                got="ones that are built already",
                do="make new ones, with `codir.preset(...)`, for each trainer",
            )
        self._is_built = True
        for _, objective in self._all():
            objective.build(teacher=teacher, student=student)

    def forward(
        self, student: StudentSignal, teacher: TeacherSignal, batch: Batch, negatives: Negatives | None = None
    ) -> LossBreakdown:
        """Compute every term and their weighted sum."""
        terms = {name: objective(student, teacher, batch, negatives) for name, objective in self._all()}
        total = torch.stack([self._weight(name, objective) * terms[name] for name, objective in self._all()]).sum()
        return LossBreakdown(total, {name: term.detach() for name, term in terms.items()})
