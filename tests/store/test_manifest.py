"""A folder that was changed in any way must not pass for the one that was written."""

from __future__ import annotations

import errno
import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codir.store import MANIFEST_NAME, Damage, find_damage, manifest, read_json, read_sealed, seal, write_manifest


def make_garbage(place, kind: str) -> None:
    """Something that nobody expects under the name of a JSON file."""
    contents = {
        "empty": b"",
        "list": b"[1, 2]",
        "number": b"7",
        "null": b"null",
        "binary": b"\xff\xfe\x00\x80",
        "NUL": b"\0" * 64,
        "cut short": b'{"seal": "0", "fil',
        "nested list": b"[" * 100_000,
        "nested mapping": b'{"a":' * 3_000 + b"1" + b"}" * 3_000,
        "digits": b'{"seal": ' + b"1" * 5_000 + b"}",
        "surrogate": b'{"seal": "\\ud800", "files": {"\\ud800": 1}}',
        "no number": b'{"seal": NaN}',
        "mapping of nothing": b"{}",
    }
    if kind == "folder":
        place.mkdir()
    elif kind == "dangling link":
        place.symlink_to(place.with_name("nowhere"))
    elif kind == "pipe":
        os.mkfifo(place)
    else:
        place.write_bytes(contents[kind])


GARBAGE = (
    "empty", "list", "number", "null", "binary", "NUL", "cut short", "nested list", "nested mapping", "digits",
    "surrogate", "no number", "mapping of nothing", "folder", "dangling link", "pipe",
)  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """Two files, one of them deeper, and their manifest."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "table").write_bytes(bytes(range(200)))
    (tmp_path / "deep" / "table").write_bytes(bytes(range(100)))
    write_manifest(tmp_path)
    assert find_damage(tmp_path) is None
    return tmp_path


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 199), value=st.integers(0, 255), count=st.integers(1, 60))
def test_bytes_that_changed_without_notice(folder, place, value, count):
    before = (folder / "table").read_bytes()
    after = (before[:place] + bytes([value]) * count + before[place + count :])[: len(before)]
    (folder / "table").write_bytes(after)
    damage = find_damage(folder)
    assert (damage is None) == (after == before)
    if damage is not None:
        assert str(damage) == "table is damaged: its checksum does not match"
    (folder / "table").write_bytes(before)


@pytest.mark.parametrize("name", ["table", "deep/table"])
def test_a_file_that_is_gone_or_shorter_or_longer(folder, name):
    size = (folder / name).stat().st_size
    with (folder / name).open("ab") as content:
        content.write(b"0")
    assert str(find_damage(folder)) == f"{name} has {size + 1} bytes instead of {size}"
    os.truncate(folder / name, 0)
    assert str(find_damage(folder)) == f"{name} has 0 bytes instead of {size}"
    (folder / name).unlink()
    assert str(find_damage(folder)) == f"{name} is missing"


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_that_raises_or_passes(folder, kind):
    """In the manifest's place, and in that of a file that it lists."""
    (folder / MANIFEST_NAME).unlink()
    make_garbage(folder / MANIFEST_NAME, kind)
    for damage in (find_damage(folder), read_sealed(folder / MANIFEST_NAME)):
        assert isinstance(damage, Damage)
        assert damage.file == MANIFEST_NAME
    read_json(folder / MANIFEST_NAME)
    assert len(GARBAGE) == 16


@pytest.mark.parametrize("content", [{}, {"files": []}, {"files": {"table": 1}}, {"files": {"table": {}}}])
def test_a_sealed_file_of_another_kind_taken_for_a_manifest(folder, content):
    (folder / MANIFEST_NAME).write_text(json.dumps(seal(content)))
    assert isinstance(find_damage(folder), Damage)


def test_a_file_in_use_that_no_manifest_lists(folder):
    (folder / "later").write_text("x")
    assert find_damage(folder) is None
    assert str(find_damage(folder, listed=["table", "later"])) == "manifest.json does not list later"


def test_a_manifest_of_another_folder(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    (other / "table").write_bytes(b"other")
    write_manifest(other)
    os.replace(other / MANIFEST_NAME, folder / MANIFEST_NAME)
    assert find_damage(folder) == Damage("table", "has 200 bytes instead of 5")


def test_a_file_at_the_top_that_may_change_and_one_below_that_may_not(folder):
    write_manifest(folder, without=["table"])
    (folder / "table").write_bytes(b"")
    assert find_damage(folder) is None
    (folder / "deep" / "table").write_bytes(b"")
    assert find_damage(folder) is not None


def test_a_file_that_cannot_be_read_and_raises(folder, monkeypatch):
    def refuse(_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(manifest, "_hash", refuse)
    assert find_damage(folder).fault == "cannot be read (Permission denied)"


@pytest.mark.parametrize("content", [{1: "a", 10: "b", 2: "c"}, {"a": (1, 2)}, {"é": [1.5, 1e-300, -0.0, None, True]}])
def test_a_seal_that_does_not_fit_what_is_read_again(tmp_path, content):
    file = tmp_path / "sealed.json"
    file.write_text(json.dumps(seal(content), indent=1))
    assert read_sealed(file) == json.loads(json.dumps(content))
