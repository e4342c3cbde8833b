"""SQuAD's files as they are published: articles, their paragraphs, and questions with answers that stand in them.

Version 1.1, where each question has an answer, and 2.0, where some have none. Knows JSON; knows nothing of tokens.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset, Features, Value
from datasets import Sequence as Listed

from codir.data.loaded import LoadedData
from codir.data.sources.assemble import SplitOptions
from codir.data.sources.folders import describe_folder
from codir.data.sources.split import hold_out_groups
from codir.errors import UserError, naming
from codir.tasks import IGNORED_CLASS, KINDS, Task

NAME = "question_answering"
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
        source: a file of SQuAD's form, or a folder with `train*.json` and `dev*.json`.
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
        notes.append(f"trains on a part of the data: {len(train.rows)} questions, of whole articles, seed {split.seed}")
    more = [row for file in unlabelled for row in read_squad(Path(file)).rows]
    more = [{**row, "label": [IGNORED_CLASS] * 2, "answers": []} for row in more]
    if more:
        notes.append(f"{len(more)} questions without an answer join the training data")
    return _loaded(train, found, notes, more)


def _find_files(path: Path, dev: Path | None, evaluation_only: bool) -> tuple[Path | None, Path | None]:
    """The file to train on, where that is wanted, and the file to be judged by, where there is one."""
    if not path.is_dir():
        return (None, dev or path) if evaluation_only else (path, dev)
    train, dev = None if evaluation_only else _part(path, "train"), dev or _part(path, "dev")
    wanted, found = ("dev", dev) if evaluation_only else ("train", train)
    if found is None:
        raise UserError(
            f"folder '{path}'",
            expected=f"a file {wanted}*.json",
            got=describe_folder(path),
            do="rename the file, or give its path",
        )
    return train, dev


def read_squad(path: Path) -> Questions:
    """Read a file of SQuAD's form.

    Raises:
        UserError: it is not JSON, a key is missing, or an answer does not stand where it says.
    """
    with naming(path):
        try:
            content = json.loads(path.read_text("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            raise _not_squad(path, f"no JSON ({error})") from None
    rows: list[dict[str, Any]] = []
    articles: list[int] = []
    try:
        for number, article in enumerate(content["data"]):
            for paragraph in article["paragraphs"]:
                for question in paragraph["qas"]:
                    rows.append(_row(path, question, paragraph["context"]))
                    articles.append(number)
    except UserError:
        raise
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        found = f"no {error}" if isinstance(error, KeyError) else "something else"
        raise _not_squad(path, found) from None
    if not rows:
        raise _not_squad(path, "no question")
    return Questions(path.name, rows, articles, range(1, len(rows) + 1))


def _row(path: Path, question: dict[str, Any], context: Any) -> dict[str, Any]:
    if not isinstance(context, str) or not isinstance(question["question"], str):
        raise TypeError("texts are strings")
    answers = [] if question.get("is_impossible") else question["answers"]
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
    return {
        "text": question["question"],
        "text_pair": context,
        "label": label,
        "answers": [answer["text"] for answer in answers],
        "id": str(question["id"]),
    }


def _part(folder: Path, name: str) -> Path | None:
    found = sorted(folder.glob(f"{name}*.json"))
    if len(found) > 1:
        raise UserError(
            f"folder '{folder}'",
            expected=f"one file {name}*.json",
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
        notes.append(f"{one.name}: {len(one.rows)} questions" + (f", {without} without an answer" if without else ""))
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
        expected="a file of SQuAD's form: `data`, `paragraphs`, `context`, `qas`, `question`, `answers`",
        got=got,
        do="give SQuAD's own JSON files, or write yours in that form",
    )
