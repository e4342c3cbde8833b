"""The teacher's features on disk: one row per training example, computed once, memory-mapped ever after.

A cache is a folder named after the fingerprint of all that decides its content. It is written under another name, gets
a manifest of its files, and is renamed: a folder of that name is complete or not there. Whoever opens it checks the
manifest; what does not fit is named and built anew.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from jaxtyping import Float, Int
from numpy.typing import NDArray
from rich.filesize import decimal
from torch import Tensor

from codir.config.words import STORED_DTYPE, StoredDtype
from codir.errors import UserError
from codir.signals import Batch, Representation, TeacherSignal, resolve_layers
from codir.store import Damage, FolderError, claim_disk, clear_place, sweep, write_manifest, writing_to, written_whole
from codir.system import free_memory
from codir.tasks import NO_LOGIT
from codir.teacher.base import Teacher
from codir.teacher.found import OWN_NAMES, caches_in, caches_serving, find_cache, forget
from codir.teacher.key import KEY_NAME, LOGITS, OFFSETS, SPACE_ENDING, TABLE_ENDING, CacheKey, table_names
from codir.teacher.live import LiveTeacher
from codir.teacher.rule import cache_bytes

logger = logging.getLogger(__name__)

MEMORY_SHARE = 0.25
"""A cache is held whole where it is wanted when it takes no more than this share of the memory that is free there."""
WAY_OUT = "free disk space, choose another `--cache-dir`, or run the teacher live with `--no-cache`"


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
        own = [name for name in (LOGITS, OFFSETS) if (folder / f"{name}{TABLE_ENDING}").is_file()]
        self._tables = {name: _open(folder / f"{name}{TABLE_ENDING}") for name in {*own, *tables.values()}}
        if sum(table.nbytes for table in self._tables.values()) <= MEMORY_SHARE * free_memory(self.device):
            self._tables = {name: table.to(self.device, copy=True) for name, table in self._tables.items()}

    @cached_property
    def fingerprint(self) -> str:
        """Of the teacher that the cache was built with."""
        key = CacheKey.read(self.folder)
        return "" if isinstance(key, Damage) else key.weights

    def __len__(self) -> int:
        return len(self._tables[OFFSETS]) - 1 if OFFSETS in self._tables else len(self._tables[LOGITS])

    def signal(self, batch: Batch) -> TeacherSignal:
        """Look up the examples of a batch."""
        index = batch.example_index
        pooled = {asked: self._take(name, index) for asked, name in self._names.items()}
        logits = self._take_words(index, batch) if OFFSETS in self._tables else self._take(LOGITS, index)
        return TeacherSignal(logits, pooled)

    def pooled(
        self, example_index: Int[Tensor, "groups negatives"], representation: Representation
    ) -> Float[Tensor, "groups negatives layers hidden"]:
        """Look up a representation of any training examples."""
        return self._take(self._names[representation], example_index)

    def answers(self, example_index: Int[Tensor, "groups negatives"]) -> Float[Tensor, "groups negatives classes"]:
        """Look up the answers to any training examples."""
        return self._take(LOGITS, example_index)

    def _take_words(self, index: Tensor, batch: Batch) -> Tensor:
        """The logits of the words of these rows, as many for each as the batch has at most."""
        logits, offsets = self._tables[LOGITS], self._tables[OFFSETS]
        assert batch.word_positions is not None, "the student reads the same words"
        index = index.to(offsets.device)
        places = torch.arange(batch.word_positions.shape[1], device=offsets.device)
        starts, ends = (offsets.index_select(0, row).unsqueeze(1) for row in (index, index + 1))
        is_there = places < ends - starts
        rows = (starts + places).clamp(max=len(logits) - 1)
        found = logits.index_select(0, rows.flatten()).view(*rows.shape, -1)
        return torch.where(is_there.unsqueeze(-1), found, NO_LOGIT).to(self.device, torch.float32, non_blocking=True)

    def _take(self, name: str, index: Tensor) -> Tensor:
        table = self._tables[name]
        rows = table.index_select(0, index.flatten().to(table.device))
        return rows.view(*index.shape, *table.shape[1:]).to(self.device, torch.float32, non_blocking=True)


def open_or_build_cache(
    teacher: LiveTeacher,
    cache_dir: Path,
    *,
    cache_dtype: StoredDtype = STORED_DTYPE,
    batch_size: int = 64,
    is_checked: bool = False,
) -> Path:
    """The folder of this teacher's cache: found undamaged, or built by running the teacher once over its rows.

    Several processes may ask side by side: one builds while the others wait, and find it. A damaged cache is named in
    a warning and built anew; files in its folder that codir did not write are set aside.

    Args:
        teacher: what to ask when nothing fitting is found.
        cache_dir: holds one folder per cache.
        cache_dtype: of pooled layers; logits are always float32.
        batch_size: rows per batch of the teacher's one pass.
        is_checked: another process of this machine has just done this; the cache is neither hashed nor built again.

    Raises:
        FolderError: nothing fitting is found, and the folder cannot be written to or has no room.
        UserError: features that are not finite in `cache_dtype`.
    """
    key = CacheKey.of(teacher, cache_dtype)
    sweep(cache_dir)
    found = find_cache(key, cache_dir, is_checked=is_checked)
    if found is None and is_checked:
        raise _refused(cache_dir, "no cache: the process that was to build it could not")
    if found is None:
        with writing_to(cache_dir, "teacher cache", do=WAY_OUT):
            cache_dir.mkdir(parents=True, exist_ok=True)
            with FileLock(cache_dir / f".{key.of_any_tables.name}.lock"):
                found = find_cache(key, cache_dir)  # whoever comes second waited, and finds it
                if found is None:
                    return _build(teacher, cache_dir / key.name, key, batch_size)
    logger.info("teacher cache: reusing %s", found)
    return found


def estimate_bytes(teacher: LiveTeacher, cache_dtype: StoredDtype) -> int:
    """Bytes of this teacher's cache on disk."""
    config, itemsize = teacher.model.config, np.dtype(cache_dtype).itemsize
    tables = {name: asked for asked, name in table_names(teacher).items()}
    hidden, classes = int(config.hidden_size), int(config.num_labels)
    classes *= getattr(teacher.model, "codir_width", None) or 1  # starts and ends at each token
    numbers = 0
    for asked in tables.values():
        width = hidden * len(resolve_layers(asked.layers, config.num_hidden_layers))
        numbers += width if asked.principal is None else min(asked.principal, width)
    size = cache_bytes(len(teacher.dataset), classes=classes, layers=1, hidden=numbers, itemsize=itemsize)
    if teacher.offsets is None:
        return size
    words = int(teacher.offsets[-1]) - len(teacher.dataset)  # a row of logits each, in place of one for a row
    return size + cache_bytes(words, classes=classes, layers=0, hidden=0) + teacher.offsets.nbytes


def _build(teacher: LiveTeacher, folder: Path, key: CacheKey, batch_size: int) -> Path:
    size = estimate_bytes(teacher, key.cache_dtype)
    logger.info("teacher cache: building %s, %.0f MB (%s)", folder, size / 1e6, _why(folder.parent, key))
    damaged = [other for other, _ in caches_serving(key, folder.parent)]
    for place in dict.fromkeys([*damaged, folder]):  # what serves and was not found is damaged, or has no key
        clear_place(place, own=OWN_NAMES)
        forget(place)
    _check_disk(folder.parent, size)
    with written_whole(folder) as staging:
        _write(teacher, staging, key, batch_size)
        write_manifest(staging)
    return folder


def _write(teacher: LiveTeacher, folder: Path, key: CacheKey, batch_size: int) -> None:
    tables: dict[str, Any] = {}
    names, offsets = table_names(teacher), teacher.offsets
    if offsets is not None:
        tables[OFFSETS] = _new_table(folder / f"{OFFSETS}{TABLE_ENDING}", offsets.dtype, offsets.shape)
        tables[OFFSETS][:] = offsets
    for rows, signal in teacher.iter_signals(batch_size):
        said = {names[asked]: features for asked, features in signal.pooled.items()} | {LOGITS: signal.logits}
        for name, features in said.items():
            values, places, count = features.cpu().numpy(), rows, len(teacher.dataset)
            if name == LOGITS and offsets is not None:
                values, places, count = _words_of(values, rows, offsets), _places_of(rows, offsets), int(offsets[-1])
            values = _cast(values, key.dtype_of(name), may_lack=name == LOGITS and offsets is not None)
            if name not in tables:
                shape = (count, *values.shape[1:])
                tables[name] = _new_table(folder / f"{name}{TABLE_ENDING}", values.dtype, shape)
            tables[name][places] = values
    for asked, space in teacher.spaces.items():
        if asked in names:
            space.save(folder / f"{names[asked]}{SPACE_ENDING}")
    (folder / KEY_NAME).write_text(json.dumps(asdict(key), indent=2))


def _words_of(logits: NDArray[np.float32], rows: NDArray[Any], offsets: NDArray[np.int64]) -> NDArray[np.float32]:
    """The logits `[rows, words, classes]` of a batch without those that pad, one word after the other."""
    is_there = np.arange(logits.shape[1]) < (offsets[rows + 1] - offsets[rows])[:, None]
    return logits[is_there]


def _places_of(rows: NDArray[Any], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where those words stand among all."""
    return np.concatenate([np.arange(offsets[row], offsets[row + 1]) for row in rows])


def _new_table(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Any:
    table = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    claim_disk(path)
    return table


def _cast(values: NDArray[np.float32], dtype: str, *, may_lack: bool = False) -> NDArray[Any]:
    with np.errstate(over="ignore"):
        cast = values.astype(dtype, copy=False)
    is_finite = np.isfinite(cast)
    if is_finite.all() or (may_lack and (is_finite | np.isneginf(values)).all()):  # a word that was not read
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
    keys = [other for _, other in caches_in(cache_dir)]
    if not keys:
        return "no cache yet"
    if any(other.serves(key) for other in keys):
        return "the one that was there is damaged"
    differences = min((key.differences(other) for other in keys), key=len)
    return "changed since the nearest cache: " + ", ".join(differences)


def _refused(cache_dir: Path, why: str) -> FolderError:
    got = f"{cache_dir}, which holds {why}"
    return FolderError("teacher cache", expected="a folder that can be written to", got=got, do=WAY_OUT)


def _check_disk(cache_dir: Path, needed: int) -> None:
    free = shutil.disk_usage(cache_dir).free
    if needed > free:
        raise FolderError(
            "teacher cache",
            expected=f"{decimal(needed)} of free disk under {cache_dir}",
            got=decimal(free),
            do="choose another `--cache-dir`, fewer `teacher_layers`, or run the teacher live with `--no-cache`",
        )
