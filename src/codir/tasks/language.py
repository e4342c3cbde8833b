"""Predicting tokens: masked ones, or each next one. What a language model is asked in pre-training."""

from __future__ import annotations

from dataclasses import dataclass

from codir.tasks.classification import IGNORED_CLASS


@dataclass(frozen=True)
class LanguageTask:
    """A kind of language model.

    Attributes:
        name: what it predicts, in words.
        auto_class: the class of `transformers` whose head answers it.
        no_label: what stands at a position where no token is to be predicted.
        metrics: what is reported of held-out text, the primary one first; lower is better.
    """

    name: str
    auto_class: str
    no_label: int = IGNORED_CLASS
    metrics: tuple[str, ...] = ("loss", "perplexity")


MASKED_TOKENS = LanguageTask("masked tokens", "AutoModelForMaskedLM")
NEXT_TOKEN = LanguageTask("the next token", "AutoModelForCausalLM")


def language_task(*, is_masked: bool) -> LanguageTask:
    """The task of a model that predicts masked tokens, or of one that predicts the next.

    Example:
        >>> language_task(is_masked=True).auto_class
        'AutoModelForMaskedLM'
    """
    return MASKED_TOKENS if is_masked else NEXT_TOKEN
