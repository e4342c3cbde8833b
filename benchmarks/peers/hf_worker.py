"""A plain `transformers.Trainer` as a worker, with a teacher forward in `compute_loss`: what people write by hand."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import Trainer, TrainingArguments
from worker import (
    CE_WEIGHT,
    KD_WEIGHT,
    LEARNING_RATE,
    TEMPERATURE,
    Baton,
    autocast_forward,
    feed_trainer,
    load_models,
    load_rows,
    trainer_arguments,
    without_dropout,
)


class KDTrainer(Trainer):  # type: ignore[misc]
    """Distils on logits, and in setting `defaults` on matching hidden states too.

    Args:
        teacher: frozen.
        baton: of this worker.
        **trainer_kwargs: as `Trainer` takes them.
    """

    def __init__(self, teacher: Any, baton: Baton, **trainer_kwargs: Any) -> None:
        super().__init__(**trainer_kwargs)
        self.teacher, self.baton = teacher, baton

    def compute_loss(self, model: Any, inputs: dict[str, Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """Cross-entropy, KL at a temperature, and the hidden states' squared error."""
        plan = self.baton.plan
        labels = inputs.pop("labels")
        with torch.no_grad():
            taught = self.teacher(**inputs, output_hidden_states=not plan.is_equal)
        learned = model(**inputs, output_hidden_states=not plan.is_equal)
        divergence = F.kl_div(
            F.log_softmax(learned.logits.float() / TEMPERATURE, dim=-1),
            F.softmax(taught.logits.float() / TEMPERATURE, dim=-1),
            reduction="batchmean",
        )
        loss = CE_WEIGHT * F.cross_entropy(learned.logits.float(), labels) + KD_WEIGHT * TEMPERATURE**2 * divergence
        if not plan.is_equal:
            for layer, teacher_layer in enumerate(plan.layer_map, start=1):
                loss = loss + F.mse_loss(learned.hidden_states[layer], taught.hidden_states[teacher_layer])
        self.baton.note_loss(loss)
        return loss


def main() -> None:
    """Load, build the trainer, train when told to."""
    baton = Baton("accelerate")
    plan = baton.plan
    rows, collate = load_rows(plan)
    teacher, student = load_models(plan)
    if plan.is_equal:
        teacher = autocast_forward(teacher)  # Trainer does so for the student alone
    if plan.check:
        without_dropout(student)
    args = TrainingArguments(
        plan.scratch,
        per_device_train_batch_size=plan.batch_size,
        learning_rate=LEARNING_RATE,
        bf16=plan.is_equal,
        use_cpu=True,
        remove_unused_columns=False,
        **trainer_arguments(plan),
    )
    trainer = KDTrainer(teacher, baton, model=student, args=args, train_dataset=rows, data_collator=collate)
    feed_trainer(trainer, baton)
    trainer.train()


if __name__ == "__main__":
    main()
