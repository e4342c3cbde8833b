"""Checkpoints that are whole: the bare student, heads and memories beside it; a resume ends with the same bits.

A subclass of `Trainer` for its hooks alone; knows nothing of what a step computes.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel, Trainer
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, rotate_checkpoints

from codir.errors import NonFiniteLossError, UserError
from codir.trainer.checkpoints import (
    is_complete,
    last_complete_checkpoint,
    load_scaffolding,
    marked_incomplete,
    save_scaffolding,
)
from codir.trainer.distiller import Distiller
from codir.trainer.memories import Memories
from codir.trainer.rows import Rows

OPTIMIZER_NAME = "optimizer.pt"


class WholeCheckpoints(Trainer):
    """`Trainer` that saves the student bare, and what training needs beside it.

    A subclass sets `distiller`, `memories` and `rows` before anything is saved.
    """

    distiller: Distiller
    memories: Memories
    rows: Rows

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unpushed: list[str] = []

    @property
    def student(self) -> PreTrainedModel:
        """The model that stays."""
        return self.distiller.student

    def last_checkpoint(self) -> Path | None:
        """The newest checkpoint of this run that was written to its end."""
        return last_complete_checkpoint(Path(self.args.output_dir))

    def resolve_checkpoint(self, resume_from: str | bool | None) -> str | None:
        """The checkpoint to resume from, if any.

        Raises:
            UserError: it was not written to its end, or lacks the optimiser's state.
        """
        if resume_from is None or resume_from is False:
            return None
        newest = self.last_checkpoint()
        found = newest if resume_from is True else Path(str(resume_from))
        if found is None or not is_complete(found):
            raise UserError(
                "resume_from_checkpoint",
                expected="a checkpoint that was written to its end",
                got="none" if found is None else f"{found}, which was not",
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
        return str(found)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """Write the bare student and its tokenizer: a folder that plain transformers loads."""
        folder = output_dir or self.args.output_dir
        self.student.save_pretrained(folder)
        self.processing_class.save_pretrained(folder)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        self._refuse_to_save_nan()
        run_dir = Path(self._get_output_dir(trial=trial))
        folder = run_dir / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        limit, self.args.save_total_limit = self.args.save_total_limit, None  # nothing is deleted before this is whole
        with marked_incomplete(folder, is_writer=self.args.should_save):
            super()._save_checkpoint(model, trial)
            if self.args.should_save:
                save_scaffolding(folder, self.distiller.objectives, self.memories, training_set=self._training_set)
            self.accelerator.wait_for_everyone()  # each process writes the state of its own random numbers
        self.args.save_total_limit = limit
        while self._unpushed:
            super()._push_from_checkpoint(self._unpushed.pop())
        if self.args.should_save:
            rotate_checkpoints(
                output_dir=str(run_dir),
                save_total_limit=limit,
                best_model_checkpoint=self.state.best_model_checkpoint,
                use_mtime=True,
            )

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        self._unpushed.append(checkpoint_folder)  # not before it is whole

    @cached_property
    def _training_set(self) -> str:
        return self.rows.fingerprint(self.train_dataset)

    def _refuse_to_save_nan(self) -> None:
        if not all(torch.isfinite(parameter).all() for parameter in self.distiller.parameters()):
            last = self.last_checkpoint()
            raise NonFiniteLossError(
                f"step {self.state.global_step}: a weight is not finite; the checkpoint was not written. Last good "
                f"checkpoint: {last or 'none was saved'}. What to do: lower the learning rate and resume from there."
            )

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        folder = Path(resume_from_checkpoint)
        self._load_student(folder)
        load_scaffolding(folder, self.distiller.objectives, self.memories, training_set=self._training_set)

    def _load_best_model(self) -> None:
        self._load_student(Path(self.state.best_model_checkpoint))

    def _load_student(self, folder: Path) -> None:
        saved = type(self.student).from_pretrained(folder, dtype=self.student.dtype)
        self.student.load_state_dict(saved.state_dict())
