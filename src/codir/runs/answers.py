"""What `codir evaluate` writes beside its table: answers, rows where two models differ, submissions to GLUE's server.

Places are checked before anything is loaded; each file is written whole.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from codir.config import EvaluateConfig
from codir.config.words import ROW_FILES, SQUAD_FILE
from codir.data import LoadedData, Submission, join_words
from codir.errors import UserError, naming
from codir.measure import Answers, find_farthest, predictions
from codir.report import write_rows
from codir.runs.inputs import check_apart, inputs_of
from codir.store import files_added_whole, write_whole
from codir.tasks import DIGITS, NO_LOGIT, Task, kind_of
from codir.tasks.thresholds import move_back

Columns = dict[str, Sequence[Any]]


# ---- Places ----


def check_places(config: EvaluateConfig, submissions: Sequence[Submission]) -> None:
    """Refuse files that could not be written, or would be written over what is read.

    Raises:
        UserError: names the place.
    """
    inputs = inputs_of(config)
    for key, file in files_of(config, submissions):
        check_apart(file, inputs, key=key)
        check_file(file)


def files_of(config: EvaluateConfig, submissions: Sequence[Submission] = ()) -> list[tuple[str, Path]]:
    """The files that an evaluation writes, each with the key that asks for it."""
    named = [(key, getattr(config, key)) for key in ("output", "predictions", "differences")]
    folder = config.submission
    submitted = [("submission", folder / one.file_name) for one in submissions] if folder is not None else []
    return [*((key, file) for key, file in named if file is not None), *submitted]


def check_file(file: Path) -> None:
    """Refuse what could not be written, before the work is done; nothing is left of the attempt.

    Raises:
        UserError: it is a folder or a device, or its folder cannot be made or written to.
    """
    made = [folder for folder in (file.parent, *file.parent.parents) if not os.path.lexists(folder)]
    with naming(file):
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            if file.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file))
            if file.exists() and not file.is_file():  # such as `/dev/null`, whose place it would take
                raise OSError(errno.ENXIO, os.strerror(errno.ENXIO), str(file))
            if not os.access(file.parent, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(file.parent))
        finally:
            with suppress(OSError):
                for folder in made:
                    folder.rmdir()


# ---- Files ----


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Write the metrics and all that stands beside them."""
    with naming(file):
        write_whole(file, json.dumps(content, indent=2))


def write_predictions(
    file: Path,
    data: LoadedData,
    names: Sequence[str],
    answers: Answers,
    *,
    thresholds: Sequence[float] | None = None,
) -> None:
    """Write the answer to each row, or to each word: its class with the probability of each, or its score.

    The texts stand beside it, so that the file can be the teacher of a student.

    Args:
        file: of one of the endings of `write_rows`.
        data: whose evaluation sets were asked.
        names: of the classes.
        answers: the model's logits, less those of its thresholds.
        thresholds: from which probability on each label is answered, if the model has any.
    """
    if kind_of(data.task).reads_words:
        write_rows(file, _word_columns(data, names, answers))
        return
    if file.suffix.lower() == SQUAD_FILE:
        texts = [_texts_of(logits, data.dev[name], data.task) for name, logits in answers.items()]
        ids = [one for name in answers for one in data.dev[name]["id"]]
        write_json(file, dict(zip(ids, chain.from_iterable(texts), strict=True)))
        return
    said = [_answer_columns(logits, data, name, names, thresholds) for name, logits in answers.items()]
    places = [(name, row) for name, logits in answers.items() for row in range(len(logits))]
    columns = {name: [value for one in said for value in one[name]] for name in said[0]}
    write_rows(file, {**_row_columns(data, places), **_text_columns(data, places), **columns})


def write_differences(
    file: Path, data: LoadedData, names: Sequence[str], answers: Mapping[str, Answers], most: int
) -> None:
    """Write the rows where two models differ most, those farthest apart first.

    Args:
        file: of one of the endings of `write_rows`.
        data: whose evaluation sets were asked.
        names: of the classes.
        answers: logits of `model` and of `against`.
        most: how many rows at most.
    """
    kind = kind_of(data.task)
    sets = {name: kind.distances(answers["model"][name], answers["against"][name]) for name in data.dev}
    every = [(name, row) for name, distances in sets.items() for row in range(len(distances))]
    distances = np.concatenate(list(sets.values()))
    farthest = find_farthest(distances, most)
    places = [every[index] for index in farthest]
    texts = _text_columns(data, places)
    columns: Columns = {**_row_columns(data, places), **texts}
    labels = [data.dev[name][row]["label"] for name, row in places]
    columns["label"] = kind.written_beside(kind.stack(labels), texts, names) if labels else []
    probabilities: Columns = {}
    for model, given in answers.items():
        logits = _stacked([given[name][row] for name, row in places]) if places else next(iter(given.values()))[:0]
        said, shares = predictions(logits, kind), kind.probabilities(logits)
        columns[model] = kind.written_beside(said, texts, names)
        if shares is not None and kind.one_class:
            probabilities[f"p_{model}"] = _rounded(shares.max(axis=1))
    write_rows(file, {**columns, **probabilities, "distance": _rounded(distances[farthest])})


def _stacked(logits: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Rows of several evaluation sets as one array; those of fewer words say nothing of further ones."""
    widest = max(map(len, logits))
    return np.stack(
        [np.pad(row, [(0, widest - len(row)), *[(0, 0)] * (row.ndim - 1)], constant_values=NO_LOGIT) for row in logits]
    )


def write_submissions(
    folder: Path, submissions: Sequence[Submission], answers: Sequence[NDArray[np.generic]], task: Task
) -> None:
    """Write the answers to GLUE's test rows, all files or none.

    Args:
        folder: for the files.
        submissions: what was asked.
        answers: to each, in the form of labels.
        task: of the model, whose classes may stand in another order than GLUE's.
    """
    with naming(folder), files_added_whole(folder) as drafts:
        for submission, said in zip(submissions, answers, strict=True):
            (drafts / submission.file_name).write_text(submission.write(said.tolist(), task.label_names), "utf-8")


def _row_columns(data: LoadedData, places: Sequence[tuple[str, int]]) -> Columns:
    """Where each row stands: its number, counted from 1, and its evaluation set where there are several."""
    sets = {"set": [name for name, _ in places]} if len(data.dev) > 1 else {}
    return {**sets, "row": [data.row_numbers[name][row] for name, row in places]}


def check_form(config: EvaluateConfig, task: Task) -> None:
    """Refuse SQuAD's form for answers that are none to questions.

    Raises:
        UserError: names the file.
    """
    file = config.predictions
    if file is not None and file.suffix.lower() == SQUAD_FILE and not kind_of(task).reads_windows:
        raise UserError(
            "predictions",
            expected=f"a file whose name ends in {', '.join(ROW_FILES)}",
            got=f"{file}, for SQuAD's form of answers to questions",
            do="rename the file",
        )


def _texts_of(logits: NDArray[np.float32], rows: Dataset, task: Task) -> list[str | float]:
    """The answer to each question, empty for no answer."""
    kind = kind_of(task)
    return kind.written_beside(kind.answers(logits), {"text_pair": rows["text_pair"]}, ())


def _text_columns(data: LoadedData, places: Sequence[tuple[str, int]]) -> Columns:
    """What each row says."""
    first = next(iter(data.dev.values()))
    names = [column for column in ("text", "text_pair") if column in first.column_names]
    texts = {name: {column: rows[column][:] for column in names} for name, rows in data.dev.items()}
    if kind_of(data.task).reads_words:
        names, texts = ["text"], {name: {"text": [*map(join_words, rows["words"])]} for name, rows in data.dev.items()}
    return {column: [texts[name][column][row] for name, row in places] for column in names}


def _answer_columns(
    logits: NDArray[np.float32], data: LoadedData, name: str, names: Sequence[str], thresholds: Sequence[float] | None
) -> Columns:
    kind = kind_of(data.task)
    if kind.reads_windows:
        rows = data.dev[name]
        return {
            "id": rows["id"][:],
            "answer": _texts_of(logits, rows, data.task),
            "score": _rounded(logits[:, 2]),
        }
    said, shares = predictions(logits, kind), kind.probabilities(move_back(logits, thresholds))
    if shares is None:
        return {"score": kind.written(said, names)}
    return {
        "answer": kind.written(said, names),
        **{f"p_{name}": _significant(shares[:, index]) for index, name in enumerate(names)},
    }


def _word_columns(data: LoadedData, names: Sequence[str], answers: Answers) -> Columns:
    """A line for each word: where it stands, what it is answered with, and how likely each class is.

    A word that the model has not read has no answer, and equal probabilities.
    """
    kind, labels = kind_of(data.task), list(names)
    places: list[tuple[str, int]] = []
    numbers: list[int] = []
    words: list[str] = []
    said: list[str] = []
    shares: list[NDArray[np.float64]] = []
    for name, logits in answers.items():
        answered, likely = predictions(logits, kind), kind.probabilities(logits)
        assert likely is not None, "words have classes"
        for row, of_row in enumerate(data.dev[name]["words"]):
            places += [(name, row)] * len(of_row)
            numbers += range(1, len(of_row) + 1)
            words += of_row
            said += [labels[index] if index >= 0 else "" for index in answered[row, : len(of_row)]]
            shares.append(likely[row, : len(of_row)])
    every = np.concatenate(shares)
    columns: Columns = {**_row_columns(data, places), "word": numbers, "text": words, "answer": said}
    return {**columns, **{f"p_{name}": _rounded(every[:, index]) for index, name in enumerate(names)}}


def _significant(numbers: NDArray[np.generic]) -> list[Any]:
    """Probabilities, also small ones with all their digits, so that the file can teach them."""
    return [float(f"{number:.{DIGITS}g}") for number in numbers.astype(np.float64).tolist()]


def _rounded(numbers: NDArray[np.generic]) -> list[Any]:
    return [round(number, DIGITS) for number in numbers.astype(np.float64).tolist()]
