"""What leaves codir: no secrets, no control characters, nothing endless."""

from __future__ import annotations

import errno
import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codir.errors import LONGEST, LONGEST_MESSAGE, UserError, naming, of_files, together
from codir.errors.shown import plain, redact, redacted, redacted_words
from codir.tasks import KINDS

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
ANY_TEXT = st.text(st.characters(exclude_categories=()))
SECRET = "s3cr3t-9"


@given(ANY_TEXT)
def test_a_character_that_a_terminal_obeys(text):
    shown = plain(text)
    assert not CONTROL.search(shown)
    assert len(shown) <= 300
    shown.encode()


def test_two_full_stops_after_a_message_within_a_message():
    first = UserError("K", expected="at most 12", got="100", do="did you mean `k`?")
    whole = UserError("sweep", expected="a student", got=str(first), otherwise=str(first), do="fix what it names.")
    assert ".." not in str(whole)
    assert "?." not in str(whole)
    assert str(whole).endswith("What to do: fix what it names.")


@given(*[ANY_TEXT] * 5)
def test_a_message_that_is_endless(subject, expected, got, otherwise, do):
    long = [part * 500 for part in (subject, expected, got, otherwise, do)]
    error = UserError(long[0], expected=long[1], got=long[2], otherwise=long[3], do=long[4])
    assert len(str(error)) <= sum(LONGEST.values()) + 60 <= LONGEST_MESSAGE
    assert not CONTROL.search(str(error))


def test_a_thousand_mistakes_in_one_message():
    error = UserError("k", expected="a" * 900, got="b" * 900, do="c" * 900)
    said = str(together([error] * 1000))
    assert len(said) <= LONGEST_MESSAGE
    assert "and 999 more" in said
    assert str(together([UserError("k", expected="a", got="b", do="c")] * 3)).count("What to do") == 3


@pytest.mark.parametrize(
    "text",
    [
        f"--set training.hub_token={SECRET}",
        f"HF_TOKEN={SECRET} codir distill",
        f"{{'api_key': '{SECRET}'}}",
        f'{{"password": "{SECRET}"}}',
        f"https://me:{SECRET}@host/path",
        f"https://{SECRET}@host/path",
        f"file https:/me:{SECRET}@host/path, as a path has it",
        f"https://host/?access_token={SECRET}&x=1",
        f"client-secret = '{SECRET}'",
        f"wandb_api_key={SECRET}",
    ],
)
def test_a_secret_in_a_message(text):
    assert SECRET not in redact(text)
    assert SECRET not in str(UserError(text, expected=text, got=text, do=text, otherwise=text))


@pytest.mark.parametrize("key", ["hub_token", "token", "Password", "client_secret", "api_key", "API-KEY", "apikey"])
def test_a_secret_under_its_key(key):
    content = {"a": [{key: SECRET}], "b": {key: {"inner": SECRET}}, "c": {key: None}}
    assert SECRET not in str(redacted(content))
    assert redacted(content)["c"] == {key: None}
    assert redacted(redacted(content)) == redacted(content)
    assert SECRET not in " ".join(
        redacted_words(["codir", f"--{key}", SECRET, f"--{key}={SECRET}", f"a.{key}={SECRET} x"])
    )


def test_words_of_the_field_that_are_taken_for_secrets():
    content = {"token_kl": {"weight": 1.0}, "token_label": 1, "tokenizer": "x", "num_tokens": 3, "pad_token_id": 0}
    assert redacted(content) == content
    for text in ("the student tokenizer: expected one", "objectives.token_cosine.weight=0.5", "num_tokens=3", "a@b.c"):
        assert redact(text) == text


def test_a_metric_that_is_taken_for_a_secret():
    """`token_accuracy` was, so the reports and comparisons of tags had `***` in its place."""
    metrics = {f"eval_{name}_dev": 0.5 for kind in KINDS.values() for name in (*kind.known_metrics, *kind.own_metrics)}
    assert "eval_token_accuracy_dev" in metrics
    assert redacted(metrics) == metrics


def test_a_number_of_5000_digits():
    assert str(UserError("k", expected="x", got=plain(10**5000), do="y"))


@pytest.mark.parametrize(
    "code", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EFBIG]
)
def test_what_the_system_refuses_as_a_fault_of_codir(code):
    with pytest.raises(UserError, match=r"'/some/file'.*What to do"), naming("/some/file"):
        raise OSError(code, os.strerror(code))
    wrapped = RuntimeError("a library's own words")
    wrapped.__cause__ = OSError(code, os.strerror(code), "/named")
    assert "/named" in str(of_files(wrapped))


def test_a_full_disk_that_is_called_by_the_name_of_what_was_copied_to_it():
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/from/model.onnx", None, "/full/model.onnx")
    assert str(of_files(full)).startswith("'/full/model.onnx'")
    unread = OSError(errno.EACCES, os.strerror(errno.EACCES), "/from/model.onnx", None, "/to/model.onnx")
    assert str(of_files(unread)).startswith("'/from/model.onnx'")


def test_a_broken_connection_as_a_file_of_the_users():
    assert of_files(ConnectionResetError(errno.ECONNRESET, "reset")) is None
    assert of_files(ValueError("x")) is None
    with pytest.raises(ConnectionResetError), naming("x"):
        raise ConnectionResetError(errno.ECONNRESET, "reset")
