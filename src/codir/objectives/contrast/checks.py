"""Combinations of a contrast's options that do not work, refused before anything begins."""

from __future__ import annotations

import math
from collections.abc import Sequence

from codir.config.words import MOST_STEPS
from codir.errors import UserError, nearest
from codir.signals import NegativeNeeds

IN_QUEUE = ("queue", "momentum")


def check_word(name: str, choices: Sequence[str], given: str) -> None:
    """Refuse a word that is none of the choices."""
    if given not in choices:
        *most, last = [f"`{choice}`" for choice in choices]
        raise UserError(
            name, expected=f"{', '.join(most)} or {last}", got=repr(given), do=nearest(given, list(choices))
        )


def check_steps(name: str, given: object) -> None:
    """Refuse what is no count of steps."""
    if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given <= MOST_STEPS:
        expected = f"a whole number from 0 to {MOST_STEPS:,}"
        raise UserError(name, expected=expected, got=repr(given), do=f"change `{name}`")


def check_teacher_temperature(given: float | None, estimator: str) -> None:
    """Refuse a teacher's tau that is no temperature, or that nothing would be divided by."""
    if given is None:
        return
    if estimator != "soft":
        raise UserError(
            "teacher_temperature",
            expected="`estimator: soft`, which compares the teacher's similarities",
            got=f"estimator `{estimator}`",
            otherwise="it would have had no effect",
            do="leave it out, or set `estimator: soft`",
        )
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given < math.inf:
        raise UserError(
            "teacher_temperature", expected="a number above 0", got=repr(given), do="change `teacher_temperature`"
        )


def check_combination(
    needs: NegativeNeeds, *, sides: Sequence[str], estimator: str, per_layer: bool, teacher_head: str
) -> bool:
    """Refuse what cannot be, and say whether only a bank can be the memory.

    Args:
        needs: of negatives, as the options make them.
        sides: whose anchors there are, `student`, `teacher` or both.
        estimator: by name.
        per_layer: whether each pair of layers has a contrast of its own.
        teacher_head: by name.

    Raises:
        UserError: names the option, and what would have gone wrong.
    """
    is_batch = needs.source == "batch"
    if estimator == "supcon":
        _check_supcon(needs)
    if estimator == "soft":
        _check_soft(needs, sides, is_fixed=teacher_head == "pca")
    if needs.banked:
        _check_banked(needs, sides)
    if needs.teacher_queued and needs.memory == "bank":
        raise UserError(
            "keys",
            expected="`queued` with `memory: queue` or `momentum`",
            got="memory `bank`",
            otherwise="one side's keys would have been of the last steps, the other's of any",
            do="leave `memory` out, or set `keys: fresh`",
        )
    if needs.memory == "momentum" and not needs.from_student:
        raise UserError(
            "memory",
            expected="`momentum` where student vectors are remembered: `anchor: teacher` or `both`, `source: dataset`",
            got=f"anchor {' and '.join(sides)}, source `{needs.source}`",
            otherwise="the slow copy would have been kept for nothing",
            do="set `anchor: teacher`, or leave `memory` out",
        )
    if per_layer and (needs.from_student or needs.teacher_remembered):
        raise UserError(
            "per_layer",
            expected="keys that are not remembered: `anchor: student` with `keys: fresh`, or `source: batch`",
            got="keys from a memory",
            otherwise="a memory would have had to keep a vector for each pair of layers",
            do="set `anchor: student` and `keys: fresh`",
        )
    if per_layer and teacher_head == "pca":
        raise UserError(
            "teacher_head",
            expected="`linear` or `mlp` with `per_layer`",
            got="`pca`, which makes one vector of all layers",
            do="leave one of the two out",
        )
    draws = {
        "estimator": estimator == "nce" and not is_batch,
        "strategy": needs.strategy == "mixed",
        "hard_pool": needs.hard_pool > 1,
    }
    for name, is_asked in draws.items():
        if is_asked:
            _check_drawn(name, needs)
    is_paired = estimator == "soft" and needs.from_teacher  # both sides' keys have to be of the same rows
    return needs.from_student and (needs.banked or is_paired or any(draws.values()))


def _check_supcon(needs: NegativeNeeds) -> None:
    if needs.source != "batch" or needs.strategy not in ("auto", "other_class"):
        raise UserError(
            "estimator",
            expected="`supcon` with `source: batch` and `strategy: auto`: its positives are the batch's own rows of a "
            "class",
            got=f"source `{needs.source}`, strategy `{needs.strategy}`",
            otherwise="an example of the anchor's class would have been a negative, or none a positive",
            do="set `source: batch`, or take the preset `supcon`",
        )


def _check_soft(needs: NegativeNeeds, sides: Sequence[str], *, is_fixed: bool) -> None:
    if "student" not in sides or (needs.from_student and needs.from_teacher and needs.memory in IN_QUEUE):
        raise UserError(
            "estimator",
            expected="`soft` with keys that the teacher has vectors of: `anchor: student`, or `both` with a bank or "
            "`keys: queued`",
            got=f"anchor {' and '.join(sides)}, memory `{needs.memory}`",
            otherwise="there would have been no similarities of the teacher to those keys",
            do="set `anchor: student`, or take the preset `codir-soft`",
        )
    if needs.teacher_remembered and not is_fixed:
        raise UserError(
            "estimator",
            expected="`soft` with `keys: fresh`, or `teacher_head: pca`",
            got="teacher keys from a memory, made by a head that trains",
            otherwise="nothing would have trained that head, since no gradient goes to soft targets or to a memory",
            do="set `teacher_head: pca`, or `keys: fresh`",
        )


def _check_banked(needs: NegativeNeeds, sides: Sequence[str]) -> None:
    if len(sides) < 2 or needs.source == "batch" or needs.memory in IN_QUEUE:
        raise UserError(
            "keys",
            expected="`banked` with `anchor: both`, `source: dataset`, and a bank as the memory",
            got=f"anchor {' and '.join(sides)}, source `{needs.source}`, memory `{needs.memory}`",
            otherwise="the side without anchors would have learned nothing, since a bank's vectors have no gradient, "
            "or positives would have had no slot to be read from",
            do="set `anchor: both`, or `keys: fresh`",
        )


def _check_drawn(name: str, needs: NegativeNeeds) -> None:
    is_queued = needs.teacher_queued or (needs.from_student and needs.memory in IN_QUEUE)
    if needs.source == "batch" or is_queued:
        raise UserError(
            name,
            expected="negatives that are drawn from the data set, by index",
            got=f"source `{needs.source}`, memory `{needs.memory}`",
            otherwise="all of a queue's entries, or of a batch's rows, would have been compared with all the same, and "
            "NCE's noise would not have been uniform",
            do="set `source: dataset`, `memory: bank` and `keys: fresh`",
        )
