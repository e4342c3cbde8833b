"""The errors that codir raises on purpose.

A message says four things: what was expected, what was found, what would have happened in silence, and what to do.
Knows nothing of any room.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any


class CodirError(Exception):
    """Base of every error that codir raises on purpose."""


class UserError(CodirError, ValueError):
    """The input is at fault, and the user can fix it. The command line exits with 2.

    Example:
        >>> raise UserError("K", expected="at most 12 negatives", got="100", do="lower `num_negatives`")
        Traceback (most recent call last):
        ...
        codir.errors.UserError: K: expected at most 12 negatives, got 100. What to do: lower `num_negatives`.
    """

    def __init__(self, subject: str, *, expected: str, got: str, do: str, otherwise: str | None = None) -> None:
        self.subject, self.expected, self.got, self.do, self.otherwise = subject, expected, got, do, otherwise
        silence = f" Otherwise {otherwise}." if otherwise else ""
        end = "" if do.endswith("?") else "."
        super().__init__(f"{subject}: expected {expected}, got {got}.{silence} What to do: {do}{end}")

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors travel between processes as they are; `Exception` alone would call `__init__` with the message."""
        return _as_it_was, (type(self), self.args, self.__dict__)

    def of(self, whole: str) -> UserError:
        """The same error, about a part of something."""
        return self.named(f"{whole}, {self.subject}")

    def named(self, subject: str) -> UserError:
        """The same error about a subject of another name."""
        return UserError(subject, expected=self.expected, got=self.got, do=self.do, otherwise=self.otherwise)


class JointUserError(UserError):
    """Several mistakes at once, one after another in one message.

    Attributes:
        errors: each of them.
    """

    def __init__(self, errors: Sequence[UserError]) -> None:
        self.errors = tuple(errors)
        first = self.errors[0]
        self.subject, self.expected, self.got = first.subject, first.expected, first.got
        self.do, self.otherwise = first.do, first.otherwise
        count = f"{len(self.errors)} mistakes:"
        ValueError.__init__(self, "\n".join([count, *(f"- {error}" for error in self.errors)]))

    def of(self, whole: str) -> UserError:
        """The same errors, each about a part of something."""
        return JointUserError([error.of(whole) for error in self.errors])


def _as_it_was(kind: type[UserError], args: tuple[Any, ...], attributes: dict[str, Any]) -> UserError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(attributes)
    return error


def together(errors: Sequence[UserError]) -> UserError:
    """One error for one mistake or for several; at least one is given."""
    return errors[0] if len(errors) == 1 else JointUserError(errors)


class NonFiniteLossError(CodirError):
    """A loss term became NaN or infinite; training stopped before the step was taken."""


class IncompleteArtifactError(CodirError):
    """A checkpoint, cache or export was found half-written."""


def nearest(word: str, known: Iterable[str]) -> str:
    """Suggest the valid word nearest to `word`, for the end of an error message.

    Example:
        >>> nearest("temprature", ["temperature", "weight"])
        "did you mean 'temperature'?"
        >>> nearest("zzz", ["temperature", "weight"])
        "valid values are 'temperature', 'weight'"
    """
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1)
    if close:
        return f"did you mean '{close[0]}'?"
    return "valid values are " + ", ".join(f"'{name}'" for name in known)
