"""START HERE: a run of codir from data to report, as it happens.

Reads configuration and hands plain values to the rooms, in the order of the corridor:
data -> teacher -> student -> objectives -> trainer -> export and report.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
import yaml
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainingArguments

from codir.config import (
    DataConfig,
    FinetuneConfig,
    ObjectivesConfig,
    Recipe,
    StudentConfig,
    TrainingConfig,
    validate,
)
from codir.data import LoadedData, Task, collate_rows, encode, load_data
from codir.device import default_device, resolve_dtype
from codir.errors import UserError, nearest
from codir.export import export_student
from codir.loading import load_model, load_tokenizer
from codir.objectives import Contrastive, HardLabel, Objective, SoftTarget, WeightedObjectives
from codir.preflight import check_labels, check_max_length, check_teacher_score, note_tokenizers, note_truncation
from codir.report import (
    ModelResult,
    RunResult,
    agreement,
    compute_metrics,
    count_parameters,
    folder_bytes,
    gather_conditions,
    measure_throughputs,
    predict_logits,
    write_report,
)
from codir.settings import deep_merge, parse_yaml
from codir.student import build_student, student_origin
from codir.trainer import DistillationTrainer

logger = logging.getLogger(__name__)

OBJECTIVES: dict[str, type[Objective]] = {
    "hard_label": HardLabel,
    "soft_target": SoftTarget,
    "contrastive": Contrastive,
}
RECORD_NAME = "recipe.yaml"
THROUGHPUT_ROWS, THROUGHPUT_BATCH = 256, 32


@dataclass
class Reader:
    """A model and the tokenizer that it reads with."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


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
    data = load(recipe.data, num_labels=teacher.model.config.num_labels)
    notes = [*data.notes, *check_labels(teacher.model, data.task)]
    student = make_student(recipe.student, teacher, seed=recipe.training.seed)
    origin = student_origin(student.model)
    notes += origin.notes if origin else ()
    notes += note_tokenizers(teacher.tokenizer, student.tokenizer)
    for reader in (teacher, student):
        check_max_length(reader.model, recipe.data.max_length)

    teacher_logits = answer_dev_sets(teacher, data, recipe)
    first_dev = next(iter(data.dev))
    notes += check_teacher_score(teacher_logits[first_dev], np.asarray(data.dev[first_dev]["label"]), data.task)

    trainer = build_trainer(recipe, recipe.objectives, data, student, teacher, recipe.output_dir / "checkpoints")
    claim_output_dir(recipe)
    notes += note_truncation(trainer.train_dataset, recipe.data.max_length)
    for note in notes:
        logger.warning(note)
    trainer.train(resume_from_checkpoint=can_resume(recipe, trainer))
    export_student(trainer.student, student.tokenizer, recipe.output_dir)

    readers = {"teacher": teacher, "student": student}
    folders = {"teacher": Path(recipe.teacher.model), "student": recipe.output_dir}
    if recipe.baseline:
        readers["baseline"] = train_baseline(recipe, data, teacher, folders)
    result = measure(recipe, data, readers, folders, teacher_logits, notes, trainer.state.log_history)
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
    reader = Reader(load_model(config.model, tokenizer, head=head_for(data.task)), tokenizer)
    check_max_length(reader.model, config.data.max_length)
    for note in data.notes:
        logger.warning(note)
    objectives = ObjectivesConfig.model_validate("fine-tune")
    trainer = build_trainer(config, objectives, data, reader, None, config.output_dir / "checkpoints")
    claim_output_dir(config)
    trainer.train(resume_from_checkpoint=can_resume(config, trainer))
    export_student(trainer.student, tokenizer, config.output_dir)
    return score(answer_dev_sets(reader, data, config), data)


def evaluate(model: str, data: DataConfig, *, batch_size: int = 64) -> dict[str, float]:
    """Score a model folder on the dev part of a data set, in fp32."""
    reader = load_reader(model)
    loaded = load(data, num_labels=reader.model.config.num_labels, evaluation_only=True)
    check_labels(reader.model, loaded.task)
    return score(
        {name: _answer(reader, rows, data.max_length, batch_size, torch.float32) for name, rows in loaded.dev.items()},
        loaded,
    )


def preset(name: str, **overrides: Mapping[str, Any]) -> WeightedObjectives:
    """The objectives of a preset, for `DistillationTrainer`.

    Args:
        name: as `codir presets` lists them.
        **overrides: sections laid over the preset's, such as `contrastive={"weight": 0.5}`.

    Example:
        >>> preset("codir", contrastive={"weight": 0.5}).weights
        {'hard_label': 0.5, 'soft_target': 0.5, 'contrastive': 0.5}
    """
    return build_objectives(validate(ObjectivesConfig, deep_merge({"preset": name}, overrides)))


# ---- The steps, one room each ----


def check_output_dir(config: Recipe | FinetuneConfig) -> None:
    """Refuse a folder that holds something, unless told to overwrite it, or to resume the very same recipe in it."""
    folder, record = config.output_dir, config.output_dir / RECORD_NAME
    if config.resume and record.exists():
        _refuse_other_recipe(record, _record_of(config))
    elif folder.exists() and any(folder.iterdir()) and not config.overwrite:
        raise UserError(
            "output_dir",
            expected="a folder that is empty or not there yet",
            got=f"{folder}, which is not empty",
            do="choose another folder, or pass `--overwrite`, or `--resume` to go on with an interrupted run",
        )


def claim_output_dir(config: Recipe | FinetuneConfig) -> None:
    """Note the recipe in the folder, once nothing is left to refuse.

    Overwriting replaces files of the same names and an earlier run's checkpoints; nothing else there is touched.
    """
    if not config.resume:
        for checkpoints in ("checkpoints", "baseline/checkpoints"):
            shutil.rmtree(config.output_dir / checkpoints, ignore_errors=True)
    config.output_dir.mkdir(parents=True, exist_ok=True)
    (config.output_dir / RECORD_NAME).write_text(_record_of(config))


def load_reader(path: str) -> Reader:
    """A model with a trained head, and its tokenizer, on the device that computes."""
    tokenizer = load_tokenizer(path)
    return Reader(load_model(path, tokenizer).to(default_device()), tokenizer)


def load(data: DataConfig, *, num_labels: int | None = None, evaluation_only: bool = False) -> LoadedData:
    """Read the data set that a recipe names."""
    arguments = data.model_dump(exclude={"source", "max_length"})
    return load_data(data.source, num_labels=num_labels, evaluation_only=evaluation_only, **arguments)


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


def build_objectives(config: ObjectivesConfig) -> WeightedObjectives:
    """Turn configured terms into objectives with weights."""
    objectives: dict[str, Objective] = {}
    weights: dict[str, float] = {}
    for name, term in config.terms().items():
        arguments: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in term.model_dump().items()
        }
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

    cache_dir = config.teacher.cache_dir if isinstance(config, Recipe) and config.teacher.cache else None
    return DistillationTrainer(
        teacher=teacher.model if teacher else None,
        student=student.model,
        args=build_training_arguments(config.training, output_dir),
        objectives=build_objectives(objectives),
        train_dataset=data.train,
        eval_dataset=data.dev if len(data.dev) > 1 else next(iter(data.dev.values())),
        processing_class=student.tokenizer,
        teacher_processing_class=teacher.tokenizer if teacher else None,
        max_length=config.data.max_length,
        teacher_cache_dir=cache_dir,
        cache_dtype=config.teacher.cache_dtype if isinstance(config, Recipe) else "float32",
        head_learning_rate=config.training.head_learning_rate,
        compute_metrics=metrics,
    )


def can_resume(config: Recipe | FinetuneConfig, trainer: DistillationTrainer) -> bool:
    """Whether to go on from a checkpoint: asked for, and there is one."""
    return config.resume and trainer.last_checkpoint() is not None


def train_baseline(recipe: Recipe, data: LoadedData, teacher: Reader, folders: dict[str, Path]) -> Reader:
    """The same student from the same start, on the labels alone, for as many steps."""
    folders["baseline"] = recipe.output_dir / "baseline"
    student = make_student(recipe.student, teacher, seed=recipe.training.seed)
    objectives = ObjectivesConfig.model_validate("fine-tune")
    trainer = build_trainer(recipe, objectives, data, student, None, folders["baseline"] / "checkpoints")
    trainer.train(resume_from_checkpoint=can_resume(recipe, trainer))
    export_student(trainer.student, student.tokenizer, folders["baseline"])
    return student


# ---- Measuring ----


def answer_dev_sets(reader: Reader, data: LoadedData, config: Recipe | FinetuneConfig) -> dict[str, np.ndarray]:
    """Logits of a model on every dev set, by name."""
    batch_size, dtype = config.training.per_device_eval_batch_size, resolve_dtype(config.training.precision)
    return {name: _answer(reader, rows, config.data.max_length, batch_size, dtype) for name, rows in data.dev.items()}


def score(logits: Mapping[str, np.ndarray], data: LoadedData) -> dict[str, float]:
    """Metrics of every dev set; those of a second one carry its name."""
    scores: dict[str, float] = {}
    for number, (name, answers) in enumerate(logits.items()):
        metrics = compute_metrics(answers, np.asarray(data.dev[name]["label"]), data.task.metrics)
        suffix = "" if number == 0 else f"_{name.removeprefix('dev_')}"
        scores |= {f"{metric}{suffix}": value for metric, value in metrics.items()}
    return scores


def measure(
    recipe: Recipe,
    data: LoadedData,
    readers: Mapping[str, Reader],
    folders: Mapping[str, Path],
    teacher_logits: Mapping[str, np.ndarray],
    notes: list[str],
    log_history: list[dict[str, float]],
) -> RunResult:
    """Quality and cost of all models, side by side."""
    logits = {name: answer_dev_sets(reader, data, recipe) for name, reader in readers.items() if name != "teacher"}
    first = next(iter(data.dev))
    speeds = measure_speeds(recipe, data.dev[first], readers)
    results = {
        name: ModelResult(
            metrics=score(logits.get(name, teacher_logits), data),
            parameters=count_parameters(reader.model),
            bytes=_bytes_of(folders[name], reader.model),
            sentences_per_second=speeds[name],
        )
        for name, reader in readers.items()
    }
    dtype = str(resolve_dtype(recipe.training.precision)).removeprefix("torch.")
    return RunResult(
        title=f"Distilled from {folders['teacher'].name}",
        task_name=recipe.data.source,
        primary_metric=data.task.metrics[0],
        teacher=results["teacher"],
        student=results["student"],
        baseline=results.get("baseline"),
        agreement=agreement(logits["student"][first], teacher_logits[first]),
        baseline_agreement=agreement(logits["baseline"][first], teacher_logits[first])
        if "baseline" in logits
        else None,
        conditions=gather_conditions(dtype=dtype, seed=recipe.training.seed),
        notes=tuple(notes),
        log_history=log_history,
        output_dir=recipe.output_dir,
    )


def measure_speeds(recipe: Recipe, dev: datasets.Dataset, readers: Mapping[str, Reader]) -> dict[str, float]:
    """Sentences per second of each model on the same dev rows, batches of `THROUGHPUT_BATCH`, the models in turns."""
    rows = dev.select(range(min(len(dev), THROUGHPUT_ROWS)))
    batches = {}
    for name, reader in readers.items():
        encoded = encode(rows, reader.tokenizer, max_length=recipe.data.max_length)
        batches[name] = [
            collate_rows(encoded, reader.tokenizer, list(range(start, min(start + THROUGHPUT_BATCH, len(rows)))))
            for start in range(0, len(rows), THROUGHPUT_BATCH)
        ]
        reader.model.to(default_device())
    dtype = resolve_dtype(recipe.training.precision)
    models = {name: reader.model for name, reader in readers.items()}
    autocast_dtype = None if dtype == torch.float32 else dtype
    speeds = measure_throughputs(models, batches, autocast_dtype=autocast_dtype)
    return {name: speed.sentences_per_second for name, speed in speeds.items()}


def _answer(reader: Reader, rows: datasets.Dataset, max_length: int, batch_size: int, dtype: torch.dtype) -> np.ndarray:
    encoded = encode(rows, reader.tokenizer, max_length=max_length)
    return predict_logits(reader.model, encoded, reader.tokenizer, batch_size=batch_size, dtype=dtype)


def _bytes_of(folder: Path, model: PreTrainedModel) -> int:
    """Size on disk; of a model from the hub, the size that its weights take in fp32."""
    return folder_bytes(folder) if folder.is_dir() else sum(tensor.nbytes for tensor in model.state_dict().values())


def _record_of(config: Recipe | FinetuneConfig) -> str:
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
