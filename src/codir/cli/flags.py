"""Which flags each command has, and the recipe key that each flag sets.

Nothing else about a flag is written here: its type, choices, default and help come from the field of the recipe model
(`codir.cli.fields`). Imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import BaseModel


@dataclass(frozen=True)
class Flag:
    """One flag.

    Attributes:
        name: as it is typed; further names follow after a space.
        key: the recipe key that it sets.
        read: makes the value from the text. By default, a number where the field is a number, else the text itself.
        value: for a flag without a value: what it sets the key to.
        also: choices that the command accepts beside those of the field.
        help: where the field's own words would say the opposite.
    """

    name: str
    key: str
    read: Callable[[str], Any] | None = None
    value: bool | None = None
    also: tuple[str, ...] = ()
    help: str | None = None

    @property
    def shown(self) -> str:
        """The name that messages use."""
        return self.name.split()[0]


def read_names(text: str) -> list[str]:
    """Split names at commas.

    Example:
        >>> read_names("negative, positive")
        ['negative', 'positive']
    """
    return [name.strip() for name in text.split(",")]


def read_columns(text: str) -> str | list[str]:
    """One name, or several with commas between them.

    Example:
        >>> read_columns("label"), read_columns("toxic,insult")
        ('label', ['toxic', 'insult'])
    """
    names = text.split(",")
    return text if len(names) == 1 else [name.strip() for name in names]


def read_numbers(text: str) -> int | list[int] | str:
    """One number, or numbers with commas between them; any other text is left for the recipe's own check.

    Example:
        >>> read_numbers("3"), read_numbers("1,3,5"), read_numbers("three")
        (3, [1, 3, 5], 'three')
    """
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        return text
    return numbers[0] if len(numbers) == 1 else numbers


def read_list(text: str) -> list[int] | str:
    """Numbers with commas between them, or one; any other text is left for the recipe's own check.

    Example:
        >>> read_list("3"), read_list("1,2"), read_list("all")
        ([3], [1, 2], 'all')
    """
    numbers = read_numbers(text)
    return [numbers] if isinstance(numbers, int) else numbers


TEACHER = Flag("--teacher", "teacher.model")
ID_COLUMN = Flag("--id-column", "teacher.id_column")
SOURCE = Flag("--data", "data.source")
DATA_DIR = Flag("--data-dir", "data.data_dir")
DEV = Flag("--dev", "data.dev")
UNLABELLED = Flag("--unlabelled", "data.unlabelled")
TASK = Flag("--task", "data.task")
COLUMNS = (
    Flag("--text-column", "data.text_column"),
    Flag("--text-pair-column", "data.text_pair_column"),
    Flag("--label-column", "data.label_column", read=read_columns),
    Flag("--group-column", "data.group_column"),
)
FORMAT = (
    Flag("--separator", "data.separator"),
    Flag("--no-header", "data.header", value=False, help="CSV and TSV files have no line of column names."),
    Flag("--encoding", "data.encoding"),
)
LABELS = Flag("--labels", "data.labels", read=read_names)
MAX_LENGTH = Flag("--max-length", "data.max_length")
LABELLED = (SOURCE, DATA_DIR, DEV, *COLUMNS, *FORMAT, TASK, LABELS, MAX_LENGTH)
DATA = (*LABELLED[:3], UNLABELLED, *LABELLED[3:])

LAYERS = Flag("--student-layers", "student.layers", read=read_numbers)
SELECTION = Flag("--selection", "student.selection")
STUDENT = Flag("--student", "student.checkpoint")
PRESET = Flag("--preset", "objectives.preset")

EPOCHS = Flag("--epochs", "training.num_train_epochs")
MAX_STEPS = Flag("--max-steps", "training.max_steps")
BATCH_SIZE = Flag("--batch-size", "training.per_device_train_batch_size")
LEARNING_RATE = Flag("--learning-rate", "training.learning_rate")
SEED = Flag("--seed", "training.seed")
PRECISION = Flag("--precision", "training.precision")
LENGTH = (EPOCHS, MAX_STEPS, BATCH_SIZE, LEARNING_RATE)

NO_CACHE = Flag(
    "--no-cache",
    "teacher.cache",
    value=False,
    help="Run the teacher at every step instead of caching its features.",
)
CACHE_DIR = Flag("--cache-dir", "teacher.cache_dir")
OUTPUT_DIR = Flag("--output-dir", "output_dir")
OVERWRITE = Flag("--overwrite", "overwrite", value=True)
RESUME = Flag("--resume", "resume", value=True)
KEEP_CHECKPOINTS = Flag("--keep-checkpoints", "keep_checkpoints", value=True)
PUSH_TO_HUB = Flag("--push-to-hub", "push_to_hub")
EXPORTING = (
    Flag("--engine", "engine"),
    Flag("--int8", "int8", value=True),
    Flag("--max-loss", "max_loss"),
    Flag("--calibration-rows", "calibration_rows"),
)
NO_TEXTS = Flag(
    "--no-texts",
    "report_texts",
    value=False,
    help="Leave the texts of evaluation rows out of report.html and report.json.",
)
THREADS = Flag("--threads", "threads", read=read_list)
OUTPUT = (OUTPUT_DIR, OVERWRITE, RESUME, KEEP_CHECKPOINTS, PUSH_TO_HUB)
STOPPING = (
    Flag("--early-stopping", "training.early_stopping_patience"),
    Flag("--best", "training.load_best_model_at_end", value=True, help="End with the best model, not the last."),
)

PLANNED = (
    "rows layers hidden classes epochs batch_size negatives dim queue_size keys processes student_parameters "
    "cache_dtype memory_dtype free_memory free_disk"
)
"""Sizes that `codir plan` is told, one flag each."""


@dataclass(frozen=True)
class Command:
    """A command.

    Attributes:
        model: name of the model that its keys belong to.
        flags: in the order of `--help`.
        home: module of the model.
        has_recipe: whether the command reads a recipe file and `--set` too.
        takes_long: whether it shows how far it is, with `--quiet` and `--log-file`.
        can_rehearse: whether it has `--dry-run`.
        words: recipe key that words without a flag set, where the command reads no recipe.
    """

    model: str
    flags: tuple[Flag, ...]
    home: str = "codir.config"
    has_recipe: bool = True
    takes_long: bool = True
    can_rehearse: bool = False
    words: str | None = None

    def load_model(self) -> type[BaseModel]:
        """Import the model."""
        model: type[BaseModel] = getattr(import_module(self.home), self.model)
        return model


COMMANDS = {
    "finetune": Command(
        "FinetuneConfig",
        (
            Flag("--model", "model"),
            *(SOURCE, DATA_DIR, DEV, *COLUMNS, *FORMAT, replace(TASK, also=("mlm",)), LABELS, MAX_LENGTH),
            *(*LENGTH, SEED, PRECISION, *STOPPING, *OUTPUT),
        ),
        can_rehearse=True,
    ),
    "distill": Command(
        "Recipe",
        (
            *(TEACHER, ID_COLUMN, *DATA, LAYERS, SELECTION, STUDENT, PRESET, *LENGTH, SEED, PRECISION),
            *(NO_CACHE, CACHE_DIR),
            *(Flag("--baseline", "baseline", value=True), NO_TEXTS, *STOPPING, *OUTPUT),
        ),
        can_rehearse=True,
    ),
    "pretrain": Command(
        "PretrainRecipe",
        (
            Flag("--teacher", "teacher"),
            Flag("--corpus", "corpus.source"),
            Flag("--documents", "corpus.documents"),
            Flag("--text-column", "corpus.text_column"),
            Flag("--max-length", "corpus.max_length"),
            *(LAYERS, STUDENT, PRESET, replace(MAX_STEPS, name="--steps --max-steps")),
            *(BATCH_SIZE, LEARNING_RATE, SEED, PRECISION, *STOPPING, *OUTPUT),
        ),
        can_rehearse=True,
    ),
    "evaluate": Command(
        "EvaluateConfig",
        (
            *(Flag("--model", "model"), *LABELLED),
            *(Flag("--against", "against"), Flag("--differences", "differences")),
            *(Flag("--differing-rows", "differing_rows"), Flag("--predictions", "predictions")),
            *(Flag("--submission", "submission"), Flag("--output", "output")),
        ),
    ),
    "export": Command(
        "ExportConfig",
        (*(Flag("--model", "model"), *LABELLED, *EXPORTING, OUTPUT_DIR, OVERWRITE),),
        has_recipe=False,
        words="model",
    ),
    "benchmark": Command(
        "BenchmarkConfig",
        (
            *LABELLED,
            *(Flag("--batch-sizes", "batch_sizes", read=read_list), THREADS),
            *(Flag("--rows", "rows"), Flag("--rounds", "rounds"), Flag("--bf16", "bf16", value=True), OUTPUT_DIR),
        ),
        has_recipe=False,
        words="models",
    ),
    "compare": Command(
        "CompareConfig",
        (
            Flag("--presets", "presets", read=read_names),
            Flag("--seeds", "seeds", read=read_numbers),
            Flag("--reference", "reference"),
            *(TEACHER, ID_COLUMN, *DATA, LAYERS, SELECTION, STUDENT, *LENGTH, PRECISION, NO_CACHE, CACHE_DIR),
            Flag("--jobs", "jobs"),
            Flag("--keep-students", "keep_students", value=True),
            *(OUTPUT_DIR, OVERWRITE),
        ),
    ),
    "sweep": Command(
        "SweepConfig",
        (
            *(TEACHER, *DATA, Flag("--depths", "depths", read=read_list), Flag("--selection", "selection")),
            *(PRESET, *LENGTH, SEED, PRECISION, NO_CACHE, CACHE_DIR, *EXPORTING),
            *(Flag("--export-teacher", "export_teacher", value=True), Flag("--tolerate", "tolerate")),
            *(THREADS, NO_TEXTS, OUTPUT_DIR, OVERWRITE),
        ),
    ),
    "plan": Command(
        "PlanConfig",
        tuple(Flag(f"--{key.replace('_', '-')}", key) for key in PLANNED.split()),
        home="codir.cli.sizes",
        has_recipe=False,
        takes_long=False,
    ),
}
"""The commands that are made from this table."""
