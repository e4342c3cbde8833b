"""The only room that knows teacher, student and objectives together; the loop itself is transformers' `Trainer`."""

from codir.trainer.answers import beyond, lacking_in
from codir.trainer.arguments import DistillationArguments, PretrainingArguments
from codir.trainer.checkpoints import is_complete, last_complete_checkpoint
from codir.trainer.checks import check_pretraining
from codir.trainer.distiller import Distiller
from codir.trainer.neighbours import check_neighbours
from codir.trainer.pretraining import PretrainingTrainer
from codir.trainer.rows import score_texts
from codir.trainer.trainer import HEAD_LEARNING_RATE_FACTOR, DistillationTrainer
from codir.trainer.watching import watched

__all__ = [
    "HEAD_LEARNING_RATE_FACTOR",
    "DistillationArguments",
    "DistillationTrainer",
    "Distiller",
    "PretrainingArguments",
    "PretrainingTrainer",
    "beyond",
    "check_neighbours",
    "check_pretraining",
    "is_complete",
    "lacking_in",
    "last_complete_checkpoint",
    "score_texts",
    "watched",
]
