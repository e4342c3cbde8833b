"""Checkpoints that are whole: the bare student, heads and memories beside it; a resume ends with the same bits.

A subclass of `Trainer` for its hooks alone; knows nothing of what a step computes.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import nn
from transformers import EarlyStoppingCallback, PreTrainedModel, Trainer, TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from codir.errors import IncompleteArtifactError, UserError
from codir.store import MARKER_NAME, fingerprint_labels, write_manifest, writing_to
from codir.teacher import Teacher
from codir.trainer import progress
from codir.trainer.arguments import own_key
from codir.trainer.checkpoints import (
    OPTIMIZER_NAME,
    find_fault,
    last_complete_checkpoint,
    load_scaffolding,
    marked_incomplete,
    remove_half_written,
    rotate,
    run_of,
    save_scaffolding,
    warn_without_checksums,
)
from codir.trainer.distiller import Distiller
from codir.trainer.finite import has_finite_weights, weights_error
from codir.trainer.memories import Memories
from codir.trainer.rows import Rows
from codir.trainer.terms import TermMeter

logger = logging.getLogger(__name__)


class WholeCheckpoints(Trainer):
    """`Trainer` that saves the student bare, and what training needs beside it.

    A subclass sets `distiller`, `memories`, `rows` and `teacher` before anything is saved.
    """

    distiller: Distiller
    memories: Memories
    rows: Rows
    teacher: Teacher

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._terms = TermMeter()
        self._unpushed: list[str] = []
        self._run = ""
        self._resumed: Path | None = None
        self._checked: Path | None = None  # every file of it was read and compared
        self._newest: Path | None = None
        self._is_epoch_over = False
        self._may_save = True
        self.add_callback(progress.AtTrainBegin(self._take_up_progress))
        if (patience := own_key(self.args, "early_stopping_patience")) is not None:
            self.add_callback(EarlyStoppingCallback(patience))

    @property
    def student(self) -> PreTrainedModel:
        """The model that stays."""
        return self.distiller.student

    # ---- Resuming ----

    def last_checkpoint(self) -> Path | None:
        """The newest checkpoint of this run that is whole; a damaged one is passed over with a warning."""
        self._checked = last_complete_checkpoint(Path(self.args.output_dir))
        return self._checked

    def resolve_checkpoint(self, resume_from: str | bool | None) -> str | None:
        """The checkpoint to resume from, if any.

        Raises:
            UserError: it was not written to its end, is damaged, or lacks the optimiser's state.
        """
        if resume_from is None or resume_from is False:
            return None
        found = self.last_checkpoint() if resume_from is True else Path(str(resume_from))
        fault = None if found is None or found == self._checked else find_fault(found)
        self._checked = None
        if found is None or fault:
            newest = self.last_checkpoint()
            raise UserError(
                "resume_from_checkpoint",
                expected="a checkpoint that was written to its end and is undamaged",
                got="none" if found is None else f"{found}, which {fault}",
                otherwise=None if found is None else "the run would have gone on from another state",
                do=f"resume from {newest}" if newest else "start the run anew",
            )
        if not (found / OPTIMIZER_NAME).exists():
            raise UserError(
                "resume_from_checkpoint",
                expected="a checkpoint with the optimiser's state",
                got=f"{found}, saved with `save_only_model`",
                otherwise="the run would have continued from another state than it stopped in",
                do="start the run anew, without `save_only_model`",
            )
        warn_without_checksums(found)
        logger.info("Resuming from %s.", found)
        return str(found)

    def train(self, resume_from_checkpoint: str | None = None, **kwargs: Any) -> Any:
        """Train; from a checkpoint, if `resolve_checkpoint` gave one, as if the run had never stopped."""
        self._resumed = self._newest = None if resume_from_checkpoint is None else Path(resume_from_checkpoint)
        self._run = secrets.token_hex(8) if self._resumed is None else run_of(self._resumed) or ""
        self._is_epoch_over, self._may_save = False, True
        if self.args.should_save:
            remove_half_written(Path(self.args.output_dir), self._run)
        with changed(self.args, eval_on_start=self.args.eval_on_start and self._resumed is None):
            output = super().train(resume_from_checkpoint=resume_from_checkpoint, **kwargs)
        return output._replace(training_loss=output.metrics["train_loss"])

    def _init_training_state(self, max_steps: int, *args: Any, **kwargs: Any) -> Any:
        begun = super()._init_training_state(max_steps, *args, **kwargs)
        self.state.compute_steps(self.args, max_steps)  # otherwise those of the checkpoint stay
        best = Path(self.args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{self.state.best_global_step}"
        if self._resumed and best.is_dir():
            self.state.best_model_checkpoint = str(best)  # the folder may have moved
        return begun

    def _load_callback_state(self) -> None:
        progress.restore_callbacks(self.callback_handler.callbacks, self.state.stateful_callbacks)

    def _take_up_progress(self) -> None:
        self._terms.drain()
        file = None if self._resumed is None else progress.progress_file(self._resumed, self.args)
        taken = None if file is None else progress.load_progress(file, self.args.device)
        if taken is not None:
            self._tr_loss, self._total_loss_scalar = taken["loss"], taken["total_loss"]
            self._globalstep_last_logged = taken["last_logged"]
            self._terms.load_state_dict(taken["terms"])

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        has_stopped = progress.has_stopped_early(self.callback_handler.callbacks)
        if self._resumed and (self.state.global_step >= self.state.max_steps or has_stopped):
            self.control.should_training_stop = True  # the run had taken its last step
        else:
            super()._run_epoch(*args, **kwargs)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        rates = progress.base_rates(self.optimizer)
        super()._load_optimizer_and_scheduler(checkpoint)
        progress.take_rates(self.optimizer, self.lr_scheduler, rates)

    def _load_scaler(self, checkpoint: str | None) -> None:
        if self.accelerator.scaler is not None:  # the run may go on in another precision
            super()._load_scaler(checkpoint)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        folder = Path(resume_from_checkpoint)
        self._load_student(folder)
        load_scaffolding(folder, self.distiller.objectives, self.memories, identity=self._identity)

    def _load_best_model(self) -> None:
        best = Path(self.state.best_model_checkpoint)
        if fault := find_fault(best):
            raise IncompleteArtifactError(
                f"{best}, the best model of the run, {fault}. What to do: delete the folder and resume; the run then "
                "ends with its last weights."
            )
        self._load_student(best)

    def _load_student(self, folder: Path) -> None:
        saved = type(self.student).from_pretrained(folder, dtype=self.student.dtype)
        self.student.load_state_dict(saved.state_dict())

    # ---- Saving ----

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """Write the bare student and its tokenizer: a folder that plain transformers loads."""
        folder = output_dir or self.args.output_dir
        self.student.save_pretrained(folder)
        self.processing_class.save_pretrained(folder)

    def _maybe_log_save_evaluate(self, *args: Any, **kwargs: Any) -> None:
        """After a step and after an epoch; what an epoch's last step would save is saved after the epoch.

        A checkpoint would otherwise lack that epoch's evaluation and log, which a resumed run could not make up for.
        """
        is_after_step, self._may_save = not self._is_epoch_over, self._is_epoch_over
        try:
            super()._maybe_log_save_evaluate(*args, **kwargs)
        except SaveLater:
            pass  # `control.should_save` still says so when the epoch has ended
        finally:
            self._may_save = True
        self._is_epoch_over = is_after_step and self._epoch_ends_here

    @property
    def _epoch_ends_here(self) -> bool:
        is_last = float(self.state.epoch).is_integer()
        return is_last or self.control.should_epoch_stop or self.control.should_training_stop

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        if not self._may_save and self._epoch_ends_here:
            raise SaveLater
        if not has_finite_weights(self.distiller.parameters()):
            step, rate = self.state.global_step, self.args.learning_rate
            raise weights_error(step=step, learning_rate=rate, last=self.last_checkpoint())
        folder = Path(self._get_output_dir(trial=trial)) / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        with (
            writing_to(folder, "checkpoint", do="free some space, or choose another `--output-dir`, and resume"),
            changed(self.args, save_total_limit=None),  # nothing is deleted before this is whole
            marked_incomplete(folder, is_writer=self.args.should_save, run=self._run),
        ):
            self.accelerator.wait_for_everyone()  # what was in the folder has gone
            super()._save_checkpoint(model, trial)
            self._save_beside(folder)
        self._newest = folder
        while self._unpushed:
            super()._push_from_checkpoint(self._unpushed.pop())
        self._rotate()

    def _save_beside(self, folder: Path) -> None:
        """What `Trainer` does not save, and at last the manifest, when each process has written its part."""
        sums = {"loss": self._tr_loss, "total_loss": self._total_loss_scalar, "terms": self._terms.state_dict()}
        sums["last_logged"] = self._globalstep_last_logged
        progress.save_progress(progress.progress_file(folder, self.args), sums)
        if self.args.should_save:
            save_scaffolding(folder, self.distiller.objectives, self.memories, identity=self._identity, run=self._run)
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            write_manifest(folder, without=(MARKER_NAME,))

    def _rotate(self) -> None:
        if self.args.should_save and self._newest is not None:
            limit, best = self.args.save_total_limit, self.state.best_model_checkpoint
            rotate(self._newest.parent, self._newest, run=self._run, limit=limit, best=best)

    def _finalize_training(self, *args: Any, **kwargs: Any) -> Any:
        with changed(self.args, save_total_limit=None):  # it would delete the last checkpoint, by file names alone
            output = super()._finalize_training(*args, **kwargs)
        self._rotate()
        return output

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Trainer's own, with the mean loss of the whole run at its end, also of the part before a resume."""
        if "train_loss" in logs:
            logs["train_loss"] = self._total_loss_scalar / max(self.state.global_step, 0.001)
        super().log(logs, *args, **kwargs)

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        self._unpushed.append(checkpoint_folder)  # not before it is whole

    @cached_property
    def _identity(self) -> dict[str, str]:
        """What a resumed run must have in common with the one that it goes on with."""
        return {
            "training_set": self.rows.fingerprint(self.train_dataset),
            "labels": fingerprint_labels(self.train_dataset),
            "teacher": self.teacher.fingerprint,
            "processes": str(self.args.world_size),
        }


class SaveLater(Exception):  # noqa: N818 - not an error: it leaves `Trainer`'s method before its last statement
    """The epoch ends with this step, so the checkpoint is written after it."""


@contextmanager
def changed(args: TrainingArguments, **values: Any) -> Iterator[None]:
    """Other values of some arguments, for the length of a block."""
    before = {name: getattr(args, name) for name in values}
    vars(args).update(values)
    try:
        yield
    finally:
        vars(args).update(before)
