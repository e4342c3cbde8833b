"""What a checkpoint is on disk: the name of its folder, what shows that it is codir's, and which files in it are.

Knows nothing of what is in them.
"""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path

from codir.store.folders import is_scratch
from codir.store.manifest import MANIFEST_NAME, Damage, read_sealed

PREFIX = "checkpoint"
"""As `transformers.trainer_utils.PREFIX_CHECKPOINT_DIR` has it."""
SCAFFOLDING_NAME, MARKER_NAME = "codir_scaffolding.safetensors", "incomplete"
SIGNS = (MARKER_NAME, SCAFFOLDING_NAME)
"""A checkpoint of codir holds one of these; those of other tools do not."""
OWN_FILES = (
    *(*SIGNS, MANIFEST_NAME, "codir_*", "config.json", "generation_config.json", "training_args.bin"),
    *("model*.safetensors", "model.safetensors.index.json", "optimizer.pt", "scheduler.pt", "scaler.pt"),
    *("rng_state*.pth", "trainer_state.json", "tokenizer*.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.*", "merges.txt", "*.model", "chat_template.jinja"),
    ".tmp??????",
)
"""Names of the files that codir and `Trainer` write to a checkpoint; others in it are someone else's.

The last is what safetensors writes before it renames: it stays where a process is killed meanwhile.
"""


def checkpoints_in(output_dir: Path) -> list[Path]:
    """Folders that are named as checkpoints are, by their steps; symbolic links do not count."""
    found = [path for path in output_dir.glob(f"{PREFIX}-*") if re.fullmatch(rf"{PREFIX}-\d+", path.name)]
    return sorted((path for path in found if path.is_dir() and not path.is_symlink()), key=step_of)


def step_of(checkpoint: Path) -> int:
    """The step that a checkpoint's name says.

    Example:
        >>> step_of(Path("run/checkpoint-40"))
        40
    """
    return int(checkpoint.name.removeprefix(f"{PREFIX}-"))


def is_own_checkpoint(folder: Path) -> bool:
    """Whether codir wrote a checkpoint to the folder, or began to."""
    return any((folder / sign).is_file() for sign in SIGNS)


def files_of_checkpoint(checkpoint: Path) -> list[Path]:
    """The files in a checkpoint that codir or `Trainer` wrote: those of the manifest, and those of their names.

    What shows that it is a checkpoint comes last, so that one that was moved or deleted in part is still seen as one.
    """
    manifest = read_sealed(checkpoint / MANIFEST_NAME)
    listed = () if isinstance(manifest, Damage) else manifest.get("files", ())

    def is_own(path: Path) -> bool:
        inside = path.relative_to(checkpoint)
        is_named = len(inside.parts) == 1 and any(fnmatch(path.name, pattern) for pattern in OWN_FILES)
        return is_named or inside.as_posix() in listed or is_scratch(checkpoint / inside.parts[0])

    found = [path for path in checkpoint.rglob("*") if (path.is_file() or path.is_symlink()) and is_own(path)]
    return sorted(found, key=lambda path: (path.name in SIGNS, path.name == MANIFEST_NAME, path))
