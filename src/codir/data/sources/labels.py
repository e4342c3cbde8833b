"""What labels mean: classes with names, classes by number, or scores.

Knows the values of a label column. Knows nothing of texts and nothing of files.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from codir.config.words import TASK, TaskChoice
from codir.data.sources.tables import Table, type_cells
from codir.errors import UserError
from codir.tasks import KINDS, Task, kind_named, kind_of, kind_of_outputs

Label = str | int | float
"""A label as it stands in the data; a truth value is the number 0 or 1."""


@dataclass(frozen=True)
class LabelOptions:
    """What is known of the labels before they are seen; the rest is left to the data.

    Attributes:
        task: `"auto"` reads scores where a label has a fraction, and classes otherwise.
        names: the names of the classes, in the order of their indices.
        num_labels: how many classes a given model has; 1 where it gives a score.
        model_names: what a given model calls its classes, if it has names for them.
        may_lack_classes: true where only a part of the data is seen, as in evaluation.
        separator: what stands between several labels that are written as one text.
    """

    task: TaskChoice | str = TASK
    names: tuple[str, ...] | None = None
    num_labels: int | None = None
    model_names: tuple[str, ...] | None = None
    may_lack_classes: bool = False
    separator: str | None = None

    @property
    def are_sets(self) -> bool:
        """Whether a row has several labels."""
        return self.task != TASK and kind_named(self.task).cell == "set"


@dataclass(frozen=True)
class LabelCode:
    """A task, and the class index of each label; no index where the label is a score."""

    task: Task
    class_index: dict[str, int]

    def encode(self, labels: Sequence[Any], where: str) -> list[Any]:
        """Turn labels into class indices or scores; a row that is left out has none.

        Raises:
            UserError: a class that the code does not know, or a score that is not a finite number.
        """
        read = self._index if kind_of(self.task).has_classes else read_score
        return [
            None if label is None else read(label, f"{where}, row {row}") for row, label in enumerate(labels, start=1)
        ]

    def _index(self, label: Label, where: str) -> float:
        if (index := self.class_index.get(key_of(label))) is not None:
            return index
        raise UserError(
            where,
            expected="a label known from training: " + _quoted(self.class_index),
            got=repr(label),
            do="correct the label, or add examples of that class to the training data",
        )


def read_labels(table: Table, column: str, class_names: tuple[str, ...] | None = None) -> list[Label]:
    """Read the labels of a table; class indices become names where the table, or else the caller, knows them.

    Raises:
        UserError: a row has no label, or something that can be none, such as a list.
    """
    names = table.class_names.get(column, class_names or ())
    labels = [_named(value, names) for value in table.values(column)]
    for row, label in enumerate(labels, start=1):
        if label is None or label == "" or label != label:  # only NaN differs from itself
            raise UserError(
                f"{table.name}, column '{column}', row {row}",
                expected="a label in every row",
                got="none",
                do="move rows without a label to a file of their own and give it with `--unlabelled`",
            )
        if not isinstance(label, Label):
            raise _no_label(label, f"{table.name}, column '{column}', row {row}")
    return labels  # type: ignore[return-value]  # the loop above has looked at each


def leave_out(labels: Sequence[Label], placeholders: Collection[str]) -> list[Label | None]:
    """Take the labels away that stand for none, and read the others as numbers where all of them are written so."""
    kept = [None if key_of(label) in placeholders else label for label in labels]
    words = [label for label in kept if isinstance(label, str)]
    numbers = type_cells(words)
    if not words or any(isinstance(number, str) for number in numbers):
        return kept
    as_numbers = iter(numbers)
    return [next(as_numbers) if isinstance(label, str) else label for label in kept]


def require_numbers(labels: Sequence[Label | None], options: LabelOptions, where: str) -> None:
    """Refuse a label that is no finite number where nearly all others are: one `inf` would make classes of scores.

    Args:
        labels: the labels of all rows; `None` for one that is left out.
        options: what is known beforehand; with a task or names given, labels are what those say.
        where: file and column, for messages.

    Raises:
        UserError: most labels are numbers and one is not finite, or scores and one is a word.
    """
    kept = [label for label in labels if label is not None]
    if options.task != "auto" or options.names is not None or all(map(_is_number, kept)):
        return
    numbers = [None if label is None else _as_number(label) for label in labels]
    finite = [number for number in numbers if number is not None and math.isfinite(number)]
    have_fractions = not all(number.is_integer() for number in finite)
    if 2 * len(finite) <= len(kept):
        return
    for row, (label, number) in enumerate(zip(labels, numbers, strict=True), start=1):
        if label is not None and (have_fractions if number is None else not math.isfinite(number)):
            raise _no_score(label, f"{where}, row {row}")


def learn_labels(labels: Sequence[Label], options: LabelOptions, known_names: tuple[str, ...] | None) -> LabelCode:
    """Learn from the labels of the training data what is to be predicted.

    Args:
        labels: the labels, as `read_labels` gives them.
        options: what is known beforehand.
        known_names: names that the source itself keeps, in their order.

    Raises:
        UserError: the names in the data and those given are not the same.

    Example:
        >>> learn_labels(["pos", "neg", "pos"], LabelOptions(), None).task.label_names
        ('neg', 'pos')
        >>> learn_labels([1, 5, 3], LabelOptions(), None).task.label_names
        ('1', '3', '5')
        >>> learn_labels([0, 1, 1], LabelOptions(), None).task.label_names is None
        True
        >>> learn_labels([0.5, 2, 1], LabelOptions(), None).task.kind
        'regression'
    """
    if are_scores(labels, options):
        kind = KINDS["regression"] if options.task == TASK else kind_named(options.task)
        return LabelCode(Task(kind.name, None, kind.outputs or 1, kind.metrics), {})
    found = _in_order(labels)
    names, class_index = name_classes(found, options, known_names)
    num_labels = len(names) if names is not None else len(class_index)
    if not options.may_lack_classes:
        in_data = set(found)
        class_index = {key: index for key, index in class_index.items() if key in in_data}
    kind = KINDS["classification"] if options.task == TASK else kind_named(options.task)
    return LabelCode(Task(kind.name, names, num_labels, kind.metrics), class_index)


def name_classes(
    found: list[str], options: LabelOptions, known_names: tuple[str, ...] | None
) -> tuple[tuple[str, ...] | None, dict[str, int]]:
    """Give each class its index, and its name where it has one."""
    if known_names is not None:
        _require_same(found, known_names, may_lack=True)
    if options.names is not None:
        if (
            known_names is None
            and not set(found) <= set(options.names)
            and _are_numbers_below(len(options.names), found)
        ):
            return options.names, _numbers(len(options.names))
        _require_same(list(known_names or found), options.names, may_lack=options.may_lack_classes)
    names = options.names or known_names
    if names is None and _are_model_names(found, options):
        names = options.model_names
    if names is None:
        num_labels = max(options.num_labels or 0, len(found))
        if _are_numbers_below(num_labels, found):
            return None, _numbers(num_labels)
        names = tuple(found)
    return names, {name: index for index, name in enumerate(names)}


def _are_model_names(found: list[str], options: LabelOptions) -> bool:
    """Whether the labels are to be read by the model's names: where the data may lack some, or they are numbers.

    A model whose classes are called 1, 2, 3 has the label 1 at index 0. Words in training data keep an order of their
    own, so that one that differs from the model's is noticed.
    """
    are_numbers = all(name.lstrip("-").isdigit() for name in found)
    return set(found) <= set(options.model_names or ()) and (options.may_lack_classes or are_numbers)


def _require_same(found: list[str], names: tuple[str, ...], *, may_lack: bool) -> None:
    lacking = set() if may_lack else set(names) - set(found)
    if len(set(names)) == len(names) and not lacking and set(found) <= set(names):
        return
    raise UserError(
        "labels",
        expected=f"the {len(names)} classes {_quoted(names)}",
        got=f"{len(found)} in the data: {_quoted(found)}",
        do="make the names and the data agree, each class once",
        otherwise="a class index would mean one thing in the data and another in the model",
    )


def are_scores(labels: Sequence[Label], options: LabelOptions) -> bool:
    """Whether labels are scores: where that is known beforehand, or else where they are numbers with a fraction."""
    if options.task != TASK:
        return not kind_named(options.task).has_classes
    if options.num_labels is not None and not kind_of_outputs(options.num_labels).has_classes:
        return True
    return options.names is None and all(map(_is_number, labels)) and not all(map(_is_whole, labels))


def _in_order(labels: Sequence[Label]) -> list[str]:
    """Name the distinct labels: numbers in numeric order, words in that of the alphabet."""
    if all(map(_is_number, labels)):
        numbers = sorted(label for label in set(labels) if isinstance(label, int | float))
        return list(dict.fromkeys(map(key_of, numbers)))
    return sorted({key_of(label) for label in labels})


def key_of(label: Label) -> str:
    """Write a label so that 1, 1.0 and True are the same."""
    return str(int(label)) if _is_number(label) and _is_whole(label) else str(label)


def _is_number(label: Label) -> bool:
    return isinstance(label, int | float)


def _is_whole(label: Label) -> bool:
    return isinstance(label, int) or float(label).is_integer()


def _numbers(count: int) -> dict[str, int]:
    return {str(index): index for index in range(count)}


def _are_numbers_below(count: int, found: list[str]) -> bool:
    return set(found) <= _numbers(count).keys()


def _named(value: object, names: Sequence[str]) -> object:
    """Look a class index up; -1, which is none, stays as it is."""
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else value


def _as_number(label: Label) -> float | None:
    """A label as a number, also where it is written as a text; `None` for a word."""
    try:
        return float(label)
    except OverflowError:  # of a whole number with hundreds of digits
        return math.inf
    except ValueError:
        return None


def _no_label(value: object, where: str) -> UserError:
    do = "name the column that holds the label with `--label-column`"
    if isinstance(value, list | tuple | set):
        do = "read several labels in a row with `--task multi_label`, or give each row one label"
        if any(isinstance(part, list | tuple | dict) for part in value):
            do = "for `--task token_classification`, turn spans into lists `tokens` and `tags`, a tag for each word"
    elif isinstance(value, Decimal):
        do = "write that column as whole numbers, or as floating-point numbers for scores"
    return UserError(where, expected="a name or a number", got=f"{value!r} ({type(value).__name__})", do=do)


def read_score(label: Label, where: str) -> float:
    """A finite number.

    Raises:
        UserError: it is none.
    """
    number = None if label is None else _as_number(label)
    if number is None or not math.isfinite(number):
        raise _no_score(label, where)
    return number


def _no_score(label: Label, where: str) -> UserError:
    with_point = str(label).strip().replace(",", ".", 1)
    has_comma = with_point != str(label).strip() and _as_number(with_point) is not None
    correct = f"write scores with a decimal point, here {with_point}, in every row" if has_comma else "correct the row"
    return UserError(
        where,
        expected="a finite number as the score",
        got=repr(label),
        do=f"{correct}, or train on classes with `--task classification`",
    )


def _quoted(names: Sequence[str] | dict[str, int]) -> str:
    shown = [f"'{name}'" for name in list(names)[:20]]
    return ", ".join(shown) + (", ..." if len(names) > 20 else "")
