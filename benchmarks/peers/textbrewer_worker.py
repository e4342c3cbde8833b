"""TextBrewer as a worker: `GeneralDistiller` and its own training loop."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from textbrewer import DistillationConfig, GeneralDistiller, TrainingConfig  # type: ignore[import-not-found]
from torch import Tensor
from worker import (
    CE_WEIGHT,
    KD_WEIGHT,
    LEARNING_RATE,
    MAX_GRAD_NORM,
    TEMPERATURE,
    Baton,
    Plan,
    WaitingLoader,
    autocast_forward,
    batches_of,
    equal_optimizer,
    load_models,
    load_rows,
    without_dropout,
)

SCALED_KD_WEIGHT = KD_WEIGHT * TEMPERATURE**2
"""TextBrewer does not multiply its KD by the squared temperature."""


class Distiller(GeneralDistiller):  # type: ignore[misc]
    """The library's distiller, with its loss told to the driver where that is asked for.

    TextBrewer's KD is a cross-entropy with the teacher's answers; to compare it with the others' divergence, the
    teacher's entropy, which has no gradient, is taken off what is told.
    """

    baton: Baton

    def compute_loss(self, results_S: Any, results_T: Any) -> Any:  # noqa: N803
        """The library's own."""
        total, terms = super().compute_loss(results_S, results_T)
        if self.baton.plan.check:
            self.baton.note_loss(total - SCALED_KD_WEIGHT * entropy(results_T["logits"][0] / TEMPERATURE))
        return total, terms


def entropy(logits: Tensor) -> Tensor:
    """Mean over the batch of the entropy of `softmax(logits)`."""
    return -(F.softmax(logits, dim=-1) * F.log_softmax(logits, dim=-1)).sum(dim=-1).mean()


def adaptor(batch: dict[str, Tensor], outputs: Any) -> dict[str, Any]:
    """How TextBrewer is told what is what in a model's answer."""
    found = {"logits": outputs.logits, "losses": F.cross_entropy(outputs.logits, batch["labels"])}
    if outputs.hidden_states is not None:
        found |= {"hidden": outputs.hidden_states, "inputs_mask": batch["attention_mask"]}
    return found


def distill_config(plan: Plan) -> Any:
    """The shared loss in setting `equal`; else TextBrewer's defaults and a match for each student layer."""
    if plan.is_equal:
        return DistillationConfig(temperature=TEMPERATURE, kd_loss_weight=SCALED_KD_WEIGHT, hard_label_weight=CE_WEIGHT)
    matches = [
        {"layer_T": teacher_layer, "layer_S": layer, "feature": "hidden", "loss": "hidden_mse", "weight": 1}
        for layer, teacher_layer in enumerate(plan.layer_map, start=1)
    ]
    return DistillationConfig(intermediate_matches=matches)


def main() -> None:
    """Load, build the distiller, train when told to."""
    baton = Baton("textbrewer")
    plan = baton.plan
    rows, collate = load_rows(plan)
    teacher, student = load_models(plan)
    if plan.check:
        without_dropout(student)
    if plan.is_equal:
        teacher, student = autocast_forward(teacher), autocast_forward(student)
        optimizer, extra = equal_optimizer(student), {"max_grad_norm": MAX_GRAD_NORM}
    else:
        optimizer = torch.optim.AdamW(student.parameters(), lr=LEARNING_RATE)
        extra = {"output_hidden_states": True}  # handed on to both models
    training = TrainingConfig(output_dir=plan.scratch, device="cpu")
    distiller = Distiller(training, distill_config(plan), teacher, student, adaptor, adaptor)
    distiller.baton = baton
    with distiller:
        distiller.train(optimizer, WaitingLoader(batches_of(plan, rows, collate), baton), num_epochs=1, **extra)


if __name__ == "__main__":
    main()
