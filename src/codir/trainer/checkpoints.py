"""What a checkpoint holds beside the student, and which checkpoints may be used: those that are whole and undamaged.

Heads and memory are in one safetensors file, which also names the run. A folder that is being written carries a marker
until it is whole; its manifest, written last, finds damage done later. Checkpoints of codir 0.x before manifests had
the marker alone, and still load.
"""

from __future__ import annotations

import json
import logging
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from codir.config.words import MemoryKind
from codir.errors import IncompleteArtifactError, UserError
from codir.store import (
    MANIFEST_NAME,
    MARKER_NAME,
    SCAFFOLDING_NAME,
    Damage,
    checkpoints_in,
    clear_place,
    files_of_checkpoint,
    find_damage,
    is_own_checkpoint,
    is_scratch,
    step_of,
)
from codir.trainer.memories import Memories

logger = logging.getLogger(__name__)

IDENTITY = {
    "training_set": "the training set",
    "labels": "the labels",
    "teacher": "the teacher",
    "processes": "the number of processes",
}
"""What a run is made of beside its recipe, by the keys under which a checkpoint keeps it."""
OPTIMIZER_NAME, SCHEDULER_NAME, STATE_NAME = "optimizer.pt", "scheduler.pt", "trainer_state.json"


def save_scaffolding(
    folder: Path, objectives: nn.Module, memories: Memories, *, identity: Mapping[str, str], run: str = ""
) -> None:
    """Write heads and memories: what training needs and the student does not.

    Args:
        folder: of the checkpoint.
        objectives: with their heads.
        memories: of the contrast.
        identity: what the run has to be made of when it goes on; see `load_scaffolding`.
        run: its name.
    """
    tensors = {f"objectives.{name}": tensor.contiguous() for name, tensor in objectives.state_dict().items()}
    tensors |= {f"memory.{name}": tensor.contiguous() for name, tensor in memories.state_dict().items()}
    save_file(tensors, folder / SCAFFOLDING_NAME, metadata={**identity, "run": run})


def load_scaffolding(folder: Path, objectives: nn.Module, memories: Memories, *, identity: Mapping[str, str]) -> None:
    """Take up heads and memories of a checkpoint.

    Args:
        folder: of the checkpoint.
        objectives: get the heads.
        memories: of the contrast.
        identity: what this run is made of, by the keys of `IDENTITY`; a checkpoint of an earlier version has fewer.

    Raises:
        UserError: the checkpoint is of a run on other data, of another teacher, or of other processes.
        IncompleteArtifactError: the file is missing, or belongs to other objectives or other data.
    """
    path = folder / SCAFFOLDING_NAME
    if not path.exists():
        raise IncompleteArtifactError(
            f"{folder}: expected {SCAFFOLDING_NAME} with heads and memory, found none. Resuming without them would "
            "have started the contrast anew in silence. What to do: resume from another checkpoint."
        )
    begun_with = _metadata(folder) or {}
    for key, what in IDENTITY.items():
        if begun_with.get(key, identity[key]) != identity[key]:
            raise UserError(
                "resume_from_checkpoint",
                expected=f"{what} that the checkpoint was made with",
                got="another",
                otherwise="the run would have ended as neither of the two",
                do=f"resume with the same {what.removeprefix('the ')}, or start the run anew",
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


# ---- Whole or not ----


@contextmanager
def marked_incomplete(folder: Path, *, is_writer: bool, run: str = "") -> Iterator[None]:
    """Mark a folder as half-written until the block ends well; what an earlier attempt left in it goes first.

    A folder of that name that codir did not write is set aside.
    """
    if is_writer:
        if folder.exists() and any(folder.iterdir()) and not is_own_checkpoint(folder):
            clear_place(folder)
        _mark(folder, run)
        _empty(folder)
    yield
    if is_writer:
        (folder / MARKER_NAME).unlink()


def is_complete(checkpoint: Path) -> bool:
    """Whether a checkpoint was written to its end."""
    return (checkpoint / SCAFFOLDING_NAME).exists() and not (checkpoint / MARKER_NAME).exists()


def find_fault(checkpoint: Path) -> str | None:
    """Why a checkpoint cannot be used, with the file at fault; `None` if it can. Reads every file.

    One that codir wrote before it wrote manifests has no checksums: it is searched for missing and unreadable files.
    """
    if not is_complete(checkpoint):
        return "was not written to its end"
    damage = _find_old_damage(checkpoint) if _is_old(checkpoint) else find_damage(checkpoint)
    return None if damage is None else f"is damaged: {damage}"


def last_complete_checkpoint(output_dir: Path) -> Path | None:
    """The newest checkpoint that is whole and undamaged; half-written ones are passed over, damaged ones by name."""
    for checkpoint in reversed(checkpoints_in(output_dir)):
        if not is_complete(checkpoint):
            continue
        fault = find_fault(checkpoint)
        if fault is None:
            return checkpoint
        logger.warning("%s %s. It is passed over; an earlier checkpoint is used if there is one.", checkpoint, fault)
    return None


def warn_without_checksums(checkpoint: Path) -> None:
    """Say that a checkpoint of an earlier version cannot be searched for damage."""
    if _is_old(checkpoint):
        logger.warning("%s was written by an earlier version, without checksums: damage would not be seen.", checkpoint)


def _is_old(checkpoint: Path) -> bool:
    return not (checkpoint / MANIFEST_NAME).exists() and "run" not in (_metadata(checkpoint) or {})


def _find_old_damage(checkpoint: Path) -> Damage | None:
    weights = [path.name for path in checkpoint.glob("model*.safetensors")] or ["model.safetensors"]
    names = [STATE_NAME, SCAFFOLDING_NAME, *weights]
    if (checkpoint / OPTIMIZER_NAME).exists():  # without, the run saved models only, which is refused by its own words
        random_states = [path.name for path in checkpoint.glob("rng_state*.pth")] or ["rng_state.pth"]
        names += [OPTIMIZER_NAME, SCHEDULER_NAME, *random_states]
    for name in names:
        if not (checkpoint / name).is_file():
            return Damage(name, "is missing")
        if not _can_be_read(checkpoint / name):
            return Damage(name, "cannot be read")
    return None


def _can_be_read(path: Path) -> bool:
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt"):
                return True
        if path.suffix in (".pt", ".pth"):
            with zipfile.ZipFile(path) as archive:
                return archive.testzip() is None
        return isinstance(json.loads(path.read_text("utf-8")), dict)
    except (SafetensorError, OSError, ValueError, zipfile.BadZipFile):
        return False


# ---- Which checkpoints are a run's, and which of them stay ----


def run_of(checkpoint: Path) -> str | None:
    """The run that wrote a checkpoint: empty where codir did not note it yet, `None` where nothing can be read."""
    metadata = _metadata(checkpoint)
    return None if metadata is None else metadata.get("run", "")


def _metadata(checkpoint: Path) -> dict[str, str] | None:
    try:
        with safe_open(checkpoint / SCAFFOLDING_NAME, framework="pt") as stored:
            return dict(stored.metadata() or {})
    except (OSError, SafetensorError):
        return None


def rotate(output_dir: Path, newest: Path, *, run: str, limit: int | None, best: str | None) -> None:
    """Delete all but the newest few checkpoints of a run, by step; the best one stays too, and so does all else.

    Args:
        output_dir: the run's.
        newest: the checkpoint that the run wrote last. Those of later steps are of a future that it went back behind,
            so they go first.
        run: whose checkpoints may go.
        limit: how many stay; all by default.
        best: path of the best one.
    """
    if not limit or limit < 0:
        return
    ours = [path for path in checkpoints_in(output_dir) if is_complete(path) and run_of(path) == run]
    kept = {newest.name, *([] if best is None else [Path(best).name])}
    later = [path for path in ours if step_of(path) > step_of(newest)]
    free = [path for path in [*later, *(path for path in ours if path not in later)] if path.name not in kept]
    too_many = len(ours) - max(limit, len(ours) - len(free))
    for path in free[: max(0, too_many)]:
        remove(path, run)


def remove_half_written(output_dir: Path, run: str) -> None:
    """Delete what a killed process left of the run's checkpoints: half-written, or half-deleted."""
    for path in checkpoints_in(output_dir):
        marker = path / MARKER_NAME
        if not any(path.iterdir()) or (marker.exists() and marker.read_text("utf-8", "replace") == run):
            remove(path, run)


def remove(checkpoint: Path, run: str) -> None:
    """Delete a checkpoint so that it is seen to be half-deleted until it is gone; what is not codir's in it stays."""
    _mark(checkpoint, run)
    _empty(checkpoint)
    (checkpoint / MARKER_NAME).unlink(missing_ok=True)
    with suppress(OSError):  # someone else's files are in it
        checkpoint.rmdir()


def _mark(checkpoint: Path, run: str) -> None:
    checkpoint.mkdir(parents=True, exist_ok=True)
    (checkpoint / MARKER_NAME).write_text(run, "utf-8")


def _empty(checkpoint: Path) -> None:
    """Delete all that codir and `Trainer` wrote, but the marker; the manifest, which says what that is, goes last."""
    files = [path for path in files_of_checkpoint(checkpoint) if path.name != MARKER_NAME]
    for path in sorted(files, key=lambda path: path.name == MANIFEST_NAME):
        path.unlink(missing_ok=True)
        for parent in path.parents:
            if parent != checkpoint and parent.is_relative_to(checkpoint):
                with suppress(OSError):
                    parent.rmdir()
    for path in filter(is_scratch, [*checkpoint.iterdir()]):  # of a process that was killed before it wrote anything
        with suppress(OSError):
            path.rmdir()
