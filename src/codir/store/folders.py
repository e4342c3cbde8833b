"""Folders and files that are whole or not there, and scratch folders that go with the process that made them.

Knows nothing of what they hold.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

BUILDING, DRAFTS, READING, RUN = ".building-", ".drafts-", ".reading-", ".run-"
"""How the names of scratch folders begin: a folder to come, files to come, a corpus being read, a run's checkpoints."""
OWNER_NAME = ".codir-owner"
"""Locked by the process that a scratch folder belongs to, for as long as it lives."""
_noting: list[Callable[[Sequence[Path]], None]] = []
"""Who wants to be told of files before they appear, such as the list of the files of a run."""
YOUNG_SECONDS = 60.0
"""An empty scratch folder of this age may still be about to get its owner."""


@contextmanager
def scratch_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """A folder under `parent` that goes when the block ends; if the process is killed, the next start removes it.

    Args:
        parent: made where it is not there.
        prefix: `BUILDING`, `DRAFTS`, `READING` or `RUN`.

    Example:
        >>> import tempfile
        >>> parent = Path(tempfile.mkdtemp())
        >>> with scratch_folder(parent, DRAFTS) as scratch:
        ...     scratch.is_dir()
        True
        >>> list(parent.iterdir())
        []
    """
    parent.mkdir(parents=True, exist_ok=True)
    sweep(parent)
    scratch = parent / f"{prefix}{secrets.token_hex(8)}"
    scratch.mkdir()
    owner = FileLock(scratch / OWNER_NAME)
    with owner:
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def sweep(parent: Path) -> None:
    """Remove the scratch folders under `parent` whose processes are gone; nothing else is touched."""
    for prefix in (BUILDING, DRAFTS, READING, RUN):
        for scratch in parent.glob(f"{prefix}*"):
            if scratch.is_dir() and not scratch.is_symlink():
                _remove_ownerless(scratch)


@contextmanager
def written_whole(folder: Path) -> Iterator[Path]:
    """Give a folder to write to beside `folder`, whose name it takes once it is whole; if writing fails, it goes.

    Example:
        >>> import tempfile
        >>> place = Path(tempfile.mkdtemp()) / "cache"
        >>> with written_whole(place) as staging:
        ...     _ = (staging / "half").write_text("1")
        ...     place.exists()
        False
        >>> [path.name for path in place.iterdir()]
        ['half']
    """
    with scratch_folder(folder.parent, BUILDING) as scratch:
        staging = scratch / "whole"
        staging.mkdir()
        yield staging
        follow_umask(staging)
        _rename_into_place(staging, folder)


@contextmanager
def files_added_whole(folder: Path, *, last: str | None = None) -> Iterator[Path]:
    """Give a folder to draft files in, which move to `folder` once all are complete; if one fails, none of them does.

    Args:
        folder: made where it is not there; its other files stay.
        last: name of the file that moves last, by which others know that all are there.

    Example:
        >>> import tempfile
        >>> place = Path(tempfile.mkdtemp())
        >>> with files_added_whole(place) as drafts:
        ...     _ = (drafts / "report.md").write_text("whole")
        ...     (place / "report.md").exists()
        False
        >>> [path.name for path in place.iterdir()]
        ['report.md']
    """
    with scratch_folder(folder, DRAFTS) as scratch:
        drafts = scratch / "whole"
        drafts.mkdir()
        yield drafts
        follow_umask(drafts)
        in_order = sorted(drafts.iterdir(), key=lambda path: (path.name == last, path.name))
        for note in _noting:
            note([folder / draft.name for draft in in_order])
        for draft in in_order:
            os.replace(draft, folder / draft.name)


@contextmanager
def files_noted(note: Callable[[Sequence[Path]], None]) -> Iterator[None]:
    """While the block lasts, `note` is told of the files that `files_added_whole` adds, just before they appear."""
    _noting.append(note)
    try:
        yield
    finally:
        _noting.remove(note)


def is_scratch(path: Path) -> bool:
    """Whether a file or folder has the name of scratch, which the next start removes."""
    return path.name.startswith((BUILDING, DRAFTS, READING, RUN))


def write_whole(file: Path, text: str) -> None:
    """Write a text file that is old or new, never half of either; a symbolic link is replaced, not followed."""
    with files_added_whole(file.parent) as drafts:
        (drafts / file.name).write_text(text, "utf-8")


def follow_umask(folder: Path) -> None:
    """Give all that is in a folder the permissions of files written plainly; some libraries let the owner alone read.

    Args:
        folder: made by `mkdir`, so that its own permissions are what the umask leaves.
    """
    allowed = folder.stat().st_mode & 0o777
    for path in folder.rglob("*"):
        if not path.is_symlink():
            path.chmod(allowed if path.is_dir() else allowed & 0o666)


def _remove_ownerless(scratch: Path) -> None:
    owner = scratch / OWNER_NAME
    try:
        if owner.exists():
            with FileLock(owner, blocking=False):
                shutil.rmtree(scratch, ignore_errors=True)
        elif time.time() - scratch.stat().st_mtime > YOUNG_SECONDS:
            scratch.rmdir()  # killed before it had an owner; a folder that holds anything is not ours to remove
    except (OSError, Timeout):  # someone works in it, it is another user's, or someone else has just removed it
        return


def _rename_into_place(staging: Path, folder: Path) -> None:
    try:
        os.rename(staging, folder)
    except OSError:
        if not folder.exists():  # otherwise another process finished the same folder first, and it is as good
            raise
