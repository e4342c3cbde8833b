"""SQuAD's files: articles, their paragraphs, and questions with answers that stand in them; or a question in each row.

Version 1.1, where each question has an answer, and 2.0, where some have none. As they are published, or as the hub
has them: JSON lines or Parquet with `question`, `context` and `answers`. Knows files; knows nothing of tokens.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset, Features, Value
from datasets import Sequence as Listed

from codir.data.loaded import LoadedData
from codir.data.sources.assemble import SplitOptions
from codir.data.sources.folders import describe_folder
from codir.data.sources.formats import ending_of, read_table
from codir.data.sources.split import hold_out_groups
from codir.errors import UserError, naming
from codir.errors.shown import counted
from codir.tasks import IGNORED_CLASS, KINDS, Task

NAME = "question_answering"
PARTS = {"train": ("train",), "dev": ("dev", "validation")}
"""How files of a folder begin that hold a part."""
ENDINGS = (".json", ".jsonl", ".ndjson", ".parquet")
COLUMNS = ("id", "title", "context", "question", "answers", "is_impossible")
"""Of rows with a question each; `id`, `title` and `is_impossible` may lack."""
FEATURES = Features(
    {
        "text": Value("string"),
        "text_pair": Value("string"),
        "label": Listed(Value("int64"), length=2),
        "answers": Listed(Value("string")),
        "id": Value("string"),
    }
)


@dataclass(frozen=True)
class Questions:
    """The questions of a file, or some of them.

    Attributes:
        name: of the file, or from where they were held out.
        rows: in the columns of `FEATURES`.
        articles: the number of each row's article.
        numbers: where each row stands in the file, counted from 1.
    """

    name: str
    rows: list[dict[str, Any]]
    articles: list[int]
    numbers: Sequence[int]

    def take(self, rows: Sequence[int], name: str | None = None) -> Questions:
        """Some of them."""
        articles, numbers = ([values[row] for row in rows] for values in (self.articles, self.numbers))
        return Questions(name or self.name, [self.rows[row] for row in rows], articles, numbers)

    def to_dataset(self, more: Sequence[dict[str, Any]] = ()) -> Dataset:
        """As a `datasets` object: question, context, the first answer's characters, all answers, and the id.

        Args:
            more: rows that follow.
        """
        rows = [*self.rows, *more]
        return Dataset.from_dict({name: [row[name] for row in rows] for name in FEATURES}, features=FEATURES)


def load_squad(
    source: str | Path,
    *,
    dev: str | Path | None = None,
    unlabelled: Sequence[str | Path] = (),
    split: SplitOptions,
    evaluation_only: bool = False,
) -> LoadedData:
    """Read questions to train on and to be judged by.

    Args:
        source: a file of SQuAD's form, or a folder with `train*` and `dev*` or `validation*` in one of `ENDINGS`.
        dev: a file to evaluate on; without one, whole articles are held out.
        unlabelled: files whose answers are not read.
        split: the share of the questions that is held out, and on about how many to train, of whole articles.
        evaluation_only: read the dev part alone, or the single file given.

    Raises:
        UserError: a file is missing or not of that form, or an answer does not stand where it says.
    """
    train_file, dev_file = _find_files(Path(source), None if dev is None else Path(dev), evaluation_only)
    found = None if dev_file is None else read_squad(dev_file)
    if train_file is None:
        assert found is not None, "one of the two is there"
        return _loaded(None, found, [])
    train, notes = read_squad(train_file), list[str]()
    if found is None:
        train, found, note = _hold_out(train, max(1, round(split.dev_fraction * len(train.rows))), split.seed)
        notes.append(note)
    most = split.max_train_rows
    if most is not None and most < len(train.rows):
        train, _, _ = _hold_out(train, len(train.rows) - most, split.seed)
        kept = counted(len(train.rows), "question")
        notes.append(f"trains on a part of the data: {kept}, of whole articles, seed {split.seed}")
    more = [row for file in unlabelled for row in read_squad(Path(file), labelled=False).rows]
    if more:
        join = counted(len(more), "question without an answer joins", "questions without an answer join")
        notes.append(f"{join} the training data")
    return _loaded(train, found, notes, more)


def _find_files(path: Path, dev: Path | None, evaluation_only: bool) -> tuple[Path | None, Path | None]:
    """The file to train on, where that is wanted, and the file to be judged by, where there is one."""
    if not path.is_dir():
        if not path.exists() and ending_of(path) not in ENDINGS:
            raise UserError(
                f"data '{path}'",
                expected="a file of questions, or a folder",
                got="neither",
                do="check the path; of a data set on the hub, write each split to a file first: "
                "`load_dataset(...)['train'].to_parquet('train.parquet')`",
            )
        return (None, dev or path) if evaluation_only else (path, dev)
    train, dev = None if evaluation_only else _part(path, "train"), dev or _part(path, "dev")
    wanted, found = ("dev", dev) if evaluation_only else ("train", train)
    if found is None:
        raise UserError(
            f"folder '{path}'",
            expected=f"a file {wanted}*.json, or one of the endings {', '.join(ENDINGS[1:])}",
            got=describe_folder(path),
            do="rename the file, or give its path",
        )
    return train, dev


def read_squad(path: Path, *, labelled: bool = True) -> Questions:
    """Read a file of SQuAD's form.

    Args:
        path: of the file.
        labelled: read the answers; otherwise there need be none, and nothing is known of any question.

    Raises:
        UserError: it is not JSON or Parquet, a key is missing, or an answer does not stand where it says.
    """
    rows: list[dict[str, Any]] = []
    articles: list[int] = []
    numbers: dict[Any, int] = {}
    try:
        for article, context, question in _questions_in(path):
            rows.append(_row(path, {"id": len(rows) + 1, **question}, context, labelled=labelled))
            articles.append(numbers.setdefault(article, len(numbers)))
    except UserError:
        raise
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        found = f"no {error}" if isinstance(error, KeyError) else "something else"
        raise _not_squad(path, found) from None
    if not rows:
        raise _not_squad(path, "no question")
    return Questions(path.name, rows, articles, range(1, len(rows) + 1))


def _questions_in(path: Path) -> Iterator[tuple[Any, str, Mapping[str, Any]]]:
    """Each question, with what tells its article from others, and its context."""
    content = _published(path)
    if content is not None and any("paragraphs" in one for one in content):
        for number, article in enumerate(content):
            for paragraph in article["paragraphs"]:
                yield from ((number, paragraph["context"], question) for question in paragraph["qas"])
        return
    for row in _table_rows(path) if content is None else content:
        yield row.get("title") or row["context"], row["context"], row


def _published(path: Path) -> list[Any] | None:
    """The articles or rows of one JSON value; `None` of files with an object on each line, and of Parquet."""
    if ending_of(path) != ".json" or path.suffix.lower() != ".json":
        return None
    with naming(path):
        text = path.read_text("utf-8-sig")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        if text.lstrip().partition("\n")[0].rstrip().endswith("}"):
            return None
        raise _not_squad(path, f"no JSON ({error})") from None
    found = content["data"] if isinstance(content, dict) and "question" not in content else content
    return found if isinstance(found, list) else [found]


def _table_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a table, in the columns of `COLUMNS` that it has."""
    table = read_table(path)
    table = table.select([name for name in COLUMNS if name in table.columns])
    for cells in zip(*(column[:] for column in table.columns.values()), strict=True):
        yield {name: cell for name, cell in zip(table.columns, cells, strict=True) if cell is not None}


def _row(path: Path, question: Mapping[str, Any], context: Any, *, labelled: bool = True) -> dict[str, Any]:
    if not isinstance(context, str) or not isinstance(question["question"], str):
        raise TypeError("texts are strings")
    texts = {"text": question["question"], "text_pair": context, "id": str(question["id"])}
    if not labelled:
        return {**texts, "label": [IGNORED_CLASS] * 2, "answers": []}
    answers = [] if question.get("is_impossible") else question["answers"]
    if isinstance(answers, Mapping):  # lists of texts and of starts, as the hub has them
        pairs = zip(answers["text"], answers["answer_start"], strict=True)
        answers = [{"text": text, "answer_start": start} for text, start in pairs]
    label = [-1, -1]
    if answers:
        start, text = int(answers[0]["answer_start"]), answers[0]["text"]
        label = [start, start + len(text)]
        if context[start : start + len(text)] != text:
            raise UserError(
                f"{path.name}, question '{question['id']}'",
                expected=f"its answer '{text}' at character {start} of its context",
                got=f"'{context[start : start + len(text)]}'",
                otherwise="the model would have learnt to mark other words",
                do="correct `answer_start`, counted in characters from 0",
            )
    return {**texts, "label": label, "answers": [answer["text"] for answer in answers]}


def _part(folder: Path, name: str) -> Path | None:
    found = sorted(
        file for file in folder.iterdir() if file.name.startswith(PARTS[name]) and file.suffix.lower() in ENDINGS
    )
    if len(found) > 1:
        raise UserError(
            f"folder '{folder}'",
            expected=f"one file whose name begins with {' or '.join(PARTS[name])}",
            got=", ".join(file.name for file in found),
            do="name the files: `--data train-v2.0.json --dev dev-v2.0.json`",
        )
    return found[0] if found else None


def _hold_out(questions: Questions, count: int, seed: int) -> tuple[Questions, Questions, str]:
    groups = questions.articles if len(set(questions.articles)) > 1 else list(range(len(questions.rows)))
    stay, aside = hold_out_groups(groups, count, seed=seed)
    if not aside:
        raise UserError(questions.name, expected="at least two questions", got="one", do="give a dev file with `--dev`")
    how = "by whole articles" if groups is questions.articles else "at random"
    note = (
        f"no dev file: held out {len(aside)} of {len(questions.rows)} questions of {questions.name}, {how}, seed {seed}"
    )
    return questions.take(stay), questions.take(aside, f"held out of {questions.name}"), note


def _loaded(
    train: Questions | None, dev: Questions, notes: list[str], more: Sequence[dict[str, Any]] = ()
) -> LoadedData:
    for one in (*((train,) if train is not None else ()), dev):
        without = sum(not row["answers"] for row in one.rows)
        said = f"{one.name}: {counted(len(one.rows), 'question')}"
        notes.append(f"{said}, {without} without an answer" if without else said)
    return LoadedData(
        train=None if train is None else train.to_dataset(more),
        dev={"dev": dev.to_dataset()},
        task=Task(NAME, None, 2, KINDS[NAME].metrics),
        notes=tuple(notes),
        num_unlabelled=len(more),
        origins={**({} if train is None else {"train": train.name}), "dev": dev.name},
        row_numbers={"dev": dev.numbers},
    )


def _not_squad(path: Path, got: str) -> UserError:
    return UserError(
        str(path),
        expected="a file of SQuAD's form: `data`, `paragraphs`, `context`, `qas`, `question`, `answers`; or rows with "
        "`question`, `context` and `answers` (`text` and `answer_start`)",
        got=got,
        do="give SQuAD's own files, in JSON, JSON lines or Parquet, or write yours in that form",
    )
