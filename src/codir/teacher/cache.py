"""The teacher's features on disk: one row per training example, computed once, memory-mapped ever after.

A cache is a folder named after the fingerprint of all that decides its content. It is written under another name and
renamed when it is whole, so a folder of that name is complete or it is not there.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from codir.config.words import STORED_DTYPE, StoredDtype
from codir.errors import UserError
from codir.signals import Batch, Representation, TeacherSignal, resolve_layers
from codir.store import fingerprint_model, fingerprint_texts, fingerprint_tokenizer, written_whole
from codir.system import free_memory
from codir.teacher.base import Teacher
from codir.teacher.live import LiveTeacher
from codir.teacher.rule import cache_bytes

logger = logging.getLogger(__name__)

CACHE_VERSION = 3
"""Raised whenever codir computes features in another way, so that older caches are not used."""
MEMORY_SHARE = 0.25
"""A cache is held whole where it is wanted when it takes no more than this share of the memory that is free there."""


LOGITS = "logits"


def table_name(representation: Representation, num_layers: int) -> str:
    """Name of a representation's table: two that pool the same layers in the same way share it.

    Example:
        >>> table_name(Representation("all", "mean"), 3), table_name(Representation((1, 2, 3), "mean"), 3)
        ('pooled-mean-1-2-3', 'pooled-mean-1-2-3')
    """
    layers = resolve_layers(representation.layers, num_layers)
    return "-".join(["pooled", representation.pooling, *map(str, layers)])


def table_names(teacher: LiveTeacher) -> dict[Representation, str]:
    """The table of each representation that this teacher is asked for."""
    num_layers = teacher.model.config.num_hidden_layers
    return {representation: table_name(representation, num_layers) for representation in teacher.view.pooled}


@dataclass(frozen=True)
class CacheKey:
    """Everything that decides what a cache holds. Two keys that differ anywhere are two caches.

    Attributes:
        pooled: the tables of representations.
    """

    weights: str
    tokenizer: str
    texts: str
    max_length: int
    pooled: tuple[str, ...]
    compute_dtype: str
    cache_dtype: StoredDtype
    version: int = CACHE_VERSION

    @property
    def name(self) -> str:
        """Name of the cache's folder."""
        return hashlib.blake2b(json.dumps(asdict(self)).encode(), digest_size=10).hexdigest()

    @property
    def of_any_tables(self) -> CacheKey:
        """What caches of one teacher and its rows have in common, whichever representations they hold."""
        return replace(self, pooled=())

    def differences(self, other: CacheKey) -> list[str]:
        """In which fields another key differs from this one."""
        return [field.name for field in fields(self) if getattr(self, field.name) != getattr(other, field.name)]

    def serves(self, wanted: CacheKey) -> bool:
        """Whether a cache of this key holds all that is wanted of another, and perhaps further tables."""
        return set(wanted.pooled) <= set(self.pooled) and self.of_any_tables == wanted.of_any_tables

    @classmethod
    def of(cls, teacher: LiveTeacher, cache_dtype: StoredDtype) -> CacheKey:
        """The key of what this teacher would say."""
        return cls(
            weights=fingerprint_model(teacher.model),
            tokenizer=fingerprint_tokenizer(teacher.tokenizer),
            texts=fingerprint_texts(teacher.dataset),
            max_length=teacher.max_length,
            pooled=tuple(sorted(set(table_names(teacher).values()))),
            compute_dtype=str(teacher.view.dtype).removeprefix("torch."),
            cache_dtype=cache_dtype,
        )

    @classmethod
    def read(cls, folder: Path) -> CacheKey | None:
        """The key that a finished cache was written under; `None` for one that another version wrote."""
        stored = json.loads((folder / "key.json").read_text())
        if set(stored) != {field.name for field in fields(cls)}:
            return None
        return cls(**{**stored, "pooled": tuple(stored["pooled"])})


class CachedTeacher(Teacher):
    """Reads what a `LiveTeacher` once said.

    Args:
        folder: a finished cache.
        tables: which of its tables holds each representation that will be asked for, from `table_names`.
        device: where signals are wanted. The features themselves are held there when they take at most `MEMORY_SHARE`
            of its free memory, so that looking up waits neither for the disk nor for the host; otherwise they stay
            memory-mapped.
    """

    def __init__(self, folder: Path, tables: Mapping[Representation, str], device: torch.device | None = None) -> None:
        self.folder, self.device, self._names = folder, device or torch.device("cpu"), dict(tables)
        self._tables = {name: _open(folder / f"{name}.npy") for name in {LOGITS, *tables.values()}}
        if sum(table.nbytes for table in self._tables.values()) <= MEMORY_SHARE * free_memory(self.device):
            self._tables = {name: table.to(self.device, copy=True) for name, table in self._tables.items()}

    def __len__(self) -> int:
        return len(self._tables[LOGITS])

    def signal(self, batch: Batch) -> TeacherSignal:
        """Look up the examples of a batch."""
        index = batch.example_index
        found = {name: self._take(name, index) for name in self._tables}
        return TeacherSignal(found[LOGITS], {asked: found[name] for asked, name in self._names.items()})

    def pooled(
        self, example_index: Int[Tensor, "groups negatives"], representation: Representation
    ) -> Float[Tensor, "groups negatives layers hidden"]:
        """Look up a representation of any training examples."""
        return self._take(self._names[representation], example_index)

    def _take(self, name: str, index: Tensor) -> Tensor:
        table = self._tables[name]
        rows = table.index_select(0, index.flatten().to(table.device))
        return rows.view(*index.shape, *table.shape[1:]).to(self.device, torch.float32, non_blocking=True)


def open_or_build_cache(
    teacher: LiveTeacher, cache_dir: Path, *, cache_dtype: StoredDtype = STORED_DTYPE, batch_size: int = 64
) -> Path:
    """The folder of this teacher's cache: found, or built by running the teacher once over its rows.

    Several processes may ask side by side: one builds while the others wait, and find it.

    Args:
        teacher: what to ask when nothing fitting is found.
        cache_dir: holds one folder per cache.
        cache_dtype: of pooled layers; logits are always float32.
        batch_size: rows per batch of the teacher's one pass.

    Raises:
        UserError: the disk has no room for it.
    """
    key = CacheKey.of(teacher, cache_dtype)
    found = find_cache(key, cache_dir)
    if found is None:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with FileLock(cache_dir / f".{key.of_any_tables.name}.lock"):
            found = find_cache(key, cache_dir)  # whoever comes second waited, and finds it
            if found is None:
                return _build(teacher, cache_dir / key.name, key, batch_size)
    logger.info("teacher cache: reusing %s", found)
    return found


def find_cache(key: CacheKey, cache_dir: Path) -> Path | None:
    """A finished cache that serves this key: its own, or one that holds further representations."""
    serving = [folder for folder, other in _caches_in(cache_dir) if other.serves(key)]
    return min(serving, key=lambda folder: (folder.name != key.name, folder.name), default=None)


def estimate_bytes(teacher: LiveTeacher, cache_dtype: StoredDtype) -> int:
    """Bytes of this teacher's cache on disk."""
    config, itemsize = teacher.model.config, np.dtype(cache_dtype).itemsize
    tables = {name: asked for asked, name in table_names(teacher).items()}
    layers = sum(len(resolve_layers(asked.layers, config.num_hidden_layers)) for asked in tables.values())
    hidden, classes = int(config.hidden_size), int(config.num_labels)
    return cache_bytes(len(teacher.dataset), classes=classes, layers=layers, hidden=hidden, itemsize=itemsize)


def _build(teacher: LiveTeacher, folder: Path, key: CacheKey, batch_size: int) -> Path:
    size = estimate_bytes(teacher, key.cache_dtype)
    logger.info("teacher cache: building %s, %.0f MB (%s)", folder, size / 1e6, _why(folder.parent, key))
    _check_disk(folder.parent, size)
    with written_whole(folder) as staging:
        _write(teacher, staging, key, batch_size)
    return folder


def _write(teacher: LiveTeacher, folder: Path, key: CacheKey, batch_size: int) -> None:
    tables: dict[str, Any] = {}
    names = table_names(teacher)
    for rows, signal in teacher.iter_signals(batch_size):
        said = {names[asked]: features for asked, features in signal.pooled.items()} | {LOGITS: signal.logits}
        for name, features in said.items():
            dtype = "float32" if name == LOGITS else key.cache_dtype
            values = _cast(features.cpu().numpy(), dtype)
            if name not in tables:
                shape = (len(teacher.dataset), *values.shape[1:])
                tables[name] = np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=dtype, shape=shape)
            tables[name][rows] = values
    for table in tables.values():
        table.flush()
    (folder / "key.json").write_text(json.dumps(asdict(key), indent=2))


def _cast(values: NDArray[np.float32], dtype: str) -> NDArray[Any]:
    with np.errstate(over="ignore"):
        cast = values.astype(dtype)
    if np.isfinite(cast).all():
        return cast
    raise UserError(
        "teacher features",
        expected=f"finite numbers in {dtype}",
        got="infinity or NaN" if np.isfinite(values).all() else "a teacher that itself gives infinity or NaN",
        otherwise="every run that used this cache would have stopped at a loss that is not finite",
        do="set `teacher.cache_dtype: float32`, or `--precision fp32`, or correct the teacher",
    )


def _open(path: Path) -> Tensor:
    return torch.from_numpy(
        np.load(path, mmap_mode="c")
    )  # copy-on-write: torch wants writable memory, the file is safe


def _why(cache_dir: Path, key: CacheKey) -> str:
    """In words, why no cache fits: the fields in which the nearest one differs."""
    keys = [other for _, other in _caches_in(cache_dir)]
    if not keys:
        return "no cache yet"
    differences = min((key.differences(other) for other in keys), key=len)
    return "changed since the nearest cache: " + ", ".join(differences)


def _caches_in(cache_dir: Path) -> list[tuple[Path, CacheKey]]:
    """The finished caches of this version, and their keys."""
    folders = [path.parent for path in cache_dir.glob("[!.]*/key.json")]
    keys = [(folder, CacheKey.read(folder)) for folder in folders]
    return [(folder, key) for folder, key in keys if key is not None]


def _check_disk(cache_dir: Path, needed: int) -> None:
    free = shutil.disk_usage(cache_dir).free
    if needed > free:
        raise UserError(
            "teacher cache",
            expected=f"{needed / 1e9:.1f} GB of free disk under {cache_dir}",
            got=f"{free / 1e9:.1f} GB",
            do="choose another `--cache-dir`, fewer `teacher_layers`, or run the teacher live with `--no-cache`",
        )
