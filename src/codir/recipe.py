"""START HERE: a run of codir from data to report, as it happens.

Reads configuration and hands plain values to the rooms, in the order of the corridor:
data -> teacher -> student -> objectives -> trainer -> export and report.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
import yaml
from transformers import TrainingArguments

from codir.config import (
    AnyRun,
    DataConfig,
    FinetuneConfig,
    ObjectivesConfig,
    Recipe,
    StageConfig,
    StudentConfig,
    TrainingConfig,
    validate,
)
from codir.data import LoadedData, Task, load_data
from codir.errors import UserError, nearest
from codir.export import export_student
from codir.models import load_model, load_tokenizer
from codir.objectives import (
    AttentionKL,
    AttentionMSE,
    ClsCosine,
    Contrastive,
    HardLabel,
    HiddenMSE,
    LogitMSE,
    Objective,
    Objectives,
    PooledMSE,
    RelationKL,
    SoftTarget,
    Stage,
    StagedObjectives,
    TokenCosine,
    TokenKL,
    TokenLabel,
    WeightedObjectives,
)
from codir.preflight import (
    check_labels,
    check_max_length,
    check_teacher_score,
    label_names,
    note_tokenizers,
    note_truncation,
)
from codir.report import Exam, Reader, RunResult, compute_metrics, gather_conditions, write_report
from codir.settings import deep_merge, parse_yaml
from codir.student import build_student, student_origin
from codir.system import default_device, resolve_dtype, seeded
from codir.trainer import DistillationTrainer

logger = logging.getLogger(__name__)

OBJECTIVES: dict[str, type[Objective]] = {
    "hard_label": HardLabel,
    "soft_target": SoftTarget,
    "logit_mse": LogitMSE,
    "pooled_mse": PooledMSE,
    "cls_cosine": ClsCosine,
    "token_cosine": TokenCosine,
    "hidden_mse": HiddenMSE,
    "attention_mse": AttentionMSE,
    "attention_kl": AttentionKL,
    "relation_kl": RelationKL,
    "token_label": TokenLabel,
    "token_kl": TokenKL,
    "contrastive": Contrastive,
}
RECORD_NAME = "recipe.yaml"


def distill(recipe: Recipe) -> RunResult:
    """Distil a teacher into a student on a data set, and say what was kept.

    Leaves in `recipe.output_dir`: the student as a plain transformers folder, `report.md`, `report.json`,
    `training_curves.png`, `recipe.yaml` with every default filled in, and the last checkpoint.

    Args:
        recipe: read from YAML, or made in Python: `codir.Recipe(teacher={"model": ...}, data={"source": ...}, ...)`.

    Raises:
        UserError: input that cannot work, before any training.
        NonFiniteLossError: a loss became NaN or infinite.
    """
    check_output_dir(recipe)

    teacher = load_reader(recipe.teacher.model)
    data = load(recipe.data, teacher)
    notes = [*data.notes, *check_labels(teacher.model, data.task)]
    student = make_student(recipe.student, teacher, seed=recipe.training.seed)
    origin = student_origin(student.model)
    notes += origin.notes if origin else ()
    notes += note_tokenizers(teacher.tokenizer, student.tokenizer)
    for reader in (teacher, student):
        check_max_length(reader.model, recipe.data.max_length)

    exam = Exam(data.dev, data.task, recipe.data.max_length, resolve_dtype(recipe.training.precision))
    notes += check_teacher_score(exam.answers(teacher)[exam.first], exam.labels(exam.first), data.task)

    trainer = build_trainer(recipe, recipe.objectives, data, student, teacher, recipe.output_dir / "checkpoints")
    claim_output_dir(recipe)
    notes += note_truncation(trainer.train_dataset, recipe.data.max_length)
    for note in notes:
        logger.warning(note)
    trainer.train(resume_from_checkpoint=can_resume(recipe, trainer))
    export_student(trainer.student, student.tokenizer, recipe.output_dir)

    readers = {"teacher": teacher, "student": replace(student, folder=recipe.output_dir)}
    if recipe.baseline:
        readers["baseline"] = train_baseline(recipe, data, teacher)
    result = RunResult(
        title=f"Distilled from {Path(recipe.teacher.model).name}",
        task_name=recipe.data.source,
        primary_metric=data.task.metrics[0],
        **exam.compare(readers),
        conditions=gather_conditions(dtype=str(exam.dtype).removeprefix("torch."), seed=recipe.training.seed),
        notes=tuple(notes),
        log_history=trainer.state.log_history,
        output_dir=recipe.output_dir,
    )
    write_report(result, recipe.output_dir)
    return result


def finetune(config: FinetuneConfig) -> dict[str, float]:
    """Make a task model (a teacher) from a pre-trained one; leaves a plain transformers folder in `output_dir`.

    Returns:
        Metrics on the dev set.
    """
    check_output_dir(config)
    data = load(config.data)
    tokenizer = load_tokenizer(config.model)
    with seeded(config.training.seed):  # the new head
        reader = Reader(load_model(config.model, tokenizer, head=head_for(data.task)), tokenizer)
    check_max_length(reader.model, config.data.max_length)
    for note in data.notes:
        logger.warning(note)
    objectives = ObjectivesConfig.model_validate("fine-tune")
    trainer = build_trainer(config, objectives, data, reader, None, config.output_dir / "checkpoints")
    claim_output_dir(config)
    trainer.train(resume_from_checkpoint=can_resume(config, trainer))
    export_student(trainer.student, tokenizer, config.output_dir)
    exam = Exam(data.dev, data.task, config.data.max_length, resolve_dtype(config.training.precision))
    return exam.score(exam.answers(reader))


def evaluate(model: str, data: DataConfig) -> dict[str, float]:
    """Score a model folder on the dev part of a data set, in fp32."""
    reader = load_reader(model)
    loaded = load(data, reader, evaluation_only=True)
    check_max_length(reader.model, data.max_length)
    for note in [*loaded.notes, *check_labels(reader.model, loaded.task)]:
        logger.warning(note)
    exam = Exam(loaded.dev, loaded.task, data.max_length, torch.float32)
    return exam.score(exam.answers(reader))


def preset(name: str, **overrides: Mapping[str, Any]) -> Objectives:
    """The objectives of a preset, for `DistillationTrainer`.

    Args:
        name: one of `codir.config.preset_names()`.
        **overrides: sections laid over the preset's, such as `contrastive={"weight": 0.5}`; over those stages of it
            that have such a section, where it has stages.

    Example:
        >>> preset("codir", contrastive={"weight": 0.5}).weights
        {'hard_label': 0.5, 'soft_target': 0.5, 'contrastive': 0.5}
    """
    return build_objectives(validate(ObjectivesConfig, deep_merge({"preset": name}, overrides)))


# ---- The steps, one room each ----


def check_output_dir(config: AnyRun) -> None:
    """Refuse a folder that holds something, unless told to overwrite it, or to resume the very same recipe in it."""
    folder, record = config.output_dir, config.output_dir / RECORD_NAME
    check_writable(folder)
    if config.resume and record.exists():
        _refuse_other_recipe(record, _record_of(config))
    elif not config.overwrite:
        check_empty(folder, "choose another folder, pass `--overwrite`, or `--resume` to go on with an interrupted run")


def check_empty(folder: Path, do: str) -> None:
    """Refuse a folder that holds something."""
    if folder.exists() and any(folder.iterdir()):
        expected, got = "a folder that is empty or not there yet", f"{folder}, which is not empty"
        raise UserError("output_dir", expected=expected, got=got, do=do)


def check_writable(folder: Path) -> None:
    """Refuse a folder that cannot be made or written to."""
    nearest_there = next(path for path in (folder, *folder.parents) if path.exists())
    if not nearest_there.is_dir() or not os.access(nearest_there, os.W_OK):
        raise UserError(
            "output_dir", expected="a folder that can be made", got=f"{folder}", do="choose another with `--output-dir`"
        )


def claim_output_dir(config: AnyRun) -> None:
    """Note the recipe in the folder, once nothing is left to refuse.

    An earlier run's model, report and checkpoints go first, so that a run that dies leaves no old student under a new
    recipe; nothing else in the folder is touched.
    """
    if not config.resume:
        for folder in (config.output_dir, config.output_dir / "baseline"):
            shutil.rmtree(folder / "checkpoints", ignore_errors=True)
            for pattern in ("config.json", "model*.safetensors*", "report.*", "training_curves.png"):
                for path in folder.glob(pattern):
                    path.unlink()
    config.output_dir.mkdir(parents=True, exist_ok=True)
    (config.output_dir / RECORD_NAME).write_text(_record_of(config))


def load_reader(path: str) -> Reader:
    """A model with a trained head, and its tokenizer, on the device that computes."""
    tokenizer = load_tokenizer(path)
    return Reader(load_model(path, tokenizer).to(default_device()), tokenizer, folder=Path(path))


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


def build_objectives(config: ObjectivesConfig) -> Objectives:
    """Turn configured terms into objectives with weights, stage by stage where there are stages."""
    if config.stages:
        return StagedObjectives([build_stage(stage) for stage in config.stages])
    return build_terms(config)


def build_stage(config: StageConfig) -> Stage:
    """A stage, which becomes several where the student's layers open one by one."""

    def opened_to(layer: int) -> WeightedObjectives:
        lowest = layer if config.layers == "one-by-one" else 1
        return build_terms(config, student_layers=tuple(range(lowest, layer + 1)))

    opening = None if config.layers == "all" else opened_to
    return Stage(build_terms(config), config.epochs, config.learning_rate, opening)


def build_terms(config: ObjectivesConfig, student_layers: tuple[int, ...] | None = None) -> WeightedObjectives:
    """Turn configured terms into objectives with weights; some layers instead of all, for terms that look at layers."""
    objectives: dict[str, Objective] = {}
    weights: dict[str, float] = {}
    for name, term in config.terms().items():
        arguments: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in term.model_dump().items()
        }
        if student_layers is not None and arguments.get("student_layers") == "all":
            arguments["student_layers"] = student_layers
        weights[name] = arguments.pop("weight")
        objectives[name] = OBJECTIVES[name](**arguments)
    return WeightedObjectives(objectives, weights)


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


def can_resume(config: AnyRun, trainer: DistillationTrainer) -> bool:
    """Whether to go on from a checkpoint: asked for, and there is one."""
    return config.resume and trainer.last_checkpoint() is not None


def train_baseline(recipe: Recipe, data: LoadedData, teacher: Reader) -> Reader:
    """The same student from the same start, on the labels alone, for as many steps."""
    folder = recipe.output_dir / "baseline"
    student = make_student(recipe.student, teacher, seed=recipe.training.seed)
    objectives = ObjectivesConfig.model_validate("fine-tune")
    trainer = build_trainer(recipe, objectives, data, student, None, folder / "checkpoints")
    trainer.train(resume_from_checkpoint=can_resume(recipe, trainer))
    export_student(trainer.student, student.tokenizer, folder)
    return replace(student, folder=folder)


def _record_of(config: AnyRun) -> str:
    content = config.model_dump(mode="json", exclude={"overwrite", "resume"})
    return str(yaml.safe_dump(content, sort_keys=False))


def _refuse_other_recipe(record: Path, content: str) -> None:
    earlier, now = parse_yaml(record.read_text()), parse_yaml(content)
    changed = [key for key in now if now[key] != earlier.get(key) and key != "output_dir"]
    if changed:
        raise UserError(
            "--resume",
            expected=f"the recipe of the interrupted run ({record})",
            got=f"another one: {', '.join(changed)} changed",
            do="resume with the same settings, or start anew with `--overwrite`",
        )
