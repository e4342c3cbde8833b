"""Which rows belong together: the candidates of a query, by a column that says so or by the query's text.

Knows tables and columns. Knows nothing of labels, or of how rows are divided.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from codir.data.sources.columns import Columns, plain_id
from codir.data.sources.tables import Table
from codir.errors import UserError
from codir.errors.shown import counted


@dataclass
class GroupNumbers:
    """Numbers the groups of all tables alike, in the order in which they come.

    Example:
        >>> numbers = GroupNumbers()
        >>> numbers.of(["a", "b", "a"]), numbers.of(["c", "b"])
        ([0, 1, 0], [2, 1])
    """

    _known: dict[Hashable, int] = field(default_factory=dict)

    def of(self, keys: Sequence[Hashable]) -> list[int]:
        """The number of each row's group."""
        return [self._known.setdefault(key, len(self._known)) for key in keys]


def read_groups(table: Table, columns: Columns, texts: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """What names the group of each row: the cell of its column and the group's first text, or else its own text alone.

    The text stands beside the cell because files may number their queries from 1 on, each for itself.

    Args:
        table: with these columns selected.
        columns: which column is what.
        texts: of the same rows.

    Raises:
        UserError: a row names no group; the message says which.
    """
    if columns.group is None:
        return [("", text) for text in texts["text"]]
    names = table.texts(columns.group)
    for row, name in enumerate(names, start=1):
        if name is None or name == "" or name != name or isinstance(name, list | dict):
            raise UserError(
                f"{table.name}, column '{columns.group}', row {row}",
                expected="the name or number of a query",
                got="none" if name is None or name == "" else repr(name),
                do="correct the row, or leave `--group-column` out: rows with the same text are then a group",
            )
    plain, first = [plain_id(name) for name in names], dict[str, str]()
    for name, text in zip(plain, texts["text"], strict=True):
        first.setdefault(name, text)
    return [(name, first[name]) for name in plain]


def check_relevances(name: str, numbers: Sequence[int], relevances: Sequence[float]) -> None:
    """Refuse candidates that are judged by a relevance below 0, of which nDCG knows nothing.

    Args:
        name: what messages call the rows.
        numbers: where they stand, from 1 on.
        relevances: of each; none where rows belong to no group.

    Raises:
        UserError: there is one.
    """
    for number, label in zip(numbers, relevances, strict=False):
        if label < 0:
            raise UserError(
                f"{name}, row {number}",
                expected="a relevance of 0 or more in evaluation rows",
                got=f"{label:g}",
                otherwise="nDCG would have meant nothing",
                do="give evaluation rows with relevances, such as 0 and 1, with `--dev`",
            )


def describe_groups(name: str, groups: Sequence[int], texts: Mapping[str, Sequence[str]]) -> list[str]:
    """Say how many queries rows belong to, and what is odd about them."""
    sizes = Counter(groups).values()
    average = f"{len(groups) / len(sizes):.1f} candidates each on average"
    notes = [f"{name}: {counted(len(sizes), 'query', 'queries')} with {average}"]
    if single := sum(size == 1 for size in sizes):
        have = counted(single, "query has", "queries have")
        notes.append(f"{name}: {have} a single candidate, of which nothing is learnt about order")
    queries = defaultdict(set)
    for group, text in zip(groups, texts["text"], strict=True):
        queries[group].add(text)
    if mixed := sum(len(found) > 1 for found in queries.values()):
        have = counted(mixed, "query has", "queries have")
        notes.append(f"{name}: {have} several texts: is the column of the group the right one?")
    return notes
