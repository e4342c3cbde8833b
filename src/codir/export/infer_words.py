"""What `infer.py` holds for a model that tags words, behind the lines that ask it."""

import re

import numpy as np

# ---- Answers ----


def spans_in(text: str, offsets: list, logits: np.ndarray, labels: list, has_scheme: bool) -> list:  # type: ignore[type-arg]
    """The spans of a text, with the characters where they start and end, and the mean probability of their words.

    Words are told apart by white space and punctuation, and answered at their first token. A tag without a scheme
    (`NOUN`, not `B-PER`) makes a span of each word.
    """
    places = {"B": "B", "I": "I", "E": "E", "S": "S", "L": "E", "U": "S", "M": "I", "W": "S"}
    spans, before = [], ("O", "")
    for word in re.finditer(r"\w+(?:[-'’.]\w+)*|[^\w\s]", text):  # noqa: RUF001
        start, end = word.span()
        first = next((i for i, (a, b) in enumerate(offsets) if a < end and b > max(start, a)), None)
        if first is None:  # the text was cut before it
            break
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
