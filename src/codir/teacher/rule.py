"""Cache or live: the rule, in one place. Arithmetic on sizes; nothing is run, written or measured here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rich.filesize import decimal

from codir.config.words import CacheWish
from codir.errors.shown import counted

CACHE_DISK_SHARE = 0.5
"""A cache is built unasked while it takes at most this share of the free disk."""


@dataclass(frozen=True)
class CacheChoice:
    """Whether the teacher's features are kept, and in one line why."""

    is_cached: bool
    line: str


def cache_bytes(rows: int, *, classes: int, layers: int, hidden: int, itemsize: int = 4) -> int:
    """Bytes of a cache: rows * (classes * 4 + layers * hidden * itemsize); logits are always float32.

    Layers are counted once for each representation that keeps them.

    Example:
        >>> cache_bytes(67_349, classes=2, layers=12, hidden=768)
        2483292328
    """
    return rows * (classes * 4 + layers * hidden * itemsize)


def count_readings(passes: float, *, negatives: int = 0, batch_size: int = 1) -> float:
    """How often a live teacher would read a row of the training set, on average over the rows.

    Once per pass, and where its views of negatives are wanted, K further rows per batch for each label in it; one label
    is counted, so this is the least that it can be.

    Example:
        >>> count_readings(3.0), count_readings(3.0, negatives=100, batch_size=32)
        (3.0, 12.375)
    """
    return passes * (1 + negatives / batch_size)


def choose_cache(
    wanted: CacheWish,
    *,
    size: int,
    readings: float,
    free_disk: int,
    tokens: bool = False,
    is_there: Callable[[], bool] = lambda: False,
) -> CacheChoice:
    """Choose between a teacher that reads the training set once, into a cache, and one that runs at every step.

    The rule, for `auto`: a cache where it pays and fits. It pays where a live teacher would read more rows than the
    training set has: in more than one epoch, or sooner where its views of negatives are wanted. It fits while it takes
    at most half of the free disk (`CACHE_DISK_SHARE`). A cache that an earlier run has left is used in any case.
    Otherwise the teacher runs live, which gives the same losses.

    Asked for, a cache is a cache, and is refused where the disk has no room for it, when it is built. Only where
    objectives compare tokens is there never one: it would keep every token of every layer.

    Args:
        wanted: `auto`, or what was asked for.
        size: bytes of the cache.
        readings: of a row by a live teacher, from `count_readings`.
        free_disk: bytes free where the cache would be.
        tokens: whether objectives compare tokens.
        is_there: whether an earlier run left it. Asked only where the answer counts: it takes a look at all texts.

    Example:
        >>> choose_cache("auto", size=78_000_000, readings=3.0, free_disk=10**11).line
        'teacher: cached, 78.0 MB (at most 50.0 GB, 50% of the free disk), in place of 3 readings of each row'
        >>> choose_cache("auto", size=78_000_000, readings=1.0, free_disk=10**11).line
        'teacher: live, 1 reading of each row (a cache pays where there are more than 1)'
    """
    needed = decimal(size)
    if tokens:
        asked = ", although a cache was asked for" if wanted is True else ""
        return CacheChoice(False, f"teacher: live{asked} (objectives that compare tokens read no cache)")
    if wanted != "auto":
        return CacheChoice(wanted, f"teacher: {f'cached, {needed}' if wanted else 'live'} (asked for)")
    share = f"{decimal(int(CACHE_DISK_SHARE * free_disk))}, {CACHE_DISK_SHARE:.0%} of the free disk"
    told = counted(float(f"{readings:.3g}"), "reading")
    pays, fits = readings > 1, size <= CACHE_DISK_SHARE * free_disk
    if pays and fits:
        saved = f"in place of {told} of each row"
        return CacheChoice(True, f"teacher: cached, {needed} (at most {share}), {saved}")
    if is_there():
        return CacheChoice(True, f"teacher: cached, {needed}, by an earlier run")
    too_much = f"a cache would take {needed}, more than {share}"
    too_few = f"{told} of each row (a cache pays where there are more than 1)"
    return CacheChoice(False, f"teacher: live, {too_much if pays else too_few}")
