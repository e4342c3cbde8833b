"""One process at a time in a folder, and the name of the one that is there."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from codir.errors import UserError

LOCK_NAME, HOLDER_NAME = ".codir-lock", ".codir-holder"


class FolderInUseError(UserError):
    """Another process works in the folder."""


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder while the block lasts; a killed process keeps nobody out.

    Args:
        folder: made where it is not there.

    Raises:
        FolderInUseError: another process holds it; the message says which.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with locked_folder(folder):
        ...     sorted(path.name for path in folder.iterdir())
        ['.codir-holder', '.codir-lock']
        >>> list(folder.iterdir())
        []
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock, holder = FileLock(folder / LOCK_NAME, blocking=False), folder / HOLDER_NAME
    try:
        lock.acquire()
    except Timeout:
        raise FolderInUseError(
            "output_dir",
            expected="a folder that no other run writes to",
            got=f"{folder}, which is in use by {_read(holder)}",
            do="wait for that run, or choose another folder",
        ) from None
    try:
        holder.unlink(missing_ok=True)  # left by a killed run, or a link to somewhere else
        holder.write_text(f"process {os.getpid()} on {platform.node()} since {datetime.now(UTC):%Y-%m-%d %H:%M} UTC")
        yield
    finally:
        for path in (holder, folder / LOCK_NAME):
            path.unlink(missing_ok=True)
        lock.release()


def _read(holder: Path) -> str:
    try:
        return holder.read_text()[:200]
    except (OSError, ValueError):
        return "another process"
