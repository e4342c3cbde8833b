"""What decides the content of a teacher's cache, and how its folder is recognised. Reads keys; opens no table."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, get_args

from codir.config.words import StoredDtype
from codir.signals import Representation, resolve_layers
from codir.store import Damage, fingerprint_texts, fingerprint_tokenizer, read_json
from codir.teacher.live import LiveTeacher

CACHE_VERSION = 3
"""Raised whenever codir computes features in another way, so that older caches are not used."""
KEY_NAME = "key.json"
TABLE_ENDING = ".npy"
LOGITS = "logits"
OFFSETS = "offsets"
"""The table of where the words of each row begin, in caches of teachers that answer words."""
OWN_DTYPES = {LOGITS: "float32", OFFSETS: "int64"}
"""Of the tables that no representation is in."""
POOLED = re.compile(rf"pooled-[a-z]+(?P<layers>(-[0-9]+)+)(-pca-(?P<principal>[0-9]+))?|{OFFSETS}")
"""Names of the tables of representations: the numbers of the layers, and how many principal components of them; and
of the one of offsets."""
SPACE_ENDING = ".space.safetensors"
"""Of the files of fitted spaces, one beside each table of principal components."""


def table_name(representation: Representation, num_layers: int) -> str:
    """Name of a representation's table: two that pool the same layers in the same way share it.

    Example:
        >>> table_name(Representation("all", "mean"), 3), table_name(Representation((1, 2, 3), "mean"), 3)
        ('pooled-mean-1-2-3', 'pooled-mean-1-2-3')
        >>> table_name(Representation("last", "mean", principal=256), 3)
        'pooled-mean-3-pca-256'
    """
    layers = resolve_layers(representation.layers, num_layers)
    reduced = [] if representation.principal is None else ["pca", str(representation.principal)]
    return "-".join(["pooled", representation.pooling, *map(str, layers), *reduced])


def vectors_of_table(name: str) -> int | None:
    """How many vectors a table has for each row: one per layer, or one of principal components; none for logits.

    Example:
        >>> vectors_of_table("pooled-cls-2-4"), vectors_of_table("pooled-cls-2-4-pca-8"), vectors_of_table("logits")
        (2, 1, None)
    """
    parts = POOLED.fullmatch(name)
    if parts is None:
        return None
    return 1 if parts["principal"] else parts["layers"].count("-")


def table_names(teacher: LiveTeacher) -> dict[Representation, str]:
    """The table of each representation that this teacher is asked for."""
    num_layers = teacher.model.config.num_hidden_layers
    return {representation: table_name(representation, num_layers) for representation in teacher.view.pooled}


@dataclass(frozen=True)
class CacheKey:
    """Everything that decides what a cache holds. Two keys that differ anywhere are two caches.

    Attributes:
        pooled: the tables of representations; and `offsets`, where the teacher answers words: its logits have a row for
            each word then.
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
            weights=teacher.fingerprint,
            tokenizer=fingerprint_tokenizer(teacher.tokenizer),
            texts=fingerprint_texts(teacher.dataset),
            max_length=teacher.max_length,
            pooled=tuple(sorted({*table_names(teacher).values(), *([OFFSETS] if teacher.answers_words else [])})),
            compute_dtype=str(teacher.view.dtype).removeprefix("torch."),
            cache_dtype=cache_dtype,
        )

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables that a cache of this key holds."""
        return (LOGITS, *self.pooled)

    @property
    def spaces(self) -> tuple[str, ...]:
        """Files of the spaces that tables of principal components were reduced by."""
        return tuple(f"{table}{SPACE_ENDING}" for table in self.pooled if "-pca-" in table)

    def dtype_of(self, table: str) -> str:
        """The dtype that a table is kept in."""
        return OWN_DTYPES.get(table, self.cache_dtype)

    @classmethod
    def read(cls, folder: Path) -> CacheKey | Damage:
        """The key that a finished cache was written under, or why its folder is not one; never raises."""
        stored = read_json(folder / KEY_NAME)
        if isinstance(stored, Damage):
            return stored
        if not isinstance(stored, dict) or set(stored) != {field.name for field in fields(cls)}:
            return Damage(KEY_NAME, "is not a key of this version of codir")
        if not _has_right_types(stored):
            return Damage(KEY_NAME, "holds values that no key has")
        key = cls(**{**stored, "pooled": tuple(stored["pooled"])})
        return key if key.name == folder.name else Damage(KEY_NAME, "belongs to a cache of another name")


def _has_right_types(stored: dict[str, Any]) -> bool:
    numbers, pooled = [stored["max_length"], stored["version"]], stored["pooled"]
    words = [stored[name] for name in ("weights", "tokenizer", "texts", "compute_dtype")]
    return (
        all(type(number) is int for number in numbers)
        and all(isinstance(word, str) for word in words)
        and isinstance(pooled, list)
        and all(isinstance(table, str) and POOLED.fullmatch(table) for table in pooled)
        and stored["cache_dtype"] in get_args(StoredDtype)
    )
