"""What comes after a command that is done: the next one, or what to change where a model learned nothing."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

from codir.cli.flags import COMMANDS
from codir.errors.shown import counted

if TYPE_CHECKING:
    from pathlib import Path

    from codir.config import FinetuneConfig, Recipe
    from codir.measure import Judgement

STUDENT_NAME = "student"


def after_finetuning(config: FinetuneConfig) -> str:
    """The command that distils the model just made, on the same data, to half of its layers."""
    if (steps := _steps_in_vain(config.output_dir)) is not None:
        return (
            f"train again with `--overwrite`; the model is no better than one answer to every row, after "
            f"{counted(steps, 'step')} at learning rate {config.training.learning_rate:g}, and has little to teach. "
            "Give it more labels, more epochs (`--epochs`) or another `--learning-rate`"
        )
    words = ["codir", "distill", "--teacher", str(config.output_dir), *_words_of_data(config)]
    words += ["--student-layers", str(_half_of_layers(config))]
    return shlex.join([*words, "--output-dir", str(config.output_dir.with_name(STUDENT_NAME))])


def after_distilling(config: Recipe, judgement: Judgement | None) -> str:
    """The command that makes the student run without PyTorch, checked on the rows of its run."""
    if judgement is not None and judgement.standings["student"].learned_nothing:
        of_labels = config.objectives.learns_labels_alone
        more = "more labels" if of_labels else "a better teacher, more rows (`--unlabelled`)"
        return (
            "distil again with `--overwrite`; the student is no better than one answer to every row. "
            f"Give it {more}, more epochs (`--epochs`) or another `--learning-rate`"
        )
    folder = config.output_dir
    return shlex.join(["codir", "export", str(folder), "--int8", "--output-dir", f"{folder}-int8"])


def _steps_in_vain(folder: Path) -> int | None:
    """The steps of a fine-tuning whose model is no better than one answer to every row; `None` of any other."""
    try:
        report: Any = json.loads((folder / "report.json").read_text("utf-8"))
        return int(report["training"]["steps"]) if report["standings"]["model"]["learned_nothing"] else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _words_of_data(config: FinetuneConfig) -> list[str]:
    """What says where the data is and how to read it: the values that are not the default's."""
    flags = {flag.key: flag for flag in COMMANDS["distill"].flags}
    words: list[str] = []
    for name, value in config.data.model_dump(mode="json", exclude_defaults=True).items():
        key = f"data.{name}"
        flag = flags.get(key)
        if flag is None or (isinstance(value, list) and any("," in str(one) for one in value)):
            words += ["--set", f"{key}={json.dumps(value)}"]
        elif flag.value is not None:
            words.append(flag.shown)
        else:
            words += [flag.shown, ",".join(map(str, value)) if isinstance(value, list) else str(value)]
    return words


def _half_of_layers(config: FinetuneConfig) -> int:
    try:
        content: Any = json.loads((config.output_dir / "config.json").read_text("utf-8"))
        layers = next(content[name] for name in ("num_hidden_layers", "n_layers", "n_layer") if name in content)
        return max(1, int(layers) // 2)
    except (OSError, ValueError, TypeError, StopIteration):
        return 3
