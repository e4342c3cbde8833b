"""What `infer.py` says of a question and a context that may hold its answer."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np


def say(rows: list[Any], read: list[Any], answers: np.ndarray, record: dict[str, Any]) -> Iterator[str]:
    """The answer, the characters where it starts and ends in the context, and its score, in JSON.

    Of all windows, the best span of at most `longest_answer` tokens. There is no answer where that scores more: it is
    then empty and stands nowhere (`null`), and the score is still that of the best span.
    """
    spans = [
        (float(logits[first, 0] + logits[last, 1]), window.offsets[first][0], window.offsets[last][1])
        for window, logits in zip(read, answers, strict=True)
        for inside in [[at for at, part in enumerate(window.sequence_ids) if part == 1]]
        for first in sorted(inside, key=lambda at: -logits[at, 0])[:20]
        for last in sorted(inside, key=lambda at: -logits[at, 1])[:20]
        if first <= last < first + record["longest_answer"]
    ]
    if not spans:
        yield json.dumps({"answer": "", "start": None, "end": None, "score": None})
        return
    score, start, end = max(spans)
    none = min(float(logits[0].sum()) for logits in answers) - record["no_answer"]
    found = {"answer": rows[0][1][start:end], "start": start, "end": end}
    if record["may_be_none"] and none > score:
        found = {"answer": "", "start": None, "end": None}
    yield json.dumps({**found, "score": round(score, 4)}, ensure_ascii=False)
