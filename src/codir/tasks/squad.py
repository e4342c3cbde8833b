"""How SQuAD judges an answer: exact match and F1 over words, after the official script's normalisation.

Rajpurkar et al. 2016 (arXiv 1606.05250) and 2018 (arXiv 1806.03822); the script is `evaluate-v2.0.py` of the SQuAD
site, whose 1.1 numbers are the same for questions that have an answer. Knows texts alone.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from dataclasses import dataclass

ARTICLES = re.compile(r"\b(a|an|the)\b")
PUNCTUATION = frozenset(string.punctuation)


def normalise(answer: str) -> str:
    """Lower case, without punctuation, articles and extra white space.

    Example:
        >>> normalise("The  Eiffel-Tower!")
        'eiffeltower'
    """
    letters = "".join(letter for letter in answer.lower() if letter not in PUNCTUATION)
    return " ".join(ARTICLES.sub(" ", letters).split())


def exact_match(answer: str, gold: str) -> float:
    """1 where both are the same once normalised."""
    return float(normalise(answer) == normalise(gold))


def word_f1(answer: str, gold: str) -> float:
    """Harmonic mean of precision and recall of the words; of no answer, whether both are none.

    Example:
        >>> word_f1("the Eiffel Tower", "Eiffel Tower in Paris")
        0.6666666666666666
    """
    said, right = normalise(answer).split(), normalise(gold).split()
    if not said or not right:
        return float(said == right)
    common = sum((Counter(said) & Counter(right)).values())
    return 2 * common / (len(said) + len(right))


@dataclass(frozen=True)
class Gold:
    """What is right for one question.

    Attributes:
        context: in which the answer stands.
        answers: any of which is right; none where the question has no answer.
    """

    context: str
    answers: tuple[str, ...]

    def read(self, start: int, end: int) -> str:
        """The characters from `start` to before `end`; nothing for no answer."""
        return self.context[start:end] if start >= 0 else ""

    def exact_match(self, start: int, end: int) -> float:
        """That of the nearest right answer."""
        return max(exact_match(self.read(start, end), gold) for gold in self._golds)

    def f1(self, start: int, end: int) -> float:
        """That of the nearest right answer."""
        return max(word_f1(self.read(start, end), gold) for gold in self._golds)

    @property
    def _golds(self) -> list[str]:
        """Those that normalisation leaves something of, as in the official script."""
        return [answer for answer in self.answers if normalise(answer)] or [""]
