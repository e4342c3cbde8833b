"""The one place where configuration meets the rooms: each function turns a section into a part."""

from __future__ import annotations

import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel, Trainer

from codir.config import (
    DataConfig,
    FinetuneConfig,
    ObjectivesConfig,
    PretrainingConfig,
    Recipe,
    StudentConfig,
    TeacherConfig,
    TrainingConfig,
)
from codir.config.training import NEED_EVALUATION
from codir.config.words import MAX_LENGTH, TASK
from codir.data import LoadedData, labels_of, load_data
from codir.errors import UserError
from codir.measure import Answers, Exam, Runner, TorchRunner, exported_file, open_exported
from codir.models import Reader, kind_of_model, load_model, load_shape, load_tokenizer, start_head
from codir.runs.objectives import build_objectives
from codir.runs.selection import choose_layers, is_to_be_ranked
from codir.runs.teachers import (
    TeacherOfRun,
    answers_of_file,
    check_start,
    known_of_labels,
    open_answers,
    read_for,
)
from codir.student import build_student, load_student, student_origin
from codir.system import default_device, seeded
from codir.system.progress import phase
from codir.tasks import NAMED_IN_CONFIG, Task, kind_named, kind_of, must_be_named, name_kind
from codir.teacher import AnswersFile
from codir.trainer import DistillationArguments, DistillationTrainer, PretrainingArguments, score_texts, watched


def load_reader(path: str, task: str = TASK) -> Reader:
    """A model with a trained head, and its tokenizer, on the device that computes.

    Args:
        path: a folder or a name on the hub.
        task: as the recipe names it.
    """
    with phase(f"loading {Path(path).name}"):
        tokenizer = load_tokenizer(path)
        model = load_model(path, tokenizer, kind=None if task == TASK else kind_named(task))
        return Reader(model.to(default_device()), tokenizer, folder=Path(path))


def open_reader(path: str, task: str = TASK) -> Reader:
    """A model to be asked: one that PyTorch runs, or an exported one, whose weights stay in its file."""
    file = exported_file(path)
    if file is None:
        return load_reader(path, task)
    if not file.is_file():
        got = f"{file}, which does not exist"
        raise UserError("model", expected="a folder, or a file of a graph", got=got, do="check the path")
    with phase(f"loading {Path(path).name}"):
        return Reader(load_shape(file.parent), load_tokenizer(file.parent), folder=Path(path))


def runner_of(reader: Reader, dtype: torch.dtype) -> TorchRunner:
    """A model as measurements see it, on the device that computes."""
    reader.model.to(default_device())
    return TorchRunner.of(reader, dtype)


def open_runner(reader: Reader, dtype: torch.dtype, *, threads: int | None = None) -> Runner:
    """The same of what `open_reader` gave; an exported model computes on the CPU, in the number format of its file."""
    if reader.folder is not None and exported_file(reader.folder) is not None:
        return open_exported(reader.folder, reader.tokenizer, threads=threads)
    return runner_of(reader, dtype)


def load(data: DataConfig, teacher: TeacherOfRun | None = None, *, evaluation_only: bool = False) -> LoadedData:
    """Read the data set that a recipe names, with the classes of a given model or file of answers in mind."""
    arguments = data.model_dump(exclude={"source", "max_length"})
    if teacher is not None:
        arguments |= known_of_labels(teacher, data)

    def read(**changes: Any) -> LoadedData:
        return load_data(data.source, evaluation_only=evaluation_only, **{**arguments, **changes})

    with phase("reading the data"):
        loaded = read_for(teacher, data, read)
    if isinstance(teacher, Reader):
        take_kind(teacher.model, loaded.task)
    return loaded


def take_kind(model: PreTrainedModel, task: Task) -> None:
    """What the outputs of a model mean, where its configuration leaves that open: what was asked for.

    A reranker of the hub has one output, as a model for scores has.
    """
    kind = kind_of(task)
    if kind is not kind_of_model(model) and kind.outputs == model.config.num_labels:
        name_kind(model.config, kind.name)


def head_for(task: Task) -> dict[str, Any]:
    """What a new head has to know of the task."""
    kind = kind_of(task)
    return {
        "num_labels": task.num_labels,
        "id2label": task.id2label,
        "label2id": task.label2id,
        "problem_type": kind.problem_type,
        **({NAMED_IN_CONFIG: kind.name} if must_be_named(kind, task.num_labels) else {}),
    }


def open_teacher(teacher: TeacherConfig, data: DataConfig) -> TeacherOfRun:
    """The teacher of a run: a model on the device that computes, or a file of answers."""
    return open_answers(teacher, data) or load_reader(teacher.model, data.task)


def ask_teacher(teacher: TeacherOfRun, exam: Exam, dtype: torch.dtype) -> Answers | None:
    """What the teacher answers to the evaluation sets; `None` of a file that has not all of their rows."""
    if isinstance(teacher, AnswersFile):
        return answers_of_file(teacher, exam)
    return exam.answers(runner_of(teacher, dtype))


def make_student(
    config: StudentConfig,
    teacher: TeacherOfRun,
    data: LoadedData | None = None,
    *,
    seed: int,
    max_length: int = MAX_LENGTH,
) -> Reader:
    """The student that a recipe describes; it reads with the teacher's tokenizer unless it brings its own.

    Args:
        config: the section `student`.
        teacher: whose task it learns.
        data: whose scores a new head begins at; `None` for a language model.
        seed: for weights that start at random.
        max_length: tokens per text at most, where texts decide which layers are kept.
    """
    if isinstance(teacher, AnswersFile):
        assert data is not None, "a file teaches no language model"
        return _student_of_file(config, teacher, data, seed)
    start, choice = config.model_dump(), None
    if data is not None and is_to_be_ranked(config):
        start["layers"], choice = choose_layers(config, teacher, data, max_length=max_length)
        del start["selection"]  # it is done
    model = build_student(teacher.model, **start, seed=seed)
    origin = student_origin(model)
    if origin is not None and choice is not None:
        model.codir_origin = replace(origin, notes=(choice, *origin.notes))
    if data is not None and origin is not None and origin.has_new_head:
        start_at_scores(model, data)
    tokenizer = load_tokenizer(config.checkpoint) if config.checkpoint else teacher.tokenizer
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id
    return Reader(model, tokenizer)


def _student_of_file(config: StudentConfig, teacher: AnswersFile, data: LoadedData, seed: int) -> Reader:
    """The checkpoint that a recipe names, with a head for the data's task: a file has no layers to copy."""
    check_start(config, teacher)
    assert config.checkpoint is not None, "`check_start` has looked"
    tokenizer = load_tokenizer(config.checkpoint)
    model = load_student(config.checkpoint, tokenizer, head_for(data.task), dense=config.dense, seed=seed)
    origin = student_origin(model)
    if origin is not None and origin.has_new_head:
        start_at_scores(model, data)
    return Reader(model, tokenizer)


def start_at_scores(model: PreTrainedModel, data: LoadedData) -> None:
    """A new head for scores begins at the mean of the training scores, in steps of their spread."""
    assert data.train is not None, "there is something to train on"
    kind = kind_of(data.task)
    start = kind.start(labels_of(data.train, kind))
    if start is not None:
        start_head(model, *start)


def build_training_arguments(config: TrainingConfig, output_dir: Path, **own: Any) -> DistillationArguments:
    """The trainer's arguments from a recipe.

    Args:
        config: the section `training`, of fine-tuning or pre-training.
        output_dir: where checkpoints go.
        **own: codir's keys that other sections of the recipe hold, such as `max_length`.

    Raises:
        UserError: values that do not fit together.
    """
    make = PretrainingArguments if isinstance(config, PretrainingConfig) else DistillationArguments
    try:
        return make(output_dir=str(output_dir), **config.model_dump(), **own)
    except UserError:
        raise
    except Exception as error:  # transformers raises whatever its parts do
        raise UserError(
            "training", expected="values that fit together", got=str(error), do="change `training`"
        ) from error


def check_training(config: TrainingConfig) -> None:
    """Refuse options that do not fit together, or whose package is not installed, before anything is loaded.

    `Trainer` knows them all, so one is built around a single weight, with its optimiser and schedule.

    Raises:
        UserError: what `transformers` says of them.
    """
    with tempfile.TemporaryDirectory() as scratch, seeded(config.seed), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        args = build_training_arguments(config, Path(scratch))
        args.eval_strategy = "no"
        try:
            trainer = Trainer(nn.Linear(1, 1), args, train_dataset=[0])
            trainer.create_optimizer_and_scheduler(num_training_steps=2)
        except Exception as error:
            first_line = str(error).partition("\n")[0]
            raise UserError(
                "training", expected="options that can be used together here", got=first_line, do="change `training`"
            ) from error


def build_trainer(
    config: Recipe | FinetuneConfig,
    objectives: ObjectivesConfig,
    data: LoadedData,
    student: Reader,
    teacher: TeacherOfRun | None,
    output_dir: Path,
) -> DistillationTrainer:
    """The trainer with all its parts; this is where the teacher's cache is built or found."""

    def metrics(answers: Any) -> dict[str, float]:
        return score_texts(answers.predictions, answers.label_ids, data.task.metrics, kind_of(data.task))

    is_baseline = isinstance(config, Recipe) and teacher is None
    own: dict[str, Any] = {"max_length": config.data.max_length}
    if isinstance(config, Recipe):
        own |= {"teacher_cache_dir": str(config.teacher.cache_dir), "teacher_cache": config.teacher.cache}
        own["cache_dtype"] = config.teacher.cache_dtype
    own |= what_is_best(config.training, data)
    model = teacher if isinstance(teacher, Reader) else None
    trainer = DistillationTrainer(
        teacher=model.model if model else teacher if isinstance(teacher, AnswersFile) else None,
        student=student.model,
        args=build_training_arguments(config.training, output_dir, **own),
        objectives=build_objectives(objectives),
        train_dataset=data.train,
        eval_dataset=evaluation_sets(config, data),
        processing_class=student.tokenizer,
        teacher_processing_class=model.tokenizer if model else None,
        compute_metrics=metrics,
    )
    return watched(trainer, "training the baseline" if is_baseline else "training")


def what_is_best(training: TrainingConfig, data: LoadedData) -> dict[str, str]:
    """The metric that models are compared by while they train: the first of the task on the first evaluation set."""
    is_judged = any(getattr(training, key) for key in NEED_EVALUATION)
    if not is_judged or training.metric_for_best_model is not None:
        return {}
    metric = data.task.metrics[0]
    return {"metric_for_best_model": f"{next(iter(data.dev))}_{metric}" if len(data.dev) > 1 else metric}


def evaluation_sets(config: Recipe | FinetuneConfig, data: LoadedData) -> Any:
    """What is scored while training: nothing, one set, or several under their names."""
    if config.training.eval_strategy == "no":
        return None
    return data.dev if len(data.dev) > 1 else next(iter(data.dev.values()))
