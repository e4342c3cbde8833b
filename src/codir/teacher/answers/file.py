"""A teacher that is a file: rows and what somebody answered to them. A cache that someone else built.

Knows files and arrays; knows no model, no tokenizer, and nothing of how the answers were made.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import datasets
import numpy as np
from numpy.typing import NDArray

from codir.data import Table, is_table, not_a_text, plain_id, read_table
from codir.errors import UserError
from codir.store import fingerprint_files
from codir.tasks import KINDS, Kind, Task, kind_of
from codir.teacher.answers.classes import are_numbers, order_classes
from codir.teacher.answers.columns import choose_answer_columns
from codir.teacher.answers.forms import in_order, logits_of_probabilities, logits_of_top_k, numbers
from codir.teacher.answers.rows import Key, find_rows, index_rows, keys_of
from codir.teacher.answers.vectors import cells_of, normalise, read_vectors

Held = Literal["answers", "vectors"]
"""What a file holds of its rows."""
LISTED = ("logits", "probabilities")
"""Forms with a number for each class, in columns of their own or in one."""


class AnswersFile:
    """A teacher that is only a file of answers, in place of a model.

    The rows are found by their text (and second text), or by an id. Their answers are, by the names of the columns:

    - `p_<label>`: a probability for each class; or `probabilities`: a list in the order of the classes, or an object,
      `{"up": 0.9, "down": 0.1}`;
    - `logit_<label>`: a logit for each class; or `logits`: a list or an object;
    - `logprobs`: log-probabilities of the likeliest tokens or labels, as `{"up": -0.1, ...}` or as a list of
      `{"token": "up", "logprob": -0.1}`; see `codir.teacher.answers.forms.logits_of_top_k`;
    - `score`: a score, for regression;
    - `vector` or `embedding`: a vector for each row, which a contrast takes for the teacher's only layer; in task
      `embedding` it is the answer.

    In CSV, a list or an object stands in its cell as JSON. What `codir evaluate --predictions` writes is such a file.

    Args:
        path: a CSV, TSV, JSON or Parquet file.
        id_column: find rows by this column, which the data has too, instead of by their text.
        text_column: where the text stands, if not under a usual name.
        text_pair_column: where the second text stands, if not under a usual name.

    Raises:
        UserError: no such file, no answers in it, or nothing to find rows by. When its answers are read: numbers that
            are none, probabilities that do not add up to 1, a row that is answered twice and not alike.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "answers.csv"
        >>> written = path.write_text("text,p_down,p_up\\nso good,0.1,0.9\\nso bad,0.8,0.2\\n")
        >>> answers = AnswersFile(path)
        >>> answers.label_names, len(answers)
        (('down', 'up'), 2)
        >>> rows = datasets.Dataset.from_dict({"text": ["so bad"]})
        >>> np.exp(answers.answer(rows, Task("classification", ("up", "down"), 2, ("accuracy",)))).round(2)
        array([[0.2, 0.8]], dtype=float32)
    """

    def __init__(
        self,
        path: str | Path,
        *,
        id_column: str | None = None,
        text_column: str | None = None,
        text_pair_column: str | None = None,
    ) -> None:
        self.path, self.id_column = Path(path).expanduser(), id_column
        self._table = read_table(self.path)
        self.columns = choose_answer_columns(
            self._table, id_column=id_column, text_column=text_column, text_pair_column=text_pair_column
        )
        self._logits: dict[Task, tuple[NDArray[np.float32], tuple[str, ...]]] = {}
        self._known: dict[tuple[Task, bool], dict[Key, int]] = {}

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.path.name

    def __len__(self) -> int:
        return len(self._read)

    @cached_property
    def fingerprint(self) -> str:
        """Of all that stands in the file."""
        return fingerprint_files([self.path])

    @property
    def has_vectors(self) -> bool:
        """Whether there are vectors."""
        return self.columns.vector is not None

    def holds(self, kind: Kind) -> list[Held]:
        """What there is for a kind of task: logits or what makes them, and vectors, which may be the answers.

        Raises:
            UserError: words or windows are answered, not rows.
        """
        if not kind.answers_rows:
            raise UserError(
                f"teacher, {self.name}",
                expected="for a file of answers, a task with one answer for each row: "
                + ", ".join(name for name, one in KINDS.items() if one.answers_rows),
                got=f"`{kind.name}`",
                do="name a model as the teacher",
            )
        if kind.reads_apart:
            return ["answers"] if self.has_vectors else []
        held: dict[Held, bool] = {"answers": self.columns.form is not None, "vectors": self.has_vectors}
        return [what for what, is_there in held.items() if is_there]

    @property
    def label_names(self) -> tuple[str, ...] | None:
        """Names of the classes, in the order of the columns; `None` where the file only numbers them, or has none."""
        names = self._names
        return None if names is None or are_numbers(names) else names

    @property
    def num_labels(self) -> int | None:
        """How many classes the columns say that there are, 1 for a score; `None` where the data says it."""
        if self.columns.form == "scores":
            return 1
        if self.columns.form in LISTED and self._names is None:
            return int(self._numbers().shape[1])
        return None if self._names is None else len(self._names)

    @cached_property
    def vectors(self) -> NDArray[np.float32]:
        """The vector of each row of the file, `[rows, dim]`."""
        assert self.columns.vector is not None, "`has_vectors` says whether there are any"
        return read_vectors(self.path, self._table, self.columns.vector)

    def logits(self, task: Task) -> NDArray[np.float32]:
        """The logits of each row of the file, in the order of the task's classes; no columns without answers.

        In task `embedding` they are its vectors, of length 1.

        Raises:
            UserError: answers to another task, or numbers that are none.
        """
        if task not in self._logits:
            found, notes = self._make_logits(task)
            self._logits[task] = found.astype(np.float32, copy=False), tuple(notes)
        return self._logits[task][0]

    def notes(self, task: Task) -> tuple[str, ...]:
        """What to hear about the reading."""
        self.logits(task)
        columns, pair = self.columns, self.columns.text_pair
        left_out = {f"there are {columns.form}": columns.ignored}
        if kind_of(task).reads_apart:
            left_out = {
                "there are vectors": columns.answers + columns.ignored,
                "texts have their vectors one by one": (pair,) if pair is not None else (),
            }
        left_out[f"the vectors are those of `{columns.vector}`"] = columns.other_vectors
        said = (f"{self.name}: not read, since {why}: {', '.join(names)}." for why, names in left_out.items() if names)
        return (*self._read.notes, *self._logits[task][1], *said)

    def places(self, rows: datasets.Dataset, task: Task) -> tuple[NDArray[np.int64], list[Key]]:
        """Where rows of a data set stand in the file, -1 where they do not, and what they were looked for by."""
        if self.id_column is not None and kind_of(task).reads_apart:
            raise UserError(
                "teacher.id_column",
                expected=f"rows that are found by their text, in task `{task.kind}`, whose texts are read one by one",
                got=f"`{self.id_column}`",
                do="leave `--id-column` out",
            )
        wanted = keys_of(rows, id_column=self.id_column, pairs=self.columns.text_pair is not None, file=self.name)
        return find_rows(wanted, self.known(task, pairs=bool(wanted) and len(wanted[0]) == 2)), wanted

    def answer(self, rows: datasets.Dataset, task: Task) -> NDArray[np.float32] | None:
        """Logits `[rows, classes]` of rows of a data set; `None` where not all of them are in the file."""
        place, _ = self.places(rows, task)
        has_all = "answers" in self.holds(kind_of(task)) and (place >= 0).all()
        return self.logits(task)[place] if has_all else None

    def known(self, task: Task, *, pairs: bool = False) -> dict[Key, int]:
        """The place of each row by its key; a row that stands there twice must be answered alike.

        Args:
            task: whose answers are compared.
            pairs: find rows by both of their texts.
        """
        if (task, pairs) not in self._known:
            names = [name for name in self.columns.keys if pairs or name != self.columns.text_pair]
            ids, kind = self.columns.id, kind_of(task)
            by_id = None if ids is None else [*map(_id_of, self._read.texts(ids))]
            columns = [self._texts(name) for name in names] if by_id is None else [by_id]
            held, may_have_ids = self.holds(kind), by_id is None and not kind.reads_apart
            tables: list[NDArray[Any]] = [self.logits(task)] if "answers" in held else []
            tables += [self.vectors] if "vectors" in held else []
            keys = list(zip(*columns, strict=True))
            self._known[task, pairs] = index_rows(keys, tables, self.name, may_have_ids=may_have_ids)
        return self._known[task, pairs]

    # ---- Reading ----

    @cached_property
    def _cells(self) -> list[Any]:
        """Those of the one column that holds the numbers of all classes."""
        (column,) = self.columns.answers
        return cells_of(self._read.columns[column], f"{self.name}, column '{column}'")

    @cached_property
    def _names(self) -> tuple[str, ...] | None:
        """Of the classes: of their columns, or in the objects of the one column; `None` where nothing names them."""
        if self.columns.names is not None or self.columns.form not in LISTED:
            return self.columns.names
        first = self._cells[0] if self._cells else None
        return tuple(map(str, first)) if isinstance(first, dict) else None

    @cached_property
    def _read(self) -> Table:
        return self._table.select([*self.columns.keys, *self.columns.answers])

    def _numbers(self) -> NDArray[np.float64]:
        """The numbers of all classes, `[rows, classes]`."""
        columns = self.columns.answers
        if self.columns.names is None and self.columns.form != "scores":
            where = f"{self.name}, column '{columns[0]}'"
            cells = in_order(self._cells, self._names, where)
            are_lists = any(isinstance(cell, list) for cell in cells)
            found = numbers(cells, where, in_lists=are_lists)
            return found if are_lists else found[:, None]
        parts = [numbers(self._read.values(name), f"{self.name}, column '{name}'") for name in columns]
        return np.stack(parts, axis=1)

    @cached_property
    def _directions(self) -> NDArray[np.float32]:
        """The vectors, each of length 1; one array for all tasks."""
        assert self.columns.vector is not None, "`has_vectors` says whether there are any"
        return normalise(self.vectors, f"{self.name}, column '{self.columns.vector}'")

    def _texts(self, column: str) -> list[str | None]:
        """The texts of a column that rows are found by; `None` where a row has none, which no row is then found by.

        Raises:
            UserError: something else than a text stands there.
        """
        values = self._read.texts(column)
        for row, value in enumerate(values, start=1):
            if value is not None and not isinstance(value, str):
                raise not_a_text(value, f"{self.name}, column '{column}', row {row}")
        return values

    def _make_logits(self, task: Task) -> tuple[NDArray[np.float32] | NDArray[np.float64], list[str]]:
        kind, form = kind_of(task), self.columns.form
        if kind.reads_apart:
            return self._directions, []
        if form is None:
            return np.zeros((len(self), 0)), []
        if form == "top-k" and kind.has_classes:
            where = f"{self.name}, column '{self.columns.answers[0]}'"
            if not kind.one_class:
                raise UserError(
                    where,
                    expected=f"an answer to each class by itself, for task `{kind.name}`",
                    got="log-probabilities of tokens, which exclude one another",
                    otherwise="no label would have had a probability above a half",
                    do="write how likely each label is in columns `p_<label>`",
                )
            cells = cells_of(self._read.columns[self.columns.answers[0]], where)
            rows = [_by_token(cell, f"{where}, row {row}") for row, cell in enumerate(cells, start=1)]
            names = task.label_names or tuple(map(str, range(task.num_labels)))
            found, notes = logits_of_top_k(rows, names, where)
            return found, [f"{self.name}: {note}." for note in notes]
        found = self._numbers() if form != "top-k" else np.zeros((len(self), 0))
        if (form == "scores") == kind.has_classes or (not kind.has_classes and found.shape[1] != task.num_labels):
            raise UserError(
                f"labels, {self.name}",
                expected="a column `score`" if not kind.has_classes else f"answers to {task.num_labels} classes",
                got=" and ".join(f"`{name}`" for name in self.columns.answers[:3]),
                do="say what the labels of the data are with `--task`, or name another file",
            )
        names = self._names or tuple(map(str, range(found.shape[1])))
        order, notes = order_classes(names, task, self.name) if kind.has_classes else ([0], [])
        ordered = found[:, order]
        if form == "probabilities":
            where = f"{self.name}, {' '.join(self.columns.answers[:3])}"
            ordered = logits_of_probabilities(ordered, kind, where)
        return ordered, notes


def is_answers_file(name: str | Path) -> bool:
    """Whether a teacher's name is that of a file of answers, by its ending.

    Example:
        >>> is_answers_file("answers.parquet"), is_answers_file("org/model-1.5"), is_answers_file("folder")
        (True, False, False)
    """
    return is_table(Path(name))


def _id_of(value: Any) -> str | None:
    """An id as it is compared; `None` of a row that has none."""
    return None if value is None else plain_id(value)


def _by_token(cell: Any, where: str) -> list[tuple[Any, Any]]:
    """Log-probabilities of one row with their tokens, however they are listed; none of an empty cell."""
    if isinstance(cell, dict):
        return [(token, share) for token, share in cell.items() if share is not None]
    records = [] if cell is None else cell
    if isinstance(records, list) and all(isinstance(one, dict) for one in records):
        return [(one.get("token", one.get("label")), one.get("logprob")) for one in records]
    raise UserError(
        where,
        expected="log-probabilities by token, as an object or as a list of objects with `token` and `logprob`",
        got=repr(cell),
        do="correct the file that holds the teacher's answers",
    )
