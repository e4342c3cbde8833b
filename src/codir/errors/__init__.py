"""The errors that codir raises on purpose.

A message says four things: what was expected, what was found, what would have happened in silence, and what to do.
Knows nothing of any room.
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from codir.errors.shown import counted, plain

LONGEST = {"subject": 200, "expected": 700, "got": 300, "otherwise": 200, "do": 500}
"""Characters of each part of a message; a value that is repeated in it may be a whole file."""
LONGEST_MESSAGE = 2000


class CodirError(Exception):
    """Base of every error that codir raises on purpose."""


class CompleteError(CodirError):
    """There is nothing left to do: what was to be gone on with is complete. The command line exits with 0."""


class UserError(CodirError, ValueError):
    """The input is at fault, and the user can fix it. The command line exits with 2.

    Example:
        >>> raise UserError("K", expected="at most 12 negatives", got="100", do="lower `num_negatives`")
        Traceback (most recent call last):
        ...
        codir.errors.UserError: K: expected at most 12 negatives, got 100. What to do: lower `num_negatives`.
    """

    def __init__(self, subject: str, *, expected: str, got: str, do: str, otherwise: str | None = None) -> None:
        self.subject, self.expected, self.got = (
            _part("subject", subject),
            _part("expected", expected),
            _part("got", got),
        )
        self.do, self.otherwise = _part("do", do), _part("otherwise", otherwise) if otherwise else None
        silence = f" Otherwise {_ended(self.otherwise)}" if self.otherwise else ""
        found = f"{self.subject}: expected {self.expected}, got {_ended(self.got)}"
        super().__init__(f"{found}{silence} What to do: {_ended(self.do)}")

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
        ValueError.__init__(self, "\n".join([f"{counted(len(self.errors), 'mistake')}:", *_that_fit(self.errors)]))

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


def _ended(text: str) -> str:
    """With a full stop, where the text is no whole sentence yet, such as another error's message."""
    return text if text.endswith((".", "?")) else f"{text}."


def _part(name: str, text: str) -> str:
    return plain(text, longest=LONGEST[name])


def _that_fit(errors: Sequence[UserError]) -> list[str]:
    """The first mistakes in a line each, and how many more there are."""
    lines, size = [f"- {errors[0]}"], len(str(errors[0]))
    for error in errors[1:]:
        size += len(str(error))
        if size > LONGEST_MESSAGE - 100:
            return [*lines, f"- and {len(errors) - len(lines)} more"]
        lines.append(f"- {error}")
    return lines


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


# ---- What the system says of files ----

REMEDIES = {
    errno.ENOSPC: "free some space, or choose another disk",
    errno.EDQUOT: "free some space, or choose another disk",
    errno.EFBIG: "choose a disk that takes files of this size",
    errno.EACCES: "change its permissions, or choose another place",
    errno.EPERM: "change its permissions, or choose another place",
    errno.EROFS: "choose a place that can be written to",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "check the path",
    errno.EISDIR: "give a file in place of a folder",
    errno.EEXIST: "choose another name, or move it away",
    errno.ENOTEMPTY: "choose another name, or move it away",
    errno.ELOOP: "correct the symbolic link",
    errno.EIO: "check the disk",
    errno.ESTALE: "check the disk",
    errno.ENXIO: "give a plain file",
    errno.EINVAL: "check the path",
    errno.EMFILE: "raise the limit of open files (`ulimit -n`)",
}
"""Errors that are about the user's files or machine, and what to do."""
OF_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""Those of a copy that are its goal's."""


def of_files(error: BaseException, path: str | Path | None = None) -> UserError | None:
    """The error for people, where the system's is about files; `None` where it is about something else.

    Args:
        error: any; those that it was raised from are looked at too, since libraries wrap what the system says.
        path: named where the system names none.
    """
    return next((_in_words(cause, path) for cause in refusals_behind(error) if cause.errno in REMEDIES), None)


def refusals_behind(error: BaseException) -> Iterator[OSError]:
    """The system's own errors among those that led to this one: libraries wrap them, or trip over what they left."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        if isinstance(cause, OSError):
            yield cause
        seen.add(id(cause))
        cause = cause.__cause__ or cause.__context__


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """What the system refuses inside the block is a `UserError` that names the path.

    Example:
        >>> with naming("recipe"):  # doctest: +ELLIPSIS
        ...     open("/nowhere/recipe")
        Traceback (most recent call last):
        ...
        codir.errors.UserError: '/nowhere/recipe': expected a file or folder that can be read and written, got ...
    """
    try:
        yield
    except OSError as error:
        found = of_files(error, path)
        if found is None:
            raise
        raise found from error


def _in_words(error: OSError, path: str | Path | None) -> UserError:
    place = error.filename if error.filename is not None else path
    if error.filename2 is not None and error.errno in OF_WRITING:  # of a copy: its goal, not its origin
        place = error.filename2
    reason = (error.strerror or str(error)).lower()
    return UserError(
        "a file" if place is None else f"'{place}'",
        expected="a file or folder that can be read and written",
        got=reason,
        do=REMEDIES[error.errno or 0],
    )
