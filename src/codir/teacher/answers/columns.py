"""Which columns of a file of answers hold what: the rows that are answered, and the answers in one of their forms.

Knows names of columns; reads no values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from codir.data import Table, find_text_columns, present_column
from codir.errors import UserError

Form = Literal["logits", "probabilities", "top-k", "scores"]
"""How answers are written."""

PREFIXES: dict[Form, str] = {"logits": "logit_", "probabilities": "p_"}
"""Of a column for each class, whose name is what follows."""
LISTS: dict[str, Form] = {
    "logits": "logits",
    "probabilities": "probabilities",
    "probs": "probabilities",
    "logprobs": "top-k",
    "top_logprobs": "top-k",
}
"""Columns that hold a list or an object for each row."""
LABELS = ("label", "labels", "answer", "prediction")
"""Columns that say a class, and not how likely it is."""
SCORE, VECTORS = "score", ("vector", "embedding")


@dataclass(frozen=True)
class AnswerColumns:
    """The columns to read.

    Attributes:
        id: that rows are found by; `None` where they are found by their text.
        text: the text that is answered; `None` where rows are found by an id.
        text_pair: its second text, where there is one.
        form: of the answers; `None` where there are vectors alone.
        answers: one column for each class, or the one that holds them all.
        names: of the classes, where the columns say them.
        vector: of the examples.
        ignored: other columns of answers, which are not read.
        other_vectors: other columns of vectors, which are not read either.
    """

    id: str | None
    text: str | None
    text_pair: str | None
    form: Form | None
    answers: tuple[str, ...] = ()
    names: tuple[str, ...] | None = None
    vector: str | None = None
    ignored: tuple[str, ...] = ()
    other_vectors: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns that rows are found by."""
        return tuple(name for name in (self.id, self.text, self.text_pair) if name is not None)


def _instead(table: Table) -> str:
    """What to do with a file without answers; one of labels alone is data."""
    if any(name.strip().lower() in LABELS for name in table.columns):
        return (
            f"train on labels alone as data (`--data {table.name}`); to teach, a file needs probabilities, such as "
            "those that a model gives with `logprobs`"
        )
    return "rename the columns that hold the teacher's answers"


def choose_answer_columns(
    table: Table, *, id_column: str | None, text_column: str | None, text_pair_column: str | None
) -> AnswerColumns:
    """Find the columns by their names: logits before probabilities, these before log-probabilities and scores.

    Args:
        table: as `read_table` gives it.
        id_column: find rows by this column, not by their text.
        text_column: where the text stands, if not under a usual name.
        text_pair_column: where the second text stands, if not under a usual name.

    Raises:
        UserError: no answers and no vectors, or nothing to find rows by.
    """
    text, pair = (None, None) if id_column is not None else find_text_columns(table, text_column, text_pair_column)
    found_by = None if id_column is None else present_column(table, id_column, "--id-column")
    taken = {name for name in (found_by, text, pair) if name is not None}
    left = {name: name.strip() for name in table.columns if name not in taken}
    candidates: list[tuple[Form, tuple[str, ...], tuple[str, ...] | None]] = []
    for form, prefix in PREFIXES.items():
        if of_classes := tuple(name for name, plain in left.items() if plain.startswith(prefix)):
            candidates.append((form, of_classes, tuple(left[name].removeprefix(prefix) for name in of_classes)))
    candidates += [(LISTS[plain.lower()], (name,), None) for name, plain in left.items() if plain.lower() in LISTS]
    candidates += [("scores", (name,), None) for name, plain in left.items() if plain.lower() == SCORE]
    vectors = [name for name, plain in left.items() if plain.lower() in VECTORS]
    vector, other_vectors = next(iter(vectors), None), tuple(vectors[1:])
    if not candidates and vector is None:
        raise UserError(
            table.name,
            expected="columns `p_<label>` or `logit_<label>`, or one of `probabilities`, `logits`, `logprobs`, "
            "`score`, `vector`",
            got=table.describe_columns(),
            do=_instead(table),
        )
    if not candidates:
        return AnswerColumns(found_by, text, pair, None, vector=vector, other_vectors=other_vectors)
    order = {form: place for place, form in enumerate(("logits", "probabilities", "top-k", "scores"))}
    (form, answers, names), *second = sorted(candidates, key=lambda candidate: order[candidate[0]])
    ignored = tuple(name for _, columns, _ in second for name in columns)
    return AnswerColumns(found_by, text, pair, form, answers, names, vector, ignored, other_vectors)
