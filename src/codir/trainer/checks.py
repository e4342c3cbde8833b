"""What a distillation cannot work with, found before anything long begins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import datasets
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainingArguments

from codir.attention import check_attention
from codir.errors import UserError
from codir.language import vocabulary_of
from codir.objectives import Objectives, StagedObjectives
from codir.signals import ModelShape
from codir.teacher import fingerprint_tokenizer


def check_arguments(args: TrainingArguments, trainer_kwargs: Mapping[str, Any], objectives: Objectives) -> None:
    """Refuse what `Trainer` takes and distillation would leave unused in silence."""
    unused = {
        "label_smoothing_factor": args.label_smoothing_factor != 0.0,
        "compute_loss_func": trainer_kwargs.get("compute_loss_func") is not None,
        "data_collator": trainer_kwargs.get("data_collator") is not None,
        "model_init": trainer_kwargs.get("model_init") is not None,
        "optimizers (a scheduler)": trainer_kwargs.get("optimizers", (None, None))[1] is not None
        and (objectives.contrast is not None or isinstance(objectives, StagedObjectives)),
    }
    for name, is_given in unused.items():
        if is_given:
            raise UserError(
                name,
                expected="nothing: losses, batches and heads are made here",
                got="a value",
                otherwise="it would have had no effect, or the heads would not have trained",
                do="leave it out; objectives say what the loss is, `lr_scheduler_type` names a schedule",
            )
    recomputes = args.activation_checkpointing and (args.activation_checkpointing_kwargs or {}).get("use_reentrant")
    if recomputes and objectives.needs.attention:
        raise UserError(
            "activation_checkpointing_kwargs",
            expected="`use_reentrant: False`, for objectives that compare attention",
            got="True",
            otherwise="no gradient would have come from the student's attention",
            do="leave `use_reentrant` out",
        )


def check_models(teacher: PreTrainedModel | None, student: PreTrainedModel, objectives: Objectives) -> None:
    """Refuse a pair that cannot be distilled: no teacher where one is asked, other outputs, attention out of reach."""
    if teacher is None:
        if objectives.needs.teacher:
            raise UserError(
                "teacher", expected="a model, which the objectives ask", got="None", do="pass `teacher=...`"
            )
        return
    of_teacher, of_student = shape_of(teacher).classes, shape_of(student).classes
    if of_teacher != of_student:
        raise UserError(
            "student",
            expected=f"{of_teacher} outputs, as the teacher has",
            got=str(of_student),
            do="load the student with the teacher's `num_labels`, or make it with `codir.build_student`",
        )
    if objectives.needs.attention:
        check_attention(teacher)
        check_attention(student)


def shape_of(model: PreTrainedModel) -> ModelShape:
    """The sizes of a model; a language model has a vocabulary in place of classes."""
    config, vocabulary = model.config, vocabulary_of(model)
    return ModelShape(
        num_layers=int(config.num_hidden_layers),
        hidden=int(config.hidden_size),
        heads=int(getattr(config, "num_attention_heads", 0)),
        classes=0 if vocabulary else int(config.num_labels),
        vocabulary=vocabulary,
    )


def check_tokens(
    dataset: datasets.Dataset,
    of_teacher: PreTrainedTokenizerBase,
    of_student: PreTrainedTokenizerBase,
    objectives: Objectives,
) -> None:
    """Refuse token ids that one of the two would misread, and tokens that cannot be compared one by one."""
    if fingerprint_tokenizer(of_teacher) == fingerprint_tokenizer(of_student):
        return
    if objectives.needs.tokens:
        raise UserError(
            "objectives",
            expected="one tokenizer for teacher and student, since these objectives compare them token by token",
            got="two that read differently",
            otherwise="the student would have learnt from the teacher's view of other words",
            do="take a student that reads with the teacher's tokenizer, or objectives that compare one vector per "
            "example, for which any two tokenizers will do: presets `codir`, `kd`, `pooled-mse`",
        )
    if "input_ids" in dataset.column_names:
        raise UserError(
            "train_dataset",
            expected="texts, since teacher and student read with different tokenizers",
            got="token ids",
            otherwise="the teacher would have been shown the student's token ids",
            do="pass the data set with its column `text`",
        )
