"""What is shown or written is plain, short and without secrets: messages, notes, reports and records pass through here.

Knows texts and nested values; knows nothing of where they go.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HIDDEN = "***"
"""Stands where a secret stood."""
LONGEST_READ = 20_000
"""Characters of a text that are looked at, before it is shortened."""

_SECRET = (
    r"(?:api[_-]?key|access[_-]?key|private[_-]?key|passw(?:or)?d|passphrase|secret|credential"
    r"|token(?!s|i[sz]|[_-](?:kl|cosine|label|ids?|type|class|accuracy|macro)))"
)
_SECRET_NAME = re.compile(_SECRET, re.IGNORECASE)
_VALUE = r"""(?:"[^"]*"|'[^']*'|[^\s"'`,;&}\]]+)"""
_ASSIGNED = re.compile(rf"""({_SECRET}[\w-]{{0,40}}["'`]?\s?=\s?){_VALUE}""", re.IGNORECASE)
_QUOTED = re.compile(rf"""(["'][\w.-]{{0,40}}{_SECRET}[\w-]{{0,40}}["']\s?:\s?){_VALUE}""", re.IGNORECASE)
_IN_URL = re.compile(r"""(\w:/{1,2})[^\s/@'"]+@""")
_BY_SHAPE = re.compile(r"\b(?:hf_[A-Za-z0-9]{16,}|gh[opsu]_[A-Za-z0-9]{16,}|sk-[A-Za-z0-9_-]{20,}|AKIA[A-Z0-9]{16})\b")

_ABSOLUTE = re.compile(r"""(?<![\w.:/~-])~?/(?:[^\s/'"`,;()]+/)*([^\s/'"`,;()]+)/?""")

_LINE_BREAKS = "\t\n\v\f\r\x85\u2028\u2029"
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
"""Controls, marks that turn the direction of writing, lone surrogates."""


def plain(value: object, *, longest: int = 300, lines: bool = False) -> str:
    """A value as a message may repeat it: printable, without secrets, shortened in the middle.

    Args:
        value: a text, or anything with one, such as an exception.
        longest: characters that are left.
        lines: keep the ends of lines, instead of a space for each.

    Example:
        >>> plain("red: \\x1b[31m, then a\\nnew line"), plain("x" * 1000, longest=9)
        ('red: \\\\x1b[31m, then a new line', 'xxxxxx…xx')
        >>> plain("--set training.hub_token=hf_abc")
        '--set training.hub_token=***'
    """
    return shorten(printable(redact(shorten(as_text(value), LONGEST_READ)), lines=lines), longest)


def counted(number: float, what: str, many: str | None = None) -> str:
    """A number of things.

    Args:
        number: how many.
        what: one of them.
        many: several of them; by default with an s at its end.

    Example:
        >>> counted(1, "row"), counted(12_000, "row"), counted(0.5, "point"), counted(2, "query", "queries")
        ('1 row', '12,000 rows', '0.5 points', '2 queries')
    """
    written = f"{number:,}" if isinstance(number, int) else f"{number:g}"
    return f"{written} {what if number == 1 else many or what + 's'}"


def as_text(value: object) -> str:
    """The text of a value, even of one that cannot be written out, such as a number of 5,000 digits.

    Example:
        >>> as_text(10**5000)
        'a value too long to show (int)'
    """
    try:
        return str(value)
    except (ValueError, RecursionError):
        return f"a value too long to show ({type(value).__name__})"


def as_literal(value: object) -> str:
    """As Python writes a value, without the secrets in it."""
    try:
        return repr(redacted(value))
    except (ValueError, RecursionError):
        return as_text(value)


def printable(text: str, *, lines: bool = False) -> str:
    """Write out characters that a terminal would obey, such as escape codes; ends of lines become spaces."""

    def written_out(found: re.Match[str]) -> str:
        character = found[0]
        if character in _LINE_BREAKS:
            return character if lines and character == "\n" else " "
        return (
            character.encode("ascii", "backslashreplace").decode() if ord(character) > 0x7F else repr(character)[1:-1]
        )

    return _UNPRINTABLE.sub(written_out, text)


def shorten(text: str, longest: int) -> str:
    """Leave the beginning and the end of a text that is too long."""
    if len(text) <= longest:
        return text
    tail = longest // 4
    return f"{text[: longest - tail - 1]}…{text[len(text) - tail :]}"


def short_paths(text: str) -> str:
    """Absolute paths in a text as they read from the working directory, or else from home: a report travels.

    Example:
        >>> short_paths(f"--data={Path.cwd() / 'train.csv'} {Path.home() / 'teacher'}")
        '--data=train.csv ~/teacher'
    """
    for folder, instead in ((Path.cwd(), ""), (Path.home(), "~/")):
        if folder != Path(folder.anchor):
            text = re.sub(rf"(?<![\w./~-]){re.escape(str(folder))}/", instead, text)
    return text


def without_paths(text: str) -> str:
    """Absolute paths in a text as their last names alone: what is published says nothing of a user's folders.

    Example:
        >>> without_paths("read from /mnt/me/data/train.csv and ~/teacher; see https://arxiv.org/abs/2009.14167")
        'read from train.csv and teacher; see https://arxiv.org/abs/2009.14167'
    """
    return _ABSOLUTE.sub(r"\1", text)


def public_name(name: str) -> str:
    """What a model or a data set may be called elsewhere: the last name of a path that is there, or the name itself.

    Args:
        name: a path, or a name on the hub.

    Example:
        >>> public_name(str(Path.home())) == Path.home().name, public_name("org/model"), public_name("/x/teacher")
        (True, 'org/model', 'teacher')
    """
    path = Path(name).expanduser()
    return path.resolve().name if path.is_absolute() or path.exists() else without_paths(name)


# ---- Secrets ----


def is_secret(name: str) -> bool:
    """Whether a key is named like a secret; the objectives, metrics and counts that speak of tokens are none.

    Example:
        >>> [is_secret(name) for name in ("hub_token", "API-KEY", "token_kl", "token_accuracy", "num_tokens")]
        [True, True, False, False, False]
    """
    return _SECRET_NAME.search(name) is not None


def redact(text: str) -> str:
    """Hide secrets in a text: what is assigned to a name of one, user and password in a URL, keys of a known shape.

    Example:
        >>> redact("https://me:pass@host/data?token=abc")
        'https://***@host/data?token=***'
    """
    for pattern in (_ASSIGNED, _QUOTED, _IN_URL):
        text = pattern.sub(rf"\1{HIDDEN}{'@' if pattern is _IN_URL else ''}", text)
    return _BY_SHAPE.sub(HIDDEN, text)


def redacted(content: Any) -> Any:
    """Nested content with its secrets hidden, by their keys and by what they look like; ready for a file.

    Example:
        >>> redacted({"training": {"hub_token": "abc", "seed": 0}, "source": "https://me:pass@host"})
        {'training': {'hub_token': '***', 'seed': 0}, 'source': 'https://***@host'}
    """
    if isinstance(content, Mapping):
        return {
            key: HIDDEN if value is not None and is_secret(str(key)) else redacted(value)
            for key, value in content.items()
        }
    if isinstance(content, list | tuple):
        return type(content)(map(redacted, content)) if type(content) in (list, tuple) else [*map(redacted, content)]
    return redact(content) if isinstance(content, str) else content


def redacted_words(words: Sequence[str]) -> list[str]:
    """The words of a command line with secrets hidden: after `=`, or as the word after a flag.

    Example:
        >>> redacted_words(["codir", "--hub-token", "a b", "--set", "training.hub_token=a b"])
        ['codir', '--hub-token', '***', '--set', 'training.hub_token=***']
    """
    shown: list[str] = []
    for place, word in enumerate(words):
        before = words[place - 1] if place else ""
        name, equals, _ = word.partition("=")
        if before.startswith("--") and "=" not in before and is_secret(before):
            shown.append(HIDDEN)
        else:
            shown.append(f"{name}={HIDDEN}" if equals and is_secret(name.rpartition(".")[2]) else redact(word))
    return shown
