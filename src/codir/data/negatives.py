"""Which examples may be negatives of which.

Only indices are chosen here; vectors are looked up and scored elsewhere. A set of negatives is shared by all examples
of a batch that have the same label, so that scoring is a matrix product, and it is a pure function of the seed and the
batch: a resumed run and any number of loader workers draw the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from codir.config.words import CONTRAST, NegativeStrategy
from codir.errors import UserError
from codir.tasks import KINDS, Kind, kind_of_labels

MOST_SETS = 1024
"""How many label sets are compared with all others at a time."""
MIXED_FAR_SHARE = 0.5
"""Of the negatives of strategy `mixed`, those that are not of the anchor's kind."""


@dataclass(frozen=True)
class NegativeIndices:
    """Rows of the training set, one set per group of the batch: `index [groups, K]`, `group [batch]`."""

    index: NDArray[np.int64]
    group: NDArray[np.int64]


class NegativeSampler:
    """Draws K rows per label, without replacement, that are not of the anchors' kind.

    A label's negatives are the rows whose label differs from it by more than `radius`: with 0 that is every other
    class, with a distance it is every score that is far. In sorted order those rows are all but one segment, so a draw
    costs O(K) whatever N is, and nothing is rejected. An anchor without a label (NaN) takes any row outside its batch;
    rows without a label are never negatives of an anchor that has one, since they may be of its class.

    Args:
        labels: one per training row, NaN where a row has none, shape `[examples]`. Kept, with a number of 4 bytes for
            each row that has one (8 above 2 billion rows).
        count: K, negatives per anchor; 0 where none are to be drawn, and rows are only judged.
        radius: labels no farther apart than this are of one kind.
        far_share: of the negatives of an anchor with a label, those that are not of its kind; the rest are any rows
            outside its batch.
        hard_pool: how many times more rows `count` is than negatives are kept of it; for messages only.
        batch_size: the largest batch that will ask.
        seed: of the draws.
        term: the objective that asks, for messages.

    Raises:
        UserError: one class only, or K larger than the pool of some label.

    Example:
        >>> sampler = NegativeSampler(np.array([0.0, 0.0, 1.0, 1.0]), count=2, batch_size=2)
        >>> drawn = sampler.sample(np.array([0, 3]))
        >>> sorted(drawn.index[drawn.group[0]].tolist()), sorted(drawn.index[drawn.group[1]].tolist())
        ([2, 3], [0, 1])
    """

    NEEDS: ClassVar = "at least one example of another class (or with a score far enough away) for every label"
    """What is asked of the data, in words."""

    def __init__(
        self,
        labels: NDArray[np.float64],
        *,
        count: int,
        batch_size: int,
        radius: float = 0.0,
        far_share: float = 1.0,
        hard_pool: int = CONTRAST.hard_pool,
        seed: int = 0,
        term: str = "contrastive",
    ) -> None:
        self.labels, self.count, self.radius, self.far_share, self.seed = labels, count, radius, far_share, seed
        self._order, sorted_labels = _sort_known(labels)
        self._kinds, begins = np.unique(sorted_labels, return_index=True)
        self._bounds = np.append(begins, len(self._order))  # where in `_order` the rows of each kind begin, and its end
        self._check_pools(batch_size, hard_pool, term)

    def sample(self, example_index: NDArray[np.int64]) -> NegativeIndices:
        """Draw negatives for the examples of one batch, `[batch]`."""
        generator = np.random.default_rng([self.seed, *example_index])
        kinds, group = np.unique(self.labels[example_index], return_inverse=True)
        return NegativeIndices(np.stack([self._draw(kind, example_index, generator) for kind in kinds]), group)

    def allows(self, example_index: NDArray[np.int64], candidates: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of any rows may be negatives of which group of a batch, `[groups, candidates]`: the rule of `sample`.

        For memories that hold rows of their own choosing. The groups are those that `sample` makes of the batch.

        Example:
            >>> sampler = NegativeSampler(np.array([0.0, 0.0, 1.0, np.nan]), count=1, batch_size=2)
            >>> sampler.allows(np.array([0, 3]), np.array([0, 1, 2, 3]))  # row 0 has a class, row 3 has none
            array([[False, False,  True, False],
                   [False,  True,  True, False]])
        """
        kinds = np.unique(self.labels[example_index])
        allowed = self._are_far(kinds[:, None], self.labels[candidates][None])
        if np.isnan(kinds[-1]):
            allowed[-1] = ~np.isin(candidates, example_index)
        return allowed

    def relate(
        self, example_index: NDArray[np.int64], candidates: NDArray[np.int64]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which rows of a step are negatives of each of its examples, and which are of its kind, `[batch, candidates]`.

        The rule of `sample`, but that rows of the batch itself serve as negatives. An example is of its own kind; one
        without a label is alone in that.

        Example:
            >>> sampler = NegativeSampler(np.array([0.0, 0.0, 1.0, np.nan]), count=0, batch_size=2)
            >>> is_negative, is_kin = sampler.relate(np.array([0, 3]), np.array([0, 1, 2, 3]))
            >>> is_negative
            array([[False, False,  True, False],
                   [ True,  True,  True, False]])
            >>> is_kin
            array([[ True,  True, False, False],
                   [False, False, False,  True]])
        """
        own = example_index[:, None] == candidates
        kind, labels = self.labels[example_index][:, None], self.labels[candidates]
        return np.where(np.isnan(kind), ~own, self._are_far(kind, labels)), own | self._are_near(kind, labels)

    def _are_far(self, kinds: NDArray[np.float64], labels: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which labels are not of these kinds, with the shapes broadcast; none where either is NaN."""
        return (labels < kinds - self.radius) | (labels > kinds + self.radius)

    def _are_near(self, kinds: NDArray[np.float64], labels: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which labels are of these kinds; none where either is NaN."""
        return (labels >= kinds - self.radius) & (labels <= kinds + self.radius)

    def _draw(self, kind: float, example_index: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int64]:
        """The negatives of one group: rows of another kind, any rows, or some of both and none twice."""
        if np.isnan(kind):
            return self._draw_any(example_index, generator, self.count)
        num_far = math.ceil(self.count * self.far_share)
        far = self._draw_far(kind, generator, num_far)
        if num_far == self.count:
            return far
        others = self._draw_any(np.concatenate([example_index, far]), generator, self.count - num_far)
        return np.concatenate([far, others])

    def _draw_far(self, label: float, generator: np.random.Generator, count: int) -> NDArray[np.int64]:
        start, stop = self._segment_of(np.array(label))
        drawn = generator.choice(len(self._order) - int(stop - start), count, replace=False, shuffle=False)
        drawn[drawn >= start] += stop - start
        return self._order[drawn].astype(np.int64)

    def _draw_any(self, excluded: NDArray[np.int64], generator: np.random.Generator, count: int) -> NDArray[np.int64]:
        wanted = min(len(self.labels), count + len(excluded))
        candidates = generator.choice(len(self.labels), wanted, replace=False)
        return candidates[~np.isin(candidates, excluded)][:count]

    def _segment_of(self, labels: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where, in sorted order, the labels of the same kind begin and end."""
        start = np.searchsorted(self._kinds, labels - self.radius, side="left")
        stop = np.searchsorted(self._kinds, labels + self.radius, side="right")
        return self._bounds[start], self._bounds[stop]

    def _pools(self) -> NDArray[np.int64]:
        """How many rows there are that are not of each kind."""
        start, stop = self._segment_of(self._kinds)
        return len(self._order) - (stop - start)

    def _shown(self, kind: int) -> str:
        """A kind in words, by its place in sorted order."""
        return f"{self._kinds[kind]:g}"

    def _check_pools(self, batch_size: int, hard_pool: int, term: str) -> None:
        kinds, pools = self._kinds, self._pools()
        if len(kinds) and pools.min() == 0:
            raise UserError(
                "negatives",
                expected=self.NEEDS,
                got=f"none for label {self._shown(int(pools.argmin()))}",
                do="check the label column, lower `score_distance`, or set `strategy: any`",
            )
        num_any = len(self.labels) - min(batch_size, len(self.labels))
        smallest = int(pools.min() / self.far_share) if len(kinds) else num_any
        if len(self._order) < len(self.labels) or self.far_share < 1.0:
            smallest = min(smallest, num_any)
        if self.count > smallest:
            most = smallest // hard_pool
            raise UserError(
                "num_negatives",
                expected=f"at most {smallest}, the smallest pool of negatives in this data",
                got=f"{self.count}" if hard_pool == 1 else f"{self.count}, `hard_pool` included",
                do=f"set `--set objectives.{term}.num_negatives={most}` or lower"
                if most > 0
                else "train on more rows, or in smaller batches",
            )


def _sort_known(labels: NDArray[np.float64]) -> tuple[NDArray[np.integer], NDArray[np.float64]]:
    """Rows that have a label in the order of their labels, and these labels."""
    known = np.flatnonzero(~np.isnan(labels))
    values = labels[known]
    order = np.argsort(values, kind="stable")
    smallest = np.int32 if len(labels) <= np.iinfo(np.int32).max else np.int64
    return known[order].astype(smallest), values[order]


class SetNegativeSampler(NegativeSampler):
    """The same for rows that have several labels each: negatives are rows that share none with the anchor.

    Rows with the same labels are one group. A draw looks at every group once, and at no row that it does not take.

    Args:
        labels: what each row has, 0 or 1, `[examples, labels]`; NaN where nothing is known of a row.
        radius: not used.
        **settings: as of `NegativeSampler`.

    Example:
        >>> has = np.array([[1.0, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1]])
        >>> sampler = SetNegativeSampler(has, count=1, batch_size=1)
        >>> is_negative, is_kin = sampler.relate(np.array([1]), np.array([0, 1, 2, 3]))
        >>> is_negative.tolist(), sampler.sample(np.array([1])).index.tolist()
        ([[False, False, False, True]], [[3]])
    """

    NEEDS = "at least one example without any of its labels for every example"

    def __init__(self, labels: NDArray[np.float64], *, radius: float = 0.0, **settings: Any) -> None:
        is_known = ~np.isnan(labels).any(axis=1)
        sets, group = np.unique(labels[is_known], axis=0, return_inverse=True)
        self._sets = sets.astype(np.float32)
        self._sizes = np.bincount(group.reshape(-1), minlength=len(sets))
        groups = np.full(len(labels), np.nan)
        groups[is_known] = group.reshape(-1)
        super().__init__(groups, **settings)

    def _are_far(self, kinds: NDArray[np.float64], labels: NDArray[np.float64]) -> NDArray[np.bool_]:
        return ~(self._share(kinds, labels) | np.isnan(kinds) | np.isnan(labels))

    def _are_near(self, kinds: NDArray[np.float64], labels: NDArray[np.float64]) -> NDArray[np.bool_]:
        return self._share(kinds, labels) & ~(np.isnan(kinds) | np.isnan(labels))

    def _share(self, kinds: NDArray[np.float64], labels: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether groups down `[batch, 1]` and across `[1, candidates]` have a label in common."""
        if not len(self._sets):
            return np.zeros(np.broadcast_shapes(kinds.shape, labels.shape), dtype=bool)
        down, across = (np.nan_to_num(found).astype(np.int64).reshape(-1) for found in (kinds, labels))
        shared: NDArray[np.bool_] = self._sets[down] @ self._sets[across].T > 0
        return shared

    def _draw_far(self, label: float, generator: np.random.Generator, count: int) -> NDArray[np.int64]:
        far = np.flatnonzero(self._sets @ self._sets[int(label)] == 0)
        ends = np.cumsum(self._sizes[far])
        drawn = generator.choice(int(ends[-1]), count, replace=False, shuffle=False)
        place = np.searchsorted(ends, drawn, side="right")
        begins = self._bounds[far] - (ends - self._sizes[far])
        return self._order[begins[place] + drawn].astype(np.int64)

    def _pools(self) -> NDArray[np.int64]:
        pools = [
            (self._sets[start : start + MOST_SETS] @ self._sets.T == 0) @ self._sizes
            for start in range(0, len(self._sets), MOST_SETS)
        ]
        return np.concatenate([np.zeros(0, dtype=np.int64), *pools])

    def _shown(self, kind: int) -> str:
        return f"set {np.flatnonzero(self._sets[kind]).tolist()}"


def build_negative_sampler(
    labels: NDArray[np.float64] | NDArray[np.int64] | None,
    *,
    num_examples: int,
    count: int,
    batch_size: int,
    strategy: NegativeStrategy = "auto",
    score_distance: float | None = None,
    needs_classes: bool = False,
    hard_pool: int = CONTRAST.hard_pool,
    seed: int = 0,
    kind: Kind | None = None,
    term: str = "contrastive",
) -> NegativeSampler:
    """Choose the sampler that fits the labels.

    Args:
        labels: class indices (`IGNORED_CLASS` for none), scores (NaN for none), lists of 0 and 1, or `None` without
            labels.
        num_examples: N, rows of the training set.
        count: K, negatives per anchor.
        batch_size: the largest batch that will ask.
        strategy: `auto` takes `other_class` for classes, `distant` for scores, `disjoint` for several labels at once,
            `any` without labels; `mixed` draws half of them as `auto` would, and half from all rows. `neighbours`
            judges as `any` does: that rows of one document are near is up to the order in which they are read
            (`NeighbourSampler`).
        score_distance: scores no farther apart than this are alike; one standard deviation of the scores by default.
        needs_classes: refuse anything else, since examples of one class are to be each other's positives.
        hard_pool: how many times more rows `count` is than negatives are kept of it.
        seed: of the draws.
        kind: of the task, which says which rows are alike; what the dtype of the labels says by default.
        term: the objective that asks, for messages.

    Raises:
        UserError: no classes where they are needed, a strategy of another kind of task, or too few rows.
    """
    if labels is not None:
        kind = kind or kind_of_labels(labels)
    if needs_classes:
        _check_classes(labels, kind)
    nothing_known = np.broadcast_to(np.nan, num_examples)  # takes no room, whatever N is
    if labels is None or kind is None or strategy in ("any", "neighbours"):
        return NegativeSampler(
            nothing_known, count=count, batch_size=batch_size, hard_pool=hard_pool, seed=seed, term=term
        )
    _check_strategy(strategy, kind)
    places = kind.places(labels)
    sampler = SetNegativeSampler if places.ndim == 2 else NegativeSampler
    return sampler(
        places,
        count=count,
        batch_size=batch_size,
        radius=kind.radius(places, score_distance),
        far_share=MIXED_FAR_SHARE if strategy == "mixed" else 1.0,
        hard_pool=hard_pool,
        seed=seed,
        term=term,
    )


def _check_strategy(strategy: NegativeStrategy, kind: Kind) -> None:
    if strategy in {one.strategy for one in KINDS.values()} and strategy != kind.strategy:
        raise UserError(
            "negative strategy",
            expected=f"one that fits the labels of task `{kind.name}`",
            got=f"{strategy!r}",
            do="use `auto`, which takes " + " and ".join(f"`{one.strategy}` for {one.name}" for one in KINDS.values()),
        )


def _check_classes(labels: NDArray[np.float64] | NDArray[np.int64] | None, kind: Kind | None) -> None:
    found = "no labels"
    if labels is not None and kind is not None and not kind.one_class:
        found = kind.labels_in_words(labels.shape[-1])
    if labels is None or kind is None or not kind.one_class or np.isnan(kind.places(labels)).all():
        raise UserError(
            "estimator",
            expected="class labels for `supcon`, whose positives are examples of one class",
            got=found,
            do="take `estimator: info_nce`, which the preset `in-batch` does",
        )
