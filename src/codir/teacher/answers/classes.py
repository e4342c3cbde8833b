"""The classes of a file beside those of the data: by their names, by their numbers, or by place.

Knows names; knows no numbers that stand under them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from codir.errors import UserError
from codir.tasks import Task, kind_of

NUMBERED = re.compile(r"(?:LABEL_)?([0-9]+)")
"""Names that are only the numbers of classes."""


def are_numbers(names: Sequence[str]) -> bool:
    """Whether names only number their classes, from 0 on, in any order.

    Example:
        >>> are_numbers(["LABEL_1", "LABEL_0"]), are_numbers(["1", "2"]), are_numbers(["up", "down"])
        (True, False, False)
    """
    return sorted(_numbers(names) or [-1]) == list(range(len(names)))


def order_classes(names: Sequence[str], task: Task, file: str) -> tuple[list[int], list[str]]:
    """The place in the file of each class of the data, and notes.

    Names that are the same, capitals aside, are matched by name, whatever their order; numbers by number. Where all
    names differ, classes are matched by place, as those of a model are, and a note says so.

    Args:
        names: of the file's classes, in the order of its columns.
        task: of the data.
        file: what messages call the file.

    Raises:
        UserError: another number of classes, or some names that are the data's and some that are not.

    Example:
        >>> order_classes(["up", "down"], Task("classification", ("down", "up"), 2, ("accuracy",)), "answers.csv")
        ([1, 0], [])
    """
    wanted = list(task.label_names or ())
    plain, of_data = ([name.strip().casefold() for name in some] for some in (names, wanted))
    if len(names) != task.num_labels or len(set(plain)) != len(plain):
        raise _other_classes(names, task, file)
    if sorted(plain) == sorted(of_data):
        return [plain.index(name) for name in of_data], []
    if are_numbers(names):
        numbers = _numbers(names)
        assert numbers is not None
        return [numbers.index(number) for number in range(task.num_labels)], []
    if set(plain) & set(of_data):
        raise _other_classes(names, task, file)
    said = ", ".join(wanted) if wanted else ", ".join(map(str, range(task.num_labels)))
    return list(range(len(names))), [f"{file} calls its classes {', '.join(names)}, the data {said}; matched by place."]


def _numbers(names: Sequence[str]) -> list[int] | None:
    found = [NUMBERED.fullmatch(name.strip()) for name in names]
    return [int(one[1]) for one in found if one] if all(found) else None


def _other_classes(names: Sequence[str], task: Task, file: str) -> UserError:
    in_data = ", ".join(task.label_names) if task.label_names else kind_of(task).outputs_in_words(task.num_labels)
    return UserError(
        f"labels, {file}",
        expected=f"the classes of the data: {in_data}",
        got=", ".join(names),
        otherwise="an answer would have been taken for another class, or for none",
        do="rename the columns to the data's classes, or say what these are with `--labels`",
    )
