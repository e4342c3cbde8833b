"""The output folder of a run: refused, claimed, or resumed in."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import yaml

from codir.config import (
    AnyRun,
    parse_yaml,
    redacted,
)
from codir.errors import UserError
from codir.trainer import DistillationTrainer

RECORD_NAME = "recipe.yaml"


def check_output_dir(config: AnyRun) -> None:
    """Refuse a folder that is not empty, unless it may be overwritten or the same recipe is resumed in it."""
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


def can_resume(config: AnyRun, trainer: DistillationTrainer) -> bool:
    """Whether to go on from a checkpoint: asked for, and there is one."""
    return config.resume and trainer.last_checkpoint() is not None


def _record_of(config: AnyRun) -> str:
    content = redacted(config.model_dump(mode="json", exclude={"overwrite", "resume"}))
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
