"""Set rows aside at random: in proportion to the classes, and the same rows for the same seed.

Knows row numbers and groups. Knows nothing of texts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def hold_out_rows(groups: Sequence[float], count: int, *, seed: int) -> tuple[list[int], list[int]]:
    """Set about `count` rows aside, from each group in proportion to its size, but never the last row of a group.

    Args:
        groups: the group of each row: its class, or the same number everywhere where there are no classes.
        count: how many rows to set aside; fewer come where groups have a single row.
        seed: the same seed gives the same rows.

    Returns:
        The rows that stay and the rows held out, both in ascending order.

    Example:
        >>> stay, held_out = hold_out_rows([0, 0, 0, 0, 1, 1, 1, 1, 2], 2, seed=0)
        >>> len(stay), sorted([0, 0, 0, 0, 1, 1, 1, 1, 2][row] for row in held_out)
        (7, [0, 1])
    """
    _, group_of_row, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    quota = sizes * (count / len(groups))
    shares = np.floor(quota).astype(int)
    largest_remainders = np.argsort(shares - quota, kind="stable")[: count - shares.sum()]
    shares[largest_remainders] += 1
    shares = np.minimum(shares, sizes - 1)

    generator = np.random.default_rng(seed)
    is_held_out = np.zeros(len(groups), dtype=bool)
    rows_of_groups = np.split(np.argsort(group_of_row, kind="stable"), np.cumsum(sizes)[:-1])
    for rows, share in zip(rows_of_groups, shares, strict=True):
        is_held_out[generator.permutation(rows)[:share]] = True
    return np.flatnonzero(~is_held_out).tolist(), np.flatnonzero(is_held_out).tolist()


def hold_out_groups(groups: Sequence[int], count: int, *, seed: int) -> tuple[list[int], list[int]]:
    """Set whole groups aside, drawn at random until they have about `count` rows; at least one, and never all of them.

    Args:
        groups: the group of each row.
        count: how many rows to set aside.
        seed: the same seed gives the same groups.

    Returns:
        The rows that stay and the rows held out, both in ascending order. None are held out of a single group.

    Example:
        >>> stay, held_out = hold_out_groups([0, 0, 1, 1, 2, 2], 2, seed=0)
        >>> len(stay), len(held_out), held_out[1] - held_out[0]
        (4, 2, 1)
    """
    names, group_of_row, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    rows = np.cumsum(sizes[order])
    wanted = int(np.argmin(np.abs(rows - count))) + 1  # as many groups as come nearest
    is_held_out = np.isin(group_of_row, order[: min(wanted, len(names) - 1)])
    return np.flatnonzero(~is_held_out).tolist(), np.flatnonzero(is_held_out).tolist()


def draw_rows(available: int, count: int, *, seed: int) -> list[int]:
    """Draw `count` of the rows `0 .. available - 1`, in ascending order; the same seed draws the same rows.

    Example:
        >>> len(draw_rows(10, 4, seed=0)), draw_rows(3, 3, seed=0)
        (4, [0, 1, 2])
    """
    drawn = np.random.default_rng(seed).permutation(available)[:count]
    return sorted(int(row) for row in drawn)
