"""What the loop tells the objectives: which step it is, and where a run has stages, which rate each of them has.

Knows the objectives and transformers' schedules; knows no model and no data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR
from transformers import TrainerCallback, TrainerState, TrainingArguments, get_scheduler

from codir.errors import UserError
from codir.objectives import Objectives, StagedObjectives


class StepTeller(TrainerCallback):
    """Before each optimiser step, tells the objectives which one it is, and begins the stage that begins with it.

    Args:
        objectives: the run's.
        begin: called at the first step of every stage but the first, which begins with the run.
    """

    def __init__(self, objectives: Objectives, begin: Callable[[], None]) -> None:
        self.objectives, self.begin = objectives, begin

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Before the first of the step's micro-batches."""
        self.objectives.enter(state.global_step, of=state.max_steps)
        if state.global_step in self.objectives.first_steps(state.max_steps)[1:]:
            self.begin()


def staged_scheduler(
    optimizer: torch.optim.Optimizer, objectives: StagedObjectives, args: TrainingArguments, num_steps: int
) -> LambdaLR:
    """A schedule that in each stage does what `args` say, warm-up included, from that stage's own peak.

    Every parameter group follows, so that heads keep their factor to the student's learning rate.

    Raises:
        UserError: a schedule that goes by metrics.
    """
    firsts = objectives.first_steps(num_steps)
    ends = (*firsts[1:], num_steps)
    shapes = [_shape(args, end - first) for first, end in zip(firsts, ends, strict=True)]
    peaks = [(stage.learning_rate or args.learning_rate) / args.learning_rate for stage in objectives.stages]

    def factor(step: int) -> float:
        stage = sum(first <= step for first in firsts) - 1
        return peaks[stage] * shapes[stage](step - firsts[stage])

    return LambdaLR(optimizer, factor)


def _shape(args: TrainingArguments, num_steps: int) -> Callable[[int], float]:
    """The factor at each step of the schedule that `args` name, over so many steps."""
    of_nothing = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    scheduler = get_scheduler(
        args.lr_scheduler_type,
        optimizer=of_nothing,
        num_warmup_steps=args.get_warmup_steps(num_steps),
        num_training_steps=num_steps,
        scheduler_specific_kwargs=args.lr_scheduler_kwargs,
    )
    if not isinstance(scheduler, LambdaLR):
        raise UserError(
            "lr_scheduler_type",
            expected="a schedule that goes by steps, since each stage has its own",
            got=str(args.lr_scheduler_type),
            do="take `linear`, `cosine` or `constant_with_warmup`, or train without stages",
        )
    shape: Callable[[int], float] = scheduler.lr_lambdas[0]
    return shape
