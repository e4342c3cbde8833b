"""What a distillation cannot work with, found before anything long begins."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import datasets
import pyarrow.compute as pc
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainingArguments

from codir.data import note_unknown_tokens
from codir.errors import UserError
from codir.models import (
    check_attention,
    check_label_order,
    check_max_length,
    check_one_stack,
    check_own_tokenizer,
    check_segments,
    check_tokenizer_fits,
    count_embeddings,
    count_positions,
    in_full_precision,
    is_masked,
    names_of,
    reads_ahead,
    shape_of,
    vocabulary_of,
)
from codir.objectives import Objectives, StagedObjectives
from codir.store import fingerprint_tokenizer
from codir.system import check_sharding
from codir.tasks import language_task
from codir.trainer.neighbours import asks_for_neighbours

logger = logging.getLogger(__name__)


def check_readers(
    teacher: PreTrainedModel | None,
    student: PreTrainedModel,
    of_student: PreTrainedTokenizerBase | None,
    of_teacher: PreTrainedTokenizerBase | None,
    dataset: Any,
    max_length: int,
) -> PreTrainedTokenizerBase:
    """Refuse models that would misread their texts, or lack positions for them; weights in bf16 or fp16 become fp32.

    Args:
        teacher: as the trainer gets it.
        student: as the trainer gets it.
        of_student: the student's tokenizer.
        of_teacher: the teacher's, where one was given.
        dataset: training rows, as texts or as token ids.
        max_length: tokens per text at most.

    Returns:
        The student's tokenizer.

    Raises:
        UserError: there are no rows, a tokenizer is missing or another model's, positions are too few, or classes are
            in another order.
    """
    if isinstance(dataset, datasets.Dataset) and not len(dataset):
        raise UserError("train_dataset", expected="rows to learn from", got="none", do="pass a data set with rows")
    of_student = _given(of_student)
    readers = {"student": (student, of_student)}
    if teacher is not None:
        readers["teacher"] = (teacher, of_teacher or of_student)
        if of_teacher is None:
            check_own_tokenizer(teacher, of_student)
    for role, (model, tokenizer) in readers.items():
        in_full_precision(model, role)
        _check_reading(role, model, tokenizer, dataset, max_length)
    check_class_names(teacher, student, dataset)
    return of_student


def _check_reading(
    role: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, dataset: Any, max_length: int
) -> None:
    columns = dataset.column_names if isinstance(dataset, datasets.Dataset) else []  # `prepare` refuses anything else
    are_texts = "input_ids" not in columns
    check_tokenizer_fits(model, tokenizer, pairs=are_texts and "text_pair" in columns, role=role)
    if are_texts:
        check_max_length(model, max_length)
    else:
        check_token_ids(model, dataset, role)
    if {"text", "words", "input_ids"} & {*columns}:
        for note in note_unknown_tokens(dataset, tokenizer):
            logger.warning("The %s: %s", role, note)


def check_class_names(teacher: PreTrainedModel | None, student: PreTrainedModel, dataset: Any) -> None:
    """Refuse class names in one order here and in another there: in the models' configs and in a `ClassLabel` column.

    Raises:
        UserError: teacher, student and data do not number their classes alike.
    """
    features = getattr(dataset, "features", None) or {}
    feature = features.get("label", features.get("labels"))
    feature = getattr(feature, "feature", feature)  # of a list, of each in it
    of_data = feature.names if isinstance(feature, datasets.ClassLabel) else None
    of_student = names_of(student)
    if teacher is not None:
        check_label_order(names_of(teacher), of_data)
        check_label_order(names_of(teacher), of_student, got="the student's")
    check_label_order(of_student, of_data, whose="the student's")


def check_token_ids(model: PreTrainedModel, dataset: datasets.Dataset, role: str) -> None:
    """Refuse rows of token ids that a model has no embeddings or positions for.

    Raises:
        UserError: a row is too long, or a number too high.
    """
    longest, tokens, segments = _extent(dataset)
    check_segments(model, segments, role=role)
    if tokens > (embeddings := count_embeddings(model)):
        raise UserError(
            "train_dataset",
            expected=f"token ids below {embeddings}, as many as the {role} has embeddings",
            got=str(tokens - 1),
            do=f"tokenise the texts with the {role}'s own tokenizer, or pass them with their column `text`",
        )
    positions = count_positions(model)
    if positions is not None and longest > positions:
        raise UserError(
            "train_dataset",
            expected=f"rows of at most {positions} tokens, the positions that the {role} was built with",
            got=f"one of {longest}",
            do=f"tokenise with `truncation=True, max_length={positions}`",
        )


def _extent(dataset: datasets.Dataset) -> tuple[int, int, int]:
    """Tokens of the longest row; one more than the highest token id, and than the highest segment number."""
    longest, ends = 0, {"input_ids": 0, "token_type_ids": 0}
    columns = [name for name in ends if name in dataset.column_names]
    for table in dataset.select_columns(columns).with_format("arrow").iter(batch_size=65_536):
        longest = max(longest, pc.max(pc.list_value_length(table["input_ids"])).as_py() or 0)
        for name in columns:
            ends[name] = max(ends[name], (pc.max(pc.list_flatten(table[name])).as_py() or 0) + 1)
    return longest, ends["input_ids"], ends["token_type_ids"]


def _given(tokenizer: PreTrainedTokenizerBase | None) -> PreTrainedTokenizerBase:
    if tokenizer is None:
        raise UserError(
            "processing_class",
            expected="the student's tokenizer, which also pads the batches",
            got="None",
            do="pass `processing_class=tokenizer`",
        )
    return tokenizer


def check_arguments(args: TrainingArguments, trainer_kwargs: Mapping[str, Any], objectives: Objectives) -> None:
    """Refuse what `Trainer` takes and distillation would leave unused in silence."""
    check_sharding(args.fsdp, args.deepspeed)
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
    if args.max_steps != -1 and args.max_steps < 1:
        raise UserError(
            "max_steps",
            expected="at least 1, or -1 where `num_train_epochs` counts",
            got=str(args.max_steps),
            otherwise="the run would have gone by `num_train_epochs`",
            do="say how many steps, or leave it out",
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
    """Refuse a pair that cannot be distilled: no documents where neighbours are wanted, other outputs, no attention.

    And layers of two kinds, where objectives read layers.
    """
    needs = objectives.needs
    reads = {
        "teacher": (teacher, needs.hidden_states or bool(needs.teacher_pooled)),
        "student": (student, needs.hidden_states or bool(needs.student_pooled)),
    }
    for role, (model, reads_layers) in reads.items():
        if model is not None and reads_layers:
            do = "name a model of another type, such as bert, or take objectives that need no layers: preset `kd`"
            check_one_stack(model.config, f"{role}, for objectives that read layers", do=do)
    if teacher is None:
        return
    if asks_for_neighbours(objectives) and not vocabulary_of(student):
        raise UserError(
            "contrastive.strategy",
            expected="in fine-tuning, one that goes by labels",
            got="`neighbours`",
            otherwise="there would have been no documents whose neighbours to take",
            do="leave it out, or take `any`; `neighbours` is for `codir pretrain`",
        )
    of_teacher, of_student = shape_of(teacher).classes, shape_of(student).classes
    kind = shape_of(student).kind
    if of_teacher != of_student and (kind is None or "answers" in kind.offers):
        raise UserError(
            "student",
            expected=f"{of_teacher} outputs, as the teacher has",
            got=str(of_student),
            do="load the student with the teacher's `num_labels`, or make it with `codir.build_student`",
        )
    if needs.attention:
        check_attention(teacher)
        check_attention(student)


def check_pretraining(teacher: PreTrainedModel | None, student: PreTrainedModel, objectives: Objectives) -> None:
    """Refuse models that predict no tokens, or not the same kind of them, and negatives that are out of reach.

    Raises:
        UserError: a head is missing, the two predict different tokens, or negatives are out of reach.
    """
    check_pretraining_negatives(objectives)
    models = {"teacher": teacher, "student": student}
    for role, model in models.items():
        if model is not None:
            check_language_model(model, role)
    if teacher is not None and is_masked(teacher.config) != is_masked(student.config):
        kinds = {masked: language_task(is_masked=masked).name for masked in (True, False)}
        raise UserError(
            "student",
            expected=f"a model that predicts {kinds[is_masked(teacher.config)]}, as its teacher does",
            got=f"one that predicts {kinds[is_masked(student.config)]}",
            do="cut the student from the teacher, or take another of its kind",
        )


def check_sequences(corpus: datasets.Dataset) -> None:
    """Refuse a corpus with nothing to predict.

    Raises:
        UserError: there are no sequences, or columns are missing.
    """
    missing = {"input_ids", "document_id", "example_index"} - set(corpus.column_names)
    if missing or not len(corpus):
        raise UserError(
            "train_dataset",
            expected="sequences with `input_ids`, `document_id` and `example_index`",
            got=f"none with {' and '.join(sorted(missing))}" if missing else "no sequence at all",
            do="make them with `codir.data.load_corpus`",
        )


def check_language_model(model: PreTrainedModel, role: str) -> None:
    """Refuse a model without a language-model head, and one that would copy the token that it is to predict.

    Raises:
        UserError: it has no language-model head, or sees the tokens that it predicts.
    """
    name = type(model).__name__
    if not vocabulary_of(model):
        raise UserError(
            role,
            expected="a model with a language-model head",
            got=name,
            do="load it with `AutoModelForMaskedLM` or `AutoModelForCausalLM`",
        )
    if not is_masked(model.config) and reads_ahead(model):
        raise UserError(
            role,
            expected="a causal model, or one that transformers has a masked-LM head for",
            got=f"{name}, whose tokens see those after them",
            otherwise="it would have learned to copy the next token, not to predict it",
            do="take another type of model, such as BERT, ModernBERT, GPT-2, Llama or Qwen",
        )


def check_pretraining_negatives(objectives: Objectives) -> None:
    """Refuse negatives that would have to be read from a cache or a bank: a corpus is masked anew at every step.

    Raises:
        UserError: negatives would be looked up by index.
    """
    needs = objectives.needs.negatives
    if needs is None or needs.source == "batch" or (needs.memory in ("queue", "momentum") and not needs.from_teacher):
        return
    raise UserError(
        "contrastive",
        expected="`memory: queue` or `momentum`, for the student's anchor with `keys: queued`, or `source: batch`, in "
        "pre-training",
        got=f"{'teacher' if needs.from_teacher else 'student'} vectors of any row, memory `{needs.memory}`",
        otherwise="every step would have read its negatives anew, or a bank would have had a slot for every sequence, "
        "visited once in an epoch",
        do="take the preset `codir-pre`, or those settings",
    )


def check_same_windows(of_teacher: PreTrainedTokenizerBase, of_student: PreTrainedTokenizerBase) -> None:
    """Refuse two tokenizers where teacher and student must agree on where an answer starts and ends.

    Raises:
        UserError: they read differently.
    """
    if fingerprint_tokenizer(of_teacher) != fingerprint_tokenizer(of_student):
        raise UserError(
            "student",
            expected="the teacher's tokenizer, for question answering",
            got=f"another ({type(of_student).__name__}, where the teacher's is {type(of_teacher).__name__})",
            otherwise="the student would have learnt starts and ends of other tokens",
            do="cut the student from the teacher with `--student-layers`, or take one that reads as its teacher does",
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
            do="pass the data set with its column `text` or `words`",
        )
