"""The teacher's features on disk: one row per training example, computed once, memory-mapped ever after.

A cache is a folder named after the fingerprint of all that decides its content. It is written under another name and
renamed when it is whole, so a folder of that name is complete or it is not there.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from codir.errors import UserError
from codir.machine import free_memory
from codir.signals import Batch, TeacherSignal
from codir.teacher.base import Teacher
from codir.teacher.fingerprint import fingerprint_model, fingerprint_texts, fingerprint_tokenizer
from codir.teacher.live import LiveTeacher
from codir.teacher.rule import cache_bytes

logger = logging.getLogger(__name__)

CacheDtype = Literal["float32", "float16"]
CACHE_VERSION = 2
"""Raised whenever codir computes features in another way, so that caches of before are left alone."""
MEMORY_SHARE = 0.25
"""A cache is held whole where it is wanted when it takes no more than this share of the memory that is free there."""


@dataclass(frozen=True)
class CacheKey:
    """Everything that decides what a cache holds. Two keys that differ anywhere are two caches."""

    weights: str
    tokenizer: str
    texts: str
    max_length: int
    layers: tuple[int, ...]
    pooling: str
    compute_dtype: str
    cache_dtype: CacheDtype
    version: int = CACHE_VERSION

    @property
    def name(self) -> str:
        """Name of the cache's folder."""
        return hashlib.blake2b(json.dumps(asdict(self)).encode(), digest_size=10).hexdigest()

    def differences(self, other: CacheKey) -> list[str]:
        """In which fields another key differs from this one."""
        return [field.name for field in fields(self) if getattr(self, field.name) != getattr(other, field.name)]

    @classmethod
    def of(cls, teacher: LiveTeacher, cache_dtype: CacheDtype) -> CacheKey:
        """The key of what this teacher would say."""
        return cls(
            weights=fingerprint_model(teacher.model),
            tokenizer=fingerprint_tokenizer(teacher.tokenizer),
            texts=fingerprint_texts(teacher.dataset),
            max_length=teacher.max_length,
            layers=teacher.view.layers,
            pooling=teacher.view.pooling,
            compute_dtype=str(teacher.view.dtype).removeprefix("torch."),
            cache_dtype=cache_dtype,
        )

    @classmethod
    def read(cls, folder: Path) -> CacheKey | None:
        """The key that a finished cache was written under; `None` for one that another version wrote."""
        stored = json.loads((folder / "key.json").read_text())
        if set(stored) != {field.name for field in fields(cls)}:
            return None
        return cls(**{**stored, "layers": tuple(stored["layers"])})


class CachedTeacher(Teacher):
    """Reads what a `LiveTeacher` once said.

    Args:
        folder: a finished cache.
        device: where signals are wanted. The features themselves are held there when they take at most `MEMORY_SHARE`
            of its free memory, so that looking up waits neither for the disk nor for the host; otherwise they stay
            memory-mapped.
    """

    def __init__(self, folder: Path, device: torch.device | None = None) -> None:
        self.folder, self.device = folder, device or torch.device("cpu")
        self._logits = _open(folder / "logits.npy")
        self._pooled = _open(folder / "pooled_hidden.npy")
        if self._logits.nbytes + self._pooled.nbytes <= MEMORY_SHARE * free_memory(self.device):
            self._logits = self._logits.to(self.device, copy=True)
            self._pooled = self._pooled.to(self.device, copy=True)

    def __len__(self) -> int:
        return len(self._logits)

    def signal(self, batch: Batch) -> TeacherSignal:
        """Look up the examples of a batch."""
        index = batch.example_index
        return TeacherSignal(self._take(self._logits, index), self._take(self._pooled, index))

    def pooled_hidden(
        self, example_index: Int[Tensor, "groups negatives"]
    ) -> Float[Tensor, "groups negatives layers hidden"]:
        """Look up the pooled layers of any training examples."""
        return self._take(self._pooled, example_index)

    def _take(self, table: Tensor, index: Tensor) -> Tensor:
        rows = table.index_select(0, index.flatten().to(table.device))
        return rows.view(*index.shape, *table.shape[1:]).to(self.device, torch.float32, non_blocking=True)


def open_or_build_cache(
    teacher: LiveTeacher, cache_dir: Path, *, cache_dtype: CacheDtype = "float32", batch_size: int = 64
) -> Path:
    """The folder of this teacher's cache: found, or built by running the teacher once over its rows.

    Args:
        teacher: what to ask when nothing fitting is found.
        cache_dir: holds one folder per cache.
        cache_dtype: of pooled layers; logits are always float32.
        batch_size: rows per batch of the teacher's one pass.

    Raises:
        UserError: the disk has no room for it.
    """
    key = CacheKey.of(teacher, cache_dtype)
    folder = cache_dir / key.name
    if folder.exists():
        logger.info("teacher cache: reusing %s", folder)
        return folder
    cache_dir.mkdir(parents=True, exist_ok=True)
    size = estimate_bytes(teacher, cache_dtype)
    logger.info("teacher cache: building %s, %.0f MB (%s)", folder, size / 1e6, _why(cache_dir, key))
    _check_disk(cache_dir, size)
    staging = Path(tempfile.mkdtemp(prefix=".building-", dir=cache_dir))
    try:
        _write(teacher, staging, key, batch_size)
        _rename_into_place(staging, folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return folder


def estimate_bytes(teacher: LiveTeacher, cache_dtype: CacheDtype) -> int:
    """Bytes of this teacher's cache on disk."""
    config, itemsize = teacher.model.config, np.dtype(cache_dtype).itemsize
    layers, hidden, classes = len(teacher.view.layers), int(config.hidden_size), int(config.num_labels)
    return cache_bytes(len(teacher.dataset), classes=classes, layers=layers, hidden=hidden, itemsize=itemsize)


def _write(teacher: LiveTeacher, folder: Path, key: CacheKey, batch_size: int) -> None:
    tables: dict[str, Any] = {}
    for rows, signal in teacher.iter_signals(batch_size):
        for name, dtype in (("logits", "float32"), ("pooled_hidden", key.cache_dtype)):
            values = _cast(getattr(signal, name).cpu().numpy(), dtype)
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
        do="set `teacher.cache_dtype: float32`, or `--precision fp32`, or mend the teacher",
    )


def _rename_into_place(staging: Path, folder: Path) -> None:
    try:
        os.rename(staging, folder)
    except OSError:
        if not folder.exists():  # otherwise another process finished the same cache first, and it is as good
            raise


def _open(path: Path) -> Tensor:
    return torch.from_numpy(
        np.load(path, mmap_mode="c")
    )  # copy-on-write: torch wants writable memory, the file is safe


def _why(cache_dir: Path, key: CacheKey) -> str:
    """In words, why no cache fits: the fields in which the nearest one differs."""
    found = (CacheKey.read(path.parent) for path in cache_dir.glob("[!.]*/key.json"))
    keys = [other for other in found if other is not None]
    if not keys:
        return "no cache yet"
    differences = min((key.differences(other) for other in keys), key=len)
    return "changed since the nearest cache: " + ", ".join(differences)


def _check_disk(cache_dir: Path, needed: int) -> None:
    free = shutil.disk_usage(cache_dir).free
    if needed > free:
        raise UserError(
            "teacher cache",
            expected=f"{needed / 1e9:.1f} GB of free disk under {cache_dir}",
            got=f"{free / 1e9:.1f} GB",
            do="choose another `--cache-dir`, fewer `teacher_layers`, or run the teacher live with `--no-cache`",
        )
