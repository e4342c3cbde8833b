"""Objectives that follow one another in one training: the stages of a run.

Knows which step it is and nothing else of the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_

from torch import nn

from codir.errors import UserError
from codir.objectives.base import KeepsVectors
from codir.objectives.weighted import WeightedObjectives
from codir.signals import Batch, LossBreakdown, ModelShape, Needs, Negatives, StudentSignal, TeacherSignal


@dataclass(frozen=True)
class Stage:
    """What is descended for a share of all steps.

    Attributes:
        objectives: the terms and their weights.
        share: how long, beside the other stages: of shares 2 and 1 the first takes two thirds of all steps.
        learning_rate: the student's peak in this stage; that of the run by default. Heads keep their factor to it.
        opened_to: makes the objectives that look at the student's layers as far as layer `l`. Where it is given, the
            stage becomes as many stages as the student has layers, of equal shares, each with heads of its own, and
            `objectives` only says beforehand what they need.
    """

    objectives: WeightedObjectives
    share: float = 1.0
    learning_rate: float | None = None
    opened_to: Callable[[int], WeightedObjectives] | None = None

    def opened(self, num_layers: int) -> list[Stage]:
        """This stage, or those that it becomes for a student of so many layers."""
        if self.opened_to is None:
            return [self]
        layers = range(1, num_layers + 1)
        return [
            replace(self, objectives=self.opened_to(layer), share=self.share / num_layers, opened_to=None)
            for layer in layers
        ]


class StagedObjectives(nn.Module):
    """Stages one after another, with one optimiser and one count of steps; only the active one is computed.

    Used like `WeightedObjectives`. The heads of all stages are made at the start, so that one optimiser and one
    checkpoint hold them all. Which stage is active follows from the step alone, so a resumed run is in the right one.

    Layers that open one by one are stages too, see `Stage.opened_to`: progressive knowledge transfer (MobileBERT, Sun
    et al. 2020, arXiv 2004.02984), progressive and stacked internal distillation (Aguilar et al. 2020, arXiv
    1910.03723). Where it departs from MobileBERT: the layers below are not frozen while layer `l` learns, they only
    have no term of their own. The optimiser's moments go on from stage to stage.

    Args:
        stages: in their order.

    Raises:
        UserError: no stage, or a share that is not above 0.

    Example:
        >>> from codir.objectives import HardLabel, SoftTarget
        >>> first = WeightedObjectives({"soft_target": SoftTarget()}, {"soft_target": 1.0})
        >>> then = WeightedObjectives({"hard_label": HardLabel()}, {"hard_label": 1.0})
        >>> objectives = StagedObjectives([Stage(first, share=2.0), Stage(then, learning_rate=1e-5)])
        >>> objectives.first_steps(30)
        (0, 20)
        >>> objectives.enter(20, of=30)
        >>> objectives.active is then, objectives.needs.teacher_logits, objectives.active.needs.teacher_logits
        (True, True, False)
    """

    def __init__(self, stages: Sequence[Stage]) -> None:
        super().__init__()
        if not stages or min(stage.share for stage in stages) <= 0:
            raise UserError(
                "stages",
                expected="at least one, each with a share above 0",
                got=str([stage.share for stage in stages]),
                do="leave out a stage that should not run",
            )
        self._set_stages(stages)
        self._is_built = False

    def _set_stages(self, stages: Sequence[Stage]) -> None:
        self.stages, self.position = tuple(stages), 0
        self.of_stage = nn.ModuleList(stage.objectives for stage in stages)

    @property
    def active(self) -> WeightedObjectives:
        """The objectives of the stage that training is in."""
        return self.stages[self.position].objectives

    @property
    def weights(self) -> dict[str, float]:
        """Of the active stage's terms."""
        return self.active.weights

    @property
    def needs(self) -> Needs:
        """What all stages together ask for."""
        return reduce(or_, (stage.objectives.needs for stage in self.stages))

    @property
    def contrast(self) -> KeepsVectors | None:
        """The contrast of the active stage, or else of the first stage that has one."""
        contrasts = self._contrasts()
        return self.active.contrast or (contrasts[0] if contrasts else None)

    def _contrasts(self) -> list[KeepsVectors]:
        return [stage.objectives.contrast for stage in self.stages if stage.objectives.contrast is not None]

    def build(self, *, teacher: ModelShape | None, student: ModelShape) -> None:
        """Open the stages that go layer by layer, and make the weights of all, once.

        Raises:
            UserError: in use already, or models that do not fit, as `WeightedObjectives.build`; contrasts of several
                sizes, which cannot share a memory.
        """
        if not self._is_built:  # a second time, the stages themselves refuse
            self._set_stages([opened for stage in self.stages for opened in stage.opened(student.num_layers)])
        self._is_built = True
        sizes = {contrast.projection_dim for contrast in self._contrasts()}
        if len(sizes) > 1:
            raise UserError(
                "stages",
                expected="one `projection_dim` for all contrasts, since they share a memory",
                got=", ".join(map(str, sorted(sizes))),
                do="give them the same",
            )
        for stage in self.stages:
            stage.objectives.build(teacher=teacher, student=student)

    def first_steps(self, num_steps: int) -> tuple[int, ...]:
        """The step, counted from 0, with which each stage begins.

        Raises:
            UserError: fewer steps than it takes for each stage to have one.
        """
        whole = sum(stage.share for stage in self.stages)
        before = [sum(stage.share for stage in self.stages[:place]) for place in range(len(self.stages))]
        firsts = tuple(round(share / whole * num_steps) for share in before)
        if len({*firsts, num_steps}) <= len(firsts):
            raise UserError(
                "stages",
                expected=f"at least one optimiser step for each of {len(firsts)} stages",
                got=f"{num_steps} steps in all",
                do="train longer, or give short stages a larger share",
            )
        return firsts

    def enter(self, step: int, *, of: int) -> None:
        """Make the stage active that a step belongs to, of so many steps in all, and tell it which of its own it is."""
        firsts = self.first_steps(of)
        self.position = sum(first <= step for first in firsts) - 1
        self.active.enter(step - firsts[self.position], of=of)

    def forward(
        self, student: StudentSignal, teacher: TeacherSignal, batch: Batch, negatives: Negatives | None = None
    ) -> LossBreakdown:
        """Compute the active stage's terms and their weighted sum."""
        return self.active(student, teacher, batch, negatives)


Objectives = WeightedObjectives | StagedObjectives
"""What a run descends: the same terms from its first step to its last, or stages."""
