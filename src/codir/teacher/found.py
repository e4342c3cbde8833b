"""The caches that a folder holds: found by their keys, checked before they are used, and what is broken is named.

Never raises for what others left in the folder. Runs no model and writes nothing.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from codir.store import MANIFEST_NAME, Damage, find_damage
from codir.teacher.key import KEY_NAME, LOGITS, OFFSETS, SPACE_ENDING, TABLE_ENDING, CacheKey, vectors_of_table

logger = logging.getLogger(__name__)

TABLES = tuple(f"{name}{TABLE_ENDING}" for name in (LOGITS, OFFSETS, "pooled-*"))
OWN_NAMES = (KEY_NAME, MANIFEST_NAME, *TABLES, f"pooled-*{SPACE_ENDING}")
"""Patterns of the names of a cache's files; whatever else lies in its folder is somebody else's."""
_NAMED: set[tuple[Path, str]] = set()
"""Folders that this process has warned of, and what is wrong with them."""


def find_cache(key: CacheKey, cache_dir: Path, *, is_checked: bool = False) -> Path | None:
    """A finished cache that serves this key and is undamaged: its own, or one that holds further representations.

    Args:
        key: what is wanted.
        cache_dir: holds one folder per cache, and perhaps other things.
        is_checked: another process of this machine has just read the cache, and found it whole; only the heads of its
            tables are looked at.
    """
    for folder, stored in caches_serving(key, cache_dir):
        fault = find_fault(folder, stored, is_checked=is_checked)
        if fault is None:
            return folder
        name_once(folder, str(fault))
    return None


def caches_serving(key: CacheKey, cache_dir: Path) -> list[tuple[Path, CacheKey]]:
    """The caches that would serve this key if they are whole, its own first."""
    serving = [(folder, stored) for folder, stored in caches_in(cache_dir) if stored.serves(key)]
    return sorted(serving, key=lambda found: (found[0].name != key.name, found[0].name))


def caches_in(cache_dir: Path) -> list[tuple[Path, CacheKey]]:
    """All folders of teacher caches with their keys; one without a sound key is named in a warning and passed over."""
    return list(_read_keys(cache_dir))


def find_fault(folder: Path, key: CacheKey, *, is_checked: bool = False) -> Damage | None:
    """What is wrong with a cache: its manifest, a file's hash, or a table that is not what the key says."""
    tables = [f"{table}{TABLE_ENDING}" for table in key.tables]
    if not is_checked:
        if not os.path.lexists(folder / MANIFEST_NAME):
            return Damage(MANIFEST_NAME, "is missing, as in caches of older versions of codir")
        damage = find_damage(folder, listed=[KEY_NAME, *tables, *key.spaces])
        if damage is not None:
            return damage
    return _fault_of_tables(folder, key)


def name_once(folder: Path, fault: str) -> None:
    """Warn of a folder, but not again when it is looked through once more."""
    if (folder, fault) not in _NAMED:
        _NAMED.add((folder, fault))
        logger.warning("%s is not used as a teacher cache: %s", folder, fault)


def forget(folder: Path) -> None:
    """What was wrong with a folder that is no longer there; its successor's faults are named anew."""
    _NAMED.difference_update([named for named in _NAMED if named[0] == folder])


def _read_keys(cache_dir: Path) -> Iterator[tuple[Path, CacheKey]]:
    for folder in _folders_in(cache_dir):
        key = CacheKey.read(folder)
        if isinstance(key, CacheKey):
            yield folder, key
        elif key.fault != "is missing" or any(folder.glob(f"*{TABLE_ENDING}")):  # any other folder is none of ours
            name_once(folder, str(key))


def _folders_in(cache_dir: Path) -> list[Path]:
    try:
        return sorted(path for path in cache_dir.iterdir() if not path.name.startswith(".") and os.path.isdir(path))
    except OSError:  # there is none, or nobody may look
        return []


def _has_right_shape(name: str, shape: tuple[int, ...], key: CacheKey) -> bool:
    """Whether a table has the axes that its key says; logits are of rows, of words, or of all tokens of windows."""
    if name == OFFSETS:
        return len(shape) == 1
    vectors = vectors_of_table(name)
    if vectors is not None:
        return len(shape) == 3 and shape[1] == vectors
    is_of_windows = len(shape) == 3 and shape[1] == key.max_length and OFFSETS not in key.tables
    return len(shape) == 2 or is_of_windows


def _fault_of_tables(folder: Path, key: CacheKey) -> Damage | None:
    rows: set[int] = set()
    words = logits = 0
    for name in key.tables:
        file = f"{name}{TABLE_ENDING}"
        try:
            table = np.load(folder / file, mmap_mode="r")
        except (OSError, ValueError, SyntaxError, EOFError) as error:
            return Damage(file, f"cannot be opened ({error})")
        if table.dtype != key.dtype_of(name) or not _has_right_shape(name, table.shape, key):
            return Damage(file, f"holds {table.dtype} of shape {table.shape}, which is not what {KEY_NAME} says")
        if name == OFFSETS:
            rows.add(len(table) - 1)
            words = int(table[-1]) if len(table) else 0
        elif name == LOGITS and OFFSETS in key.tables:
            logits = len(table)
        else:
            rows.add(len(table))
    if OFFSETS in key.tables and words != logits:
        return Damage(KEY_NAME, "names tables of different numbers of words")
    return None if len(rows) == 1 else Damage(KEY_NAME, "names tables of different numbers of rows")
