"""What a checkpoint holds beside the student, and how to tell a whole one from a half-written one.

Heads and memory are in one safetensors file. A folder that is being written carries a marker until it is whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from codir.config.words import MemoryKind
from codir.errors import IncompleteArtifactError, UserError
from codir.trainer.memories import Memories

SCAFFOLDING_NAME = "codir_scaffolding.safetensors"
MARKER_NAME = "incomplete"


def save_scaffolding(folder: Path, objectives: nn.Module, memories: Memories, *, training_set: str) -> None:
    """Write heads and memories, and which training set they belong to: what training needs and the student does not."""
    tensors = {f"objectives.{name}": tensor.contiguous() for name, tensor in objectives.state_dict().items()}
    tensors |= {f"memory.{name}": tensor.contiguous() for name, tensor in memories.state_dict().items()}
    save_file(tensors, folder / SCAFFOLDING_NAME, metadata={"training_set": training_set})


def load_scaffolding(folder: Path, objectives: nn.Module, memories: Memories, *, training_set: str) -> None:
    """Take up heads and memories of a checkpoint.

    Raises:
        UserError: the checkpoint is of a run on other data.
        IncompleteArtifactError: the file is missing, or belongs to other objectives or other data.
    """
    path = folder / SCAFFOLDING_NAME
    if not path.exists():
        raise IncompleteArtifactError(
            f"{folder}: expected {SCAFFOLDING_NAME} with heads and memory, found none. Resuming without them would "
            "have started the contrast anew in silence. What to do: resume from another checkpoint."
        )
    with safe_open(path, framework="pt") as stored:
        if stored.metadata()["training_set"] != training_set:
            raise UserError(
                "resume_from_checkpoint",
                expected="the training set that the checkpoint was made with",
                got="another one",
                do="resume with the same data, or start the run anew",
            )
    tensors = load_file(path)
    try:
        objectives.load_state_dict(_with_prefix(tensors, "objectives."))
        memories.load_state_dict(_with_prefix(tensors, "memory."))
    except (RuntimeError, KeyError) as error:
        raise IncompleteArtifactError(
            f"{path}: heads or memory of another run (other objectives, layers or training set): {error}. "
            "What to do: resume with the recipe that the checkpoint was made with."
        ) from error


def kind_of_memory(folder: Path) -> MemoryKind | None:
    """The kind of memory of the run that wrote a checkpoint; `None` if the checkpoint does not say."""
    path = folder / SCAFFOLDING_NAME
    if not path.exists():
        return None
    with safe_open(path, framework="pt") as stored:
        names = set(stored.keys())
    return "queue" if "memory.index" in names else "bank" if "memory.vectors" in names else None


def _with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


@contextmanager
def marked_incomplete(folder: Path, *, is_writer: bool) -> Iterator[None]:
    """Mark a folder as half-written until the block ends well."""
    marker = folder / MARKER_NAME
    if is_writer:
        folder.mkdir(parents=True, exist_ok=True)
        marker.touch()
    yield
    if is_writer:
        marker.unlink()


def is_complete(checkpoint: Path) -> bool:
    """Whether a checkpoint was written to its end."""
    return (checkpoint / SCAFFOLDING_NAME).exists() and not (checkpoint / MARKER_NAME).exists()


def last_complete_checkpoint(output_dir: Path) -> Path | None:
    """The newest checkpoint that is whole; half-written ones are passed over."""
    pattern = re.compile(rf"{PREFIX_CHECKPOINT_DIR}-(\d+)")
    found = [(int(match[1]), path) for path in output_dir.glob("*") if (match := pattern.fullmatch(path.name))]
    complete = [path for _, path in sorted(found) if is_complete(path)]
    return complete[-1] if complete else None
