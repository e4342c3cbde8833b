"""The student and the heads that train beside it, as one module that `accelerate` can wrap.

Knows the student and the objectives; of the teacher it sees only a signal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from codir.models import kind_of_model, run_model
from codir.objectives import Objectives, token_label_loss
from codir.signals import Batch, LossBreakdown, Negatives, StudentSignal, TeacherSignal, TokenPosition, take_words


class Distiller(nn.Module):
    """Student plus objectives: everything that has weights to train.

    Called with a teacher's signal it returns the loss; called without one it is the bare student, so that evaluation
    and prediction need no teacher.

    Args:
        student: the model that stays.
        objectives: built already; their heads go with the training.
        cls_position: where the student's tokenizer puts the token that speaks for the sequence.
    """

    accepts_loss_kwargs = False  # the loss is a mean over examples; Trainer then scales it for accumulation

    def __init__(self, student: PreTrainedModel, objectives: Objectives, cls_position: TokenPosition = "first") -> None:
        super().__init__()
        self.student, self.objectives, self.cls_position = student, objectives, cls_position

    @property
    def config(self) -> PreTrainedConfig:
        """The student's configuration, which `Trainer` and its callbacks read."""
        return self.student.config

    def get_input_embeddings(self) -> nn.Module:
        """The student's, which `TrainingArguments.neftune_noise_alpha` adds noise to."""
        return self.student.get_input_embeddings()

    def activation_checkpointing_enable(self, **kwargs: Any) -> None:
        """Hand `TrainingArguments.activation_checkpointing` on to the student."""
        self.student.activation_checkpointing_enable(**kwargs)

    def forward(
        self,
        labels: Tensor | None = None,
        *,
        batch: Batch | None = None,
        teacher: TeacherSignal | None = None,
        negatives: Negatives | None = None,
        words: Tensor | None = None,
        **model_inputs: Tensor,
    ) -> SequenceClassifierOutput | tuple[LossBreakdown, dict[str, Tensor]]:
        """Return the loss and the vectors for the memories; without a teacher, the logits and the task's loss.

        A language model is asked with a batch even then: its logits are those of the predicted positions.
        """
        if batch is None:
            kind, logits = kind_of_model(self.student), self.student(**model_inputs).logits
            logits = take_words(logits, words) if words is not None else logits
            loss = None if labels is None else kind.hard_loss(logits.float(), labels)
            return SequenceClassifierOutput(loss=loss, logits=logits)
        if teacher is None:
            *_, token_logits = run_model(self.student, batch.model_inputs, predicted=batch.predicted)
            assert token_logits is not None, "a batch without a teacher is for a language model"
            return SequenceClassifierOutput(token_label_loss(token_logits, batch.predicted_tokens), token_logits)
        signal = self.student_signal(batch.model_inputs, batch.predicted, batch.word_positions)
        with torch.autocast(signal.logits.device.type, enabled=False):  # losses in fp32, whatever the products run in
            breakdown = self.objectives(signal, teacher, batch, negatives)
        return breakdown, self._vectors_of_the_step()

    def student_signal(
        self, model_inputs: Mapping[str, Tensor], predicted: Tensor | None = None, words: Tensor | None = None
    ) -> StudentSignal:
        """Run the student for what the active objectives ask of it, and no more."""
        needs = self.objectives.active.needs
        return StudentSignal(
            *run_model(
                self.student,
                model_inputs,
                pooled=needs.student_pooled,
                hidden_states=needs.hidden_states,
                attention=needs.attention,
                predicted=predicted if needs.student_token_logits else None,
                words=words,
                cls_position=self.cls_position,
            )
        )

    def _vectors_of_the_step(self) -> dict[str, Tensor]:
        """What the memories keep of these examples, by side: the very vectors that the loss was computed from."""
        contrast, negatives = self.objectives.active.contrast, self.objectives.active.needs.negatives
        if contrast is None or negatives is None:
            return {}
        kept = {"student": negatives.from_student, "teacher": negatives.teacher_remembered}
        if not any(kept.values()):
            return {}
        return {side: vectors for side, vectors in contrast.vectors_of_the_step().items() if kept[side]}

    @torch.no_grad()
    def student_vectors(self, model_inputs: Mapping[str, Tensor]) -> Tensor:
        """The student's view of some examples, as a memory keeps it."""
        contrast, signal = self.objectives.active.contrast, self.student_signal(model_inputs)
        assert contrast is not None, "only a contrast has a memory to fill"
        with torch.autocast(signal.logits.device.type, enabled=False):
            return contrast.embed_student(signal)
