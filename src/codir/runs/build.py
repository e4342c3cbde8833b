"""The one place where configuration meets the rooms: each function turns a section into a part."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments

from codir.config import (
    DataConfig,
    FinetuneConfig,
    ObjectivesConfig,
    Recipe,
    StudentConfig,
    TrainingConfig,
)
from codir.data import LoadedData, Task, load_data
from codir.errors import UserError, nearest
from codir.measure import TorchRunner, compute_metrics
from codir.models import Reader, label_names, load_model, load_tokenizer
from codir.runs.objectives import build_objectives
from codir.student import build_student
from codir.system import default_device, resolve_dtype
from codir.trainer import DistillationTrainer


def load_reader(path: str) -> Reader:
    """A model with a trained head, and its tokenizer, on the device that computes."""
    tokenizer = load_tokenizer(path)
    return Reader(load_model(path, tokenizer).to(default_device()), tokenizer, folder=Path(path))


def runner_of(reader: Reader, dtype: torch.dtype) -> TorchRunner:
    """A model as measurements see it, on the device that computes."""
    reader.model.to(default_device())
    return TorchRunner.of(reader, dtype)


def load(data: DataConfig, reader: Reader | None = None, *, evaluation_only: bool = False) -> LoadedData:
    """Read the data set that a recipe names, with the classes of a given model in mind."""
    arguments = data.model_dump(exclude={"source", "max_length"})
    if reader is not None:
        names = label_names(reader.model)
        arguments |= {"num_labels": reader.model.config.num_labels, "model_names": names}
    return load_data(data.source, evaluation_only=evaluation_only, **arguments)


def head_for(task: Task) -> dict[str, Any]:
    """What a new head has to know of the task."""
    problem = "regression" if task.is_regression else "single_label_classification"
    return {
        "num_labels": task.num_labels,
        "id2label": task.id2label,
        "label2id": task.label2id,
        "problem_type": problem,
    }


def make_student(config: StudentConfig, teacher: Reader, *, seed: int) -> Reader:
    """The student that a recipe describes; it reads with the teacher's tokenizer unless it brings its own."""
    model = build_student(teacher.model, **config.model_dump(), seed=seed)
    tokenizer = load_tokenizer(config.checkpoint) if config.checkpoint else teacher.tokenizer
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id
    return Reader(model, tokenizer)


def build_training_arguments(config: TrainingConfig, output_dir: Path) -> TrainingArguments:
    """`TrainingArguments` of a recipe: its own keys, codir's defaults, and the precision that the processor has.

    Raises:
        UserError: a key that `TrainingArguments` does not know.
    """
    device = default_device()
    arguments: dict[str, Any] = {
        "output_dir": str(output_dir),
        "bf16": resolve_dtype(config.precision, device) == torch.bfloat16,
        "use_cpu": device.type == "cpu",
        **config.trainer_arguments(),
    }
    known = {field.name for field in fields(TrainingArguments) if field.init}
    for key in arguments.keys() - known:
        codir_keys = set(TrainingConfig.model_fields)
        raise UserError(
            f"training.{key}",
            expected="a key of codir or of transformers.TrainingArguments",
            got=f"'{key}'",
            do=nearest(key, known | codir_keys),
        )
    try:
        return TrainingArguments(**arguments)
    except (ValueError, TypeError) as error:
        raise UserError(
            "training", expected="values that fit together", got=str(error), do="mend `training`"
        ) from error


def build_trainer(
    config: Recipe | FinetuneConfig,
    objectives: ObjectivesConfig,
    data: LoadedData,
    student: Reader,
    teacher: Reader | None,
    output_dir: Path,
) -> DistillationTrainer:
    """The trainer with all its parts; this is where the teacher's cache is built or found."""

    def metrics(answers: Any) -> dict[str, float]:
        return compute_metrics(answers.predictions, answers.label_ids, data.task.metrics)

    cache: dict[str, Any] = {}
    if isinstance(config, Recipe):
        cache = {"teacher_cache_dir": config.teacher.cache_dir, "teacher_cache": config.teacher.cache}
        cache["cache_dtype"] = config.teacher.cache_dtype
    return DistillationTrainer(
        teacher=teacher.model if teacher else None,
        student=student.model,
        args=build_training_arguments(config.training, output_dir),
        objectives=build_objectives(objectives),
        train_dataset=data.train,
        eval_dataset=evaluation_sets(config, data),
        processing_class=student.tokenizer,
        teacher_processing_class=teacher.tokenizer if teacher else None,
        max_length=config.data.max_length,
        **cache,
        head_learning_rate=config.training.head_learning_rate,
        compute_metrics=metrics,
    )


def evaluation_sets(config: Recipe | FinetuneConfig, data: LoadedData) -> Any:
    """What is scored while training: nothing, one set, or several under their names."""
    if config.training.eval_strategy == "no":
        return None
    return data.dev if len(data.dev) > 1 else next(iter(data.dev.values()))
