"""What `infer.py` says where words have tags."""

import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np


def say(rows: list[Any], read: list[Any], answers: np.ndarray, record: dict[str, Any]) -> Iterator[str]:
    """For each text, its spans in JSON."""
    for text, row, logits in zip(rows, read, answers, strict=True):
        found = spans_in(text, row.offsets, logits, record["labels"], has_scheme=record["spans"])
        yield json.dumps(found, ensure_ascii=False)


def spans_in(
    text: str, offsets: list[tuple[int, int]], logits: np.ndarray, labels: list[str], *, has_scheme: bool
) -> list[dict[str, Any]]:
    """The spans of a text, with the characters where they start and end, and the mean probability of their words.

    Words are told apart by white space and punctuation, and answered at their first token; one that the tokenizer makes
    nothing of is passed over. A tag without a scheme (`NOUN`, not `B-PER`) makes a span of each word.
    """
    places = {"B": "B", "I": "I", "E": "E", "S": "S", "L": "E", "U": "S", "M": "I", "W": "S"}
    spans: list[dict[str, Any]] = []
    before = ("O", "")
    for word in re.finditer(r"\w+(?:[-'\u2019.]\w+)*|[^\w\s]", text):
        start, end = word.span()
        first = next((i for i, (a, b) in enumerate(offsets) if a < end and b > max(start, a)), None)
        if first is None:  # such as a joiner between two emojis, or the text was cut before it
            continue
        powers = np.exp(logits[first] - logits[first].max())
        tag, share = labels[powers.argmax()], float(powers.max() / powers.sum())
        letter, _, kind = tag.partition("-")
        place, kind = (places.get(letter, "O"), kind) if has_scheme else ("S", tag)
        if place != "O" and (place in "BS" or before[0] in "OES" or before[1] != kind):
            spans.append({"text": "", "type": kind, "start": start, "end": end, "score": [share]})
        elif place != "O":
            spans[-1].update(end=end, score=[*spans[-1]["score"], share])
        before = (place, kind)
    for span in spans:
        span.update(text=text[span["start"] : span["end"]], score=round(sum(span["score"]) / len(span["score"]), 4))
    return spans
