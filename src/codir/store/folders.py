"""Folders and files that are whole or not there. Knows nothing of what they hold."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STAGING_PREFIX = ".building-"
"""How the name of a folder begins that is being written, or that a killed run left."""


@contextmanager
def written_whole(folder: Path) -> Iterator[Path]:
    """Give a folder to write to beside `folder`, whose name it takes once it is whole; if writing fails, it goes.

    Example:
        >>> place = Path(tempfile.mkdtemp()) / "cache"
        >>> with written_whole(place) as staging:
        ...     _ = (staging / "half").write_text("1")
        ...     place.exists()
        False
        >>> [path.name for path in place.iterdir()]
        ['half']
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f"{STAGING_PREFIX}{folder.name}-", dir=folder.parent))
    try:
        yield staging
        _rename_into_place(staging, folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


@contextmanager
def files_added_whole(folder: Path, *, last: str | None = None) -> Iterator[Path]:
    """Give a folder to draft files in, which move to `folder` once all are complete; if one fails, none of them does.

    Args:
        folder: made where it is not there; its other files stay.
        last: name of the file that moves last, by which others know that all are there.

    Example:
        >>> place = Path(tempfile.mkdtemp())
        >>> with files_added_whole(place) as drafts:
        ...     _ = (drafts / "report.md").write_text("whole")
        ...     (place / "report.md").exists()
        False
        >>> [path.name for path in place.iterdir()]
        ['report.md']
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".drafts-", dir=folder) as name:
        drafts = Path(name)
        yield drafts
        for draft in sorted(drafts.iterdir(), key=lambda path: (path.name == last, path.name)):
            os.replace(draft, folder / draft.name)


def _rename_into_place(staging: Path, folder: Path) -> None:
    try:
        os.rename(staging, folder)
    except OSError:
        if not folder.exists():  # otherwise another process finished the same folder first, and it is as good
            raise
