"""What GLUE's server scores: unlabelled test rows, and answers in the form that it wants. From a folder or the hub.

Knows GLUE's files. Knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets import Dataset, Features, Value

from codir.data.sources.columns import ColumnNames
from codir.data.sources.formats import read_plain_tabs, require_file
from codir.data.sources.glue import GLUE_PREFIX, HUB_NAME, GlueTask, find_folder, find_glue_task
from codir.data.sources.tables import Table, read_hub
from codir.errors import UserError

INDEX_NAMES = ("index", "id", "idx")
HIGHEST_SCORE = 5.0
DIAGNOSTIC = "AX.tsv"
"""Answers of a model of MNLI to a test of its own, which has no training set."""
DIAGNOSTIC_FILES = ("diagnostic/diagnostic.tsv", "AX/diagnostic.tsv", "AX/AX.tsv", "AX/test.tsv", "MNLI/diagnostic.tsv")
"""Where those who offer GLUE for download put it."""
DIAGNOSTIC_ON_HUB = "ax"


@dataclass(frozen=True)
class Submission:
    """One file for GLUE's server: the rows that are asked, and how answers are written.

    Attributes:
        file_name: of the answers.
        rows: columns `text` and perhaps `text_pair`.
        index: the number of each row, as the server counts.
        label_names: of the classes in GLUE's order; `None` for scores.
        has_named_answers: whether a class is written by its name, or else by its index.
    """

    file_name: str
    rows: Dataset
    index: tuple[str, ...]
    label_names: tuple[str, ...] | None
    has_named_answers: bool

    def write(self, answers: Sequence[float], names: Sequence[str] | None = None) -> str:
        r"""The file's text: a line `index<tab>prediction`, and one for each row.

        Args:
            answers: class indices, or scores, which are cut to 0 to 5.
            names: of the classes in the order of these indices; GLUE's order by default.

        Example:
            >>> rows = Dataset.from_dict({"text": ["a", "b"]})
            >>> Submission("RTE.tsv", rows, ("0", "1"), ("entailment", "not_entailment"), True).write([1, 0])
            'index\tprediction\n0\tnot_entailment\n1\tentailment\n'
            >>> Submission("STS-B.tsv", rows, ("0", "1"), None, False).write([5.25, 1.23456])
            'index\tprediction\n0\t5.000\n1\t1.235\n'
        """
        lines = [f"{row}\t{self._written(answer, names)}" for row, answer in zip(self.index, answers, strict=True)]
        return "\n".join(["index\tprediction", *lines, ""])

    def _written(self, answer: float, names: Sequence[str] | None) -> str:
        if self.label_names is None:
            return f"{min(max(float(answer), 0.0), HIGHEST_SCORE):.3f}"
        place = int(answer) if names is None else self.label_names.index(names[int(answer)])
        return self.label_names[place] if self.has_named_answers else str(place)


def read_submissions(source: str, data_dir: Path | None) -> list[Submission]:
    """The unlabelled test sets of the GLUE task that a source names; with MNLI's, its diagnostic set where it is there.

    Args:
        source: `glue:` and a task.
        data_dir: the folder that holds the task folders; without it, GLUE comes from the hub.

    Raises:
        UserError: the source is no task of GLUE, its test rows are not there, or some of them cannot be read.
    """
    if not source.lower().startswith(GLUE_PREFIX):
        raise UserError(
            "submission",
            expected="a task of GLUE as the data, such as `glue:RTE`",
            got=f"'{source}'",
            do="name the task with `--data`, or leave `--submission` out",
        )
    task = find_glue_task(source[len(GLUE_PREFIX) :])
    tables = _tables_on_hub(task) if data_dir is None else _tables_in(task, data_dir)
    columns = task.hub_columns if data_dir is None else task.columns
    return [_submission(name, table, columns, task) for name, table in tables.items()]


def _tables_in(task: GlueTask, data_dir: Path) -> dict[str, Table]:
    """Test tables of a folder, by the name of the file of answers."""
    folder = find_folder(task, data_dir)
    tables = {name: _read_file(folder / f"{part}.tsv") for part, name in task.test_parts.items()}
    if "MNLI-m.tsv" in tables:
        found = [path for place in DIAGNOSTIC_FILES if (path := data_dir / place).is_file()]
        if found:
            tables[DIAGNOSTIC] = _read_file(found[0])
    return tables


def _tables_on_hub(task: GlueTask) -> dict[str, Table]:
    absent, do = "no data folder given", "give the folder that holds GLUE's own download with `--data-dir`"
    splits = read_hub(HUB_NAME, task.hub_config, absent=absent, do=do)
    tables = {name: splits[part] for part, name in task.test_parts.items()}
    if "MNLI-m.tsv" in tables:
        tables[DIAGNOSTIC] = read_hub(HUB_NAME, DIAGNOSTIC_ON_HUB, absent=absent, do=do)["test"]
    return tables


def _read_file(path: Path) -> Table:
    require_file(path)
    return read_plain_tabs(path, skips_broken=False)  # a row that is left out would be missing on the server


def _submission(file_name: str, table: Table, columns: ColumnNames, task: GlueTask) -> Submission:
    named = {"text": columns.text, "text_pair": columns.text_pair}
    wanted = {name: column for name, column in named.items() if column is not None}
    lacking = [column for column in wanted.values() if column not in table.columns]
    if lacking:
        raise UserError(
            f"{task.name} {table.name}",
            expected=f"the columns of GLUE's test rows, among them '{lacking[0]}'",
            got=table.describe_columns(),
            do="take the file of GLUE's own download",
        )
    index = next((name for name in table.columns if name in INDEX_NAMES), None)
    table = table.select([*wanted.values(), index])
    texts = {name: [value or "" for value in table.texts(column)] for name, column in wanted.items()}
    features = Features({name: Value("string") for name in texts})
    rows = Dataset.from_dict(texts, features=features)
    return Submission(file_name, rows, _index(table, index), task.label_names, task.has_named_answers)


def _index(table: Table, column: str | None) -> tuple[str, ...]:
    """The file's own numbers; without a column of them, the rows are counted from 0, as the server does."""
    if column is None:
        return tuple(map(str, range(len(table))))
    found = tuple(str(value).strip() for value in table.texts(column))
    if not all(map(str.isdecimal, found)) or len(set(found)) < len(found):
        wrong = next((value for value in found if not value.isdecimal()), "one number twice")
        raise UserError(
            f"{table.name}, column '{column}'",
            expected="a different whole number in each row",
            got=wrong,
            do="take the file of GLUE's own download",
        )
    return found
