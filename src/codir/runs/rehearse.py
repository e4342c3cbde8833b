"""`--dry-run`: everything up to training, a few steps on a part of the rows, and what the whole run would take.

Works in a temporary folder; nothing is left of it, and the output folder is not touched.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import datasets
import numpy as np
import psutil
import torch
from transformers import TrainerCallback, TrainingArguments

from codir.config import AnyRun, FinetuneConfig, ObjectivesConfig, PretrainRecipe, Recipe
from codir.data import LoadedData
from codir.memory import MemoryBank
from codir.runs import pretrain as pretraining
from codir.runs.build import build_trainer, build_training_arguments
from codir.runs.distill import prepare as prepare_distillation
from codir.runs.finetune import prepare as prepare_finetuning
from codir.runs.inputs import check_apart, inputs_of
from codir.runs.objectives import build_objectives
from codir.runs.output import check_output_dir
from codir.runs.processes import begin, quiet_rooms, refuse_processes
from codir.runs.rehearsal import Rehearsal, checkpoints_at_once, count_evaluations, count_steps
from codir.runs.teachers import TeacherOfRun
from codir.system.progress import Phase, phase, watched_by
from codir.teacher import AnswersFile, CacheKey, LiveTeacher, TeacherView, find_cache
from codir.trainer import DistillationTrainer
from codir.trainer.arguments import compute_dtype
from codir.trainer.choices import keeps_cache

AnyConfig = TypeVar("AnyConfig", Recipe, FinetuneConfig, PretrainRecipe)

WARM_STEPS, TIMED_STEPS = 2, 6
"""The first steps are slower than the rest, and are not counted."""
EVALUATED_BATCHES = 4
NOTES = "runs.processes"
"""Where notes are said: here they stand under the result, and would be said twice."""
CACHE_PHASE, BANK_PHASE = "teacher's cache", "memory bank"


def rehearse(config: AnyRun) -> Rehearsal:
    """Do everything up to training, measure a few steps on a part of the rows, and say what the run would take.

    Raises:
        UserError: whatever the run itself would refuse before its first step.
    """
    refuse_processes("--dry-run", "start it without `torchrun`")
    begin(config)
    check_apart(config.output_dir, inputs_of(config))
    check_output_dir(config)
    with tempfile.TemporaryDirectory(prefix="codir-dry-run-") as scratch:
        if isinstance(config, Recipe):
            return _rehearse_distillation(config, Path(scratch))
        if isinstance(config, FinetuneConfig):
            return _rehearse_finetuning(config, Path(scratch))
        return _rehearse_pretraining(config, Path(scratch))


def _rehearse_distillation(recipe: Recipe, scratch: Path) -> Rehearsal:
    with quiet_rooms(NOTES):
        ready = prepare_distillation(recipe)
    train = _training_rows(ready.data)
    is_cached, is_there = _cache_of(recipe, ready.teacher, train)
    teacher = recipe.teacher.model_copy(update={"cache": is_cached, "cache_dir": scratch / "cache"})
    short = shortened(recipe).model_copy(update={"teacher": teacher})

    def build(rows: datasets.Dataset) -> DistillationTrainer:
        data = replace(ready.data, train=rows)
        return build_trainer(short, recipe.objectives, data, ready.student, ready.teacher, scratch / "checkpoints")

    dev = next(iter(ready.data.dev.values()))
    measured = measure(recipe, build, draw(train, recipe), dev, scratch)
    return tell(
        "distill", recipe, measured, train, ready.data.dev, (*ready.notes, *ready.warnings), builds_cache=not is_there
    )


def _rehearse_finetuning(config: FinetuneConfig, scratch: Path) -> Rehearsal:
    with quiet_rooms(NOTES):
        ready = prepare_finetuning(config)
    train, objectives = _training_rows(ready.data), ObjectivesConfig.model_validate("fine-tune")

    def build(rows: datasets.Dataset) -> DistillationTrainer:
        data = replace(ready.data, train=rows)
        return build_trainer(shortened(config), objectives, data, ready.reader, None, scratch / "checkpoints")

    dev = next(iter(ready.data.dev.values()))
    measured = measure(config, build, draw(train, config), dev, scratch)
    return tell("finetune", config, measured, train, ready.data.dev, ready.data.notes)


def _rehearse_pretraining(recipe: PretrainRecipe, scratch: Path) -> Rehearsal:
    teacher = pretraining.load_teacher(recipe.teacher) if recipe.teacher else None
    student = pretraining.make_language_student(recipe, teacher)
    pretraining.check_before_reading(recipe, teacher, student)
    elsewhere = recipe.corpus.model_copy(update={"cache_dir": scratch / "corpus"})
    corpus = pretraining.load(elsewhere, student.tokenizer)
    train, heldout = pretraining.split(corpus, recipe)

    def build(rows: datasets.Dataset) -> DistillationTrainer:
        return pretraining.build_trainer(shortened(recipe), teacher, student, rows, heldout, scratch / "checkpoints")

    sample = train.select(range(min(len(train), _rows_wanted(recipe))))  # neighbours stay neighbours
    measured = measure(recipe, build, sample, heldout, scratch)
    note = f"The corpus: {corpus.info.description}."
    return tell("pretrain", recipe, measured, train, {"heldout": heldout}, (note,))


# ---- The part that is done ----


def shortened(config: AnyConfig) -> AnyConfig:
    """The same run for a few steps, of which nothing is kept."""
    changes = {"max_steps": WARM_STEPS + TIMED_STEPS, "eval_strategy": "no", "save_strategy": "no"}
    changes |= {"report_to": "none", "early_stopping_patience": None, "load_best_model_at_end": False}
    training = config.training.model_copy(update=changes)
    return config.model_copy(update={"training": training})


def draw(train: datasets.Dataset, config: AnyRun) -> datasets.Dataset:
    """As many rows as the steps read, drawn at random: as long and as short as all of them."""
    chosen = np.random.default_rng(config.training.seed).permutation(len(train))[: _rows_wanted(config)]
    return train.select(np.sort(chosen))


def _rows_wanted(config: AnyRun) -> int:
    return (WARM_STEPS + TIMED_STEPS) * _step_rows(config)


def _step_rows(config: AnyRun) -> int:
    training = config.training
    return training.per_device_train_batch_size * (training.gradient_accumulation_steps or 1)


@dataclass(frozen=True)
class Measured:
    """What a few steps on a part of the rows took; a row may be read as several windows, or as two texts."""

    seconds_per_step: float
    seconds_per_row: dict[str, float]
    rows: int
    read_per_row: float
    peak: dict[str, int]
    bank: int
    cache: int
    checkpoint: int
    weights: int


def measure(
    config: AnyRun,
    build: Callable[[datasets.Dataset], DistillationTrainer],
    rows: datasets.Dataset,
    dev: datasets.Dataset,
    scratch: Path,
) -> Measured:
    """Take the steps, evaluate a few batches, and save a checkpoint."""
    stopwatch, step_times = Stopwatch(), StepTimes()
    with phase("measuring a few steps"), quiet_rooms("teacher", "trainer", "trainer.answers"), watched_by(stopwatch):
        trainer = build(rows)
        trainer.add_callback(step_times)
        trainer.train()
        part = dev.select(range(min(len(dev), EVALUATED_BATCHES * config.training.per_device_eval_batch_size)))
        began = time.perf_counter()
        trainer.evaluate(part)
        evaluation = (time.perf_counter() - began) / len(part)
        trainer._save_checkpoint(trainer.model, None)
    memories = (trainer.memories.student, trainer.memories.teacher)
    banks = [memory.state_dict().values() for memory in memories if isinstance(memory, MemoryBank)]
    device = trainer.args.device
    peak = {"of this process": _peak_memory()}
    if device.type == "cuda":
        peak["of the GPU"] = torch.cuda.max_memory_allocated(device)
    return Measured(
        seconds_per_step=step_times.median,
        seconds_per_row={**stopwatch.seconds_per_row, "evaluation": evaluation},
        rows=len(rows),
        read_per_row=len(trainer.train_dataset) / len(rows),
        peak=peak,
        bank=sum(tensor.nbytes for tensors in banks for tensor in tensors),
        cache=size_of(scratch / "cache"),
        checkpoint=size_of(scratch / "checkpoints"),
        weights=sum(tensor.nbytes for tensor in trainer.student.parameters()),
    )


class StepTimes(TrainerCallback):
    """When each step began and ended."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_step_begin(self, args: TrainingArguments, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clock."""
        self._began = time.perf_counter()

    def on_step_end(self, args: TrainingArguments, state: Any, control: Any, **kwargs: Any) -> None:
        """Stop it, when the device is done too."""
        if args.device.type == "cuda":
            torch.cuda.synchronize(args.device)
        self.seconds.append(time.perf_counter() - self._began)

    @property
    def median(self) -> float:
        """Without the first steps."""
        return float(np.median(self.seconds[WARM_STEPS:] or self.seconds))


class Stopwatch:
    """Notes how long each phase took for a row."""

    def __init__(self) -> None:
        self.seconds_per_row: dict[str, float] = {}

    def begun(self, phase: Phase) -> None:
        """Nothing yet."""

    def advanced(self, phase: Phase) -> None:
        """Nothing yet."""

    def heard(self, phase: Phase, group: str) -> None:
        """Nothing to note."""

    def ended(self, phase: Phase) -> None:
        """Note it."""
        self.seconds_per_row[phase.name] = phase.seconds / max(1, phase.done)


# ---- The whole ----


def tell(
    command: str,
    config: AnyRun,
    measured: Measured,
    train: datasets.Dataset,
    dev: dict[str, datasets.Dataset],
    notes: tuple[str, ...],
    *,
    builds_cache: bool = True,
) -> Rehearsal:
    """From the part to the whole: what is counted by rows grows with them."""
    rows, evaluated, share = len(train), sum(map(len, dev.values())), len(train) / measured.rows
    read = round(rows * measured.read_per_row)
    steps, epochs = count_steps(config, read)
    per_row, cache = measured.seconds_per_row, round(measured.cache * share)
    parts = {
        "the teacher's cache": read * per_row.get(CACHE_PHASE, 0.0) * builds_cache,
        "the memory bank": read * per_row.get(BANK_PHASE, 0.0),
        "training": steps * measured.seconds_per_step,
        "evaluation": (1 + count_evaluations(config, steps, epochs)) * evaluated * per_row["evaluation"],
    }
    checkpoint = measured.checkpoint + round(measured.bank * (share - 1))
    disk = {"the teacher's cache": cache, "checkpoints, while it runs": checkpoints_at_once(config) * checkpoint}
    memory = dict(measured.peak)
    memory["of this process"] += round(measured.bank * (share - 1))
    return Rehearsal(
        command=command,
        rows=rows,
        evaluation_rows=evaluated,
        epochs=epochs,
        steps=steps,
        seconds_per_step=measured.seconds_per_step,
        seconds={name: seconds for name, seconds in parts.items() if seconds},
        memory=memory,
        disk={name: size for name, size in {**disk, "the model": measured.weights}.items() if size},
        notes=notes if builds_cache or not cache else (*notes, "The teacher's cache is there already."),
    )


def _cache_of(recipe: Recipe, teacher: TeacherOfRun, train: datasets.Dataset) -> tuple[bool, bool]:
    """Whether the run would read its teacher from a cache, and whether that is there already."""
    needs = build_objectives(recipe.objectives).needs
    if not needs.teacher or isinstance(teacher, AnswersFile):
        return False, False
    args = build_training_arguments(recipe.training, recipe.output_dir / "checkpoints")
    view = TeacherView.of(needs, compute_dtype(args))
    live = LiveTeacher(teacher.model, train, teacher.tokenizer, view, max_length=recipe.data.max_length)
    folder, dtype = recipe.teacher.cache_dir, recipe.teacher.cache_dtype
    is_cached = keeps_cache(recipe.teacher.cache, live, needs, args, folder, dtype)
    return is_cached, is_cached and find_cache(CacheKey.of(live, dtype), folder) is not None


def _training_rows(data: LoadedData) -> datasets.Dataset:
    assert data.train is not None, "data to train on was asked for"
    return data.train


def size_of(folder: Path) -> int:
    """Bytes of all files under a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _peak_memory() -> int:
    """Bytes that this process has held at most; now, where the system keeps no such count."""
    try:
        import resource

        unit = 1 if psutil.MACOS else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    except ImportError:
        return int(psutil.Process().memory_info().rss)
