"""Folders that are whole or not there. Knows nothing of what they hold."""

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


def _rename_into_place(staging: Path, folder: Path) -> None:
    try:
        os.rename(staging, folder)
    except OSError:
        if not folder.exists():  # otherwise another process finished the same folder first, and it is as good
            raise
