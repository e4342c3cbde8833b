"""Folders and files that are whole or not there, and scratch folders that go with the process that made them.

Knows nothing of what they hold.
"""

from __future__ import annotations

import errno
import logging
import os
import secrets
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path

from filelock import FileLock, Timeout

from codir.errors import UserError, refusals_behind

logger = logging.getLogger(__name__)

BUILDING, DRAFTS, READING, RUN = ".building-", ".drafts-", ".reading-", ".run-"
"""How the names of scratch folders begin: a folder to come, files to come, a corpus being read, a run's checkpoints."""
OWNER_NAME = ".codir-owner"
"""Locked by the process that a scratch folder belongs to, for as long as it lives."""
_noting: list[Callable[[Sequence[Path]], None]] = []
"""Who wants to be told of files before they appear, such as the list of the files of a run."""
COPY_BYTES = 1 << 22
NO_ROOM_BYTES = 1 << 20
"""A disk with less than this free is full, for a library that wrote less than it wanted to."""


class FolderError(UserError):
    """A folder cannot be made or written to, or its disk is full."""


@contextmanager
def writing_to(folder: Path, subject: str, *, do: str) -> Iterator[None]:
    """Turn what the system refuses within the block into a `FolderError` that names the folder.

    An error about a file elsewhere, such as one that is only read, goes through as it is.

    Args:
        folder: where the block writes.
        subject: what messages call it.
        do: the way out.

    Example:
        >>> with writing_to(Path("/dev/null/cache"), "cache", do="choose another folder"):
        ...     Path("/dev/null/cache").mkdir()
        Traceback (most recent call last):
        ...
        codir.store.folders.FolderError: cache: expected a folder that can be written to, got /dev/null/cache \
(Not a directory). What to do: choose another folder.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        refusal = next(refusals_behind(error), None) or _full_disk_behind(error, folder)
        if refusal is None or not _may_be_of(folder, refusal):
            raise
        got = f"{folder} ({refusal.strerror or refusal})"
        raise FolderError(subject, expected="a folder that can be written to", got=got, do=do) from error


def _full_disk_behind(error: Exception, folder: Path) -> OSError | None:
    """A full disk, where a library says so in its own words: safetensors by number, torch by what was not written."""
    said = str(error)
    says_so = "os error 28" in said or "No space left" in said
    has_stopped_writing = "inline_container" in said or "unexpected pos" in said
    if says_so or (has_stopped_writing and shutil.disk_usage(nearest_there(folder)).free < NO_ROOM_BYTES):
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return None


def nearest_there(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


def _may_be_of(folder: Path, error: OSError) -> bool:
    """Whether an error is of a file under a folder, or does not say of which; a copy names its source first."""
    names = [name for name in (error.filename, error.filename2) if name is not None]
    places = [Path(name).absolute() for name in names if isinstance(name, str | os.PathLike)]
    return len(places) < max(len(names), 1) or any(place.is_relative_to(folder.absolute()) for place in places)


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
    scratch, owner = _make_owned(parent, prefix)
    try:
        yield scratch
    finally:
        _remove_owned(scratch)
        owner.release()


def sweep(parent: Path) -> None:
    """Remove the scratch folders under `parent` whose processes are gone; nothing else is touched."""
    try:
        left = [path for path in parent.iterdir() if is_scratch(path)]
    except OSError:  # there is no such folder, or nobody may look
        return
    for scratch in left:
        if os.path.isdir(scratch) and not os.path.islink(scratch):
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
        clear_place(folder)
        os.rename(staging, folder)


def clear_place(folder: Path, own: Collection[str] = ()) -> None:
    """Make way for a new folder: an old one that holds codir's own files alone is removed, any other is set aside.

    Args:
        folder: a folder, a file or a link of that name; nothing happens where there is none.
        own: patterns of the names of codir's own files.

    Example:
        >>> import tempfile
        >>> place = Path(tempfile.mkdtemp()) / "cache"
        >>> place.mkdir()
        >>> _ = (place / "logits.npy").write_text("damaged")
        >>> clear_place(place, own=["*.npy"])
        >>> place.exists()
        False
    """
    if not os.path.lexists(folder):
        return
    if _holds_only(folder, own):
        with scratch_folder(folder.parent, BUILDING) as scratch:
            os.rename(folder, scratch / "old")  # at once, so that nobody opens a part of it
        return
    aside = folder.with_name(f".set-aside-{folder.name}-{secrets.token_hex(4)}")
    os.rename(folder, aside)
    logger.warning("%s is not only codir's: it was set aside as %s", folder, aside)


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
            target = folder / draft.name
            if target.is_dir() and not target.is_symlink():
                clear_place(target)  # no file takes the place of a folder
            os.replace(draft, target)


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


def claim_disk(file: Path) -> None:
    """Give a file with holes all its blocks now; on a full disk a memory-mapped write would kill the process.

    Raises:
        OSError: the disk has no room for it.
    """
    size = file.stat().st_size
    with file.open("r+b") as content:
        try:
            os.posix_fallocate(content.fileno(), 0, size)
        except (AttributeError, OSError) as error:
            if isinstance(error, OSError) and error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):
                raise
            _write_over(content.fileno(), size)


def _write_over(descriptor: int, size: int) -> None:
    """Write a file's content over itself, holes included."""
    for start in range(0, size, COPY_BYTES):
        os.pwrite(descriptor, os.pread(descriptor, COPY_BYTES, start), start)
    os.fsync(descriptor)


def _make_owned(parent: Path, prefix: str) -> tuple[Path, FileLock]:
    """A scratch folder and the lock that this process holds on it."""
    while True:
        scratch = parent / f"{prefix}{secrets.token_hex(8)}"
        scratch.mkdir()
        owner = FileLock(scratch / OWNER_NAME)
        try:
            owner.acquire()
        except FileNotFoundError:  # another process swept it before it had its owner
            continue
        if scratch.is_dir():
            return scratch, owner
        owner.release()


def _remove_ownerless(scratch: Path) -> None:
    owner = scratch / OWNER_NAME
    try:
        if owner.exists():
            with FileLock(owner, blocking=False):
                _remove_owned(scratch)
        else:  # killed before it had an owner, or after; one that holds anything is not ours to remove
            scratch.rmdir()
    except (OSError, Timeout):  # someone works in it, it is another user's, or someone else has just removed it
        return


def _remove_owned(scratch: Path) -> None:
    """Remove a scratch folder whose owner this process is; the owner goes last, so that a half-removed one has it."""
    with suppress(OSError):
        for path in scratch.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != OWNER_NAME:
                path.unlink(missing_ok=True)
        (scratch / OWNER_NAME).unlink(missing_ok=True)
        scratch.rmdir()


def _holds_only(folder: Path, own: Collection[str]) -> bool:
    """Whether a folder is one indeed, and has nothing in it but plain files of these names."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    return all(
        path.is_file() and not path.is_symlink() and any(fnmatch(path.name, pattern) for pattern in own)
        for path in folder.iterdir()
    )
