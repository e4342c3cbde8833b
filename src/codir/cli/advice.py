"""Which command comes after one that is done."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

from codir.cli.flags import COMMANDS

if TYPE_CHECKING:
    from codir.config import FinetuneConfig, Recipe

STUDENT_NAME = "student"


def command_after_finetuning(config: FinetuneConfig) -> str:
    """The command that distils the model just made, on the same data, to half of its layers."""
    words = ["codir", "distill", "--teacher", str(config.output_dir), *_words_of_data(config)]
    words += ["--student-layers", str(_half_of_layers(config))]
    return shlex.join([*words, "--output-dir", str(config.output_dir.with_name(STUDENT_NAME))])


def command_after_distilling(config: Recipe) -> str:
    """The command that makes the student run without PyTorch, checked on the rows of its run."""
    folder = config.output_dir
    return shlex.join(["codir", "export", str(folder), "--int8", "--output-dir", f"{folder}-int8"])


def _words_of_data(config: FinetuneConfig) -> list[str]:
    """What says where the data is and how to read it: the values that are not the default's."""
    flags = {flag.key: flag for flag in COMMANDS["distill"].flags}
    words: list[str] = []
    for name, value in config.data.model_dump(mode="json", exclude_defaults=True).items():
        key = f"data.{name}"
        flag = flags.get(key)
        if flag is None:
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
