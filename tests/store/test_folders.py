"""Folders must be whole or not there, scratch must go with its process, and nothing of anybody else's is touched."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import stat
import subprocess
import sys

import pytest

from codir.store import (
    BUILDING,
    DRAFTS,
    READING,
    RUN,
    FolderError,
    claim_disk,
    clear_place,
    files_added_whole,
    folders,
    scratch_folder,
    sweep,
    write_whole,
    writing_to,
    written_whole,
)

PREFIXES = (BUILDING, DRAFTS, READING, RUN)

STANDS_STILL = """
import sys, time
from contextlib import ExitStack
from pathlib import Path
from codir.store import scratch_folder, written_whole
with ExitStack() as stack:
    for prefix in sys.argv[2:]:
        folder = stack.enter_context(scratch_folder(Path(sys.argv[1]), prefix))
        (folder / "0.part").write_text("half")
    folder = stack.enter_context(written_whole(Path(sys.argv[1], "whole")))
    (folder / "half").write_text("half")
    print("ready", flush=True)
    time.sleep(600)
"""

REMOVES_HALF = """
import os, signal, sys
from itertools import count
from pathlib import Path
from codir.store import RUN, scratch_folder
with scratch_folder(Path(sys.argv[1]), RUN) as folder:
    (folder / "checkpoint-1").mkdir()
    for name in ("checkpoint-1/model", "checkpoint-1/state", "log"):
        (folder / name).write_text("whole")
    removals = count()
    def killed(event, _):
        if event in ("os.remove", "os.rmdir") and next(removals) == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(killed)
"""


@pytest.fixture
def standing(tmp_path):
    """A process that holds one scratch folder of each kind, and stands still."""
    process = subprocess.Popen(
        [sys.executable, "-c", STANDS_STILL, str(tmp_path / "parent"), *PREFIXES], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield process, tmp_path / "parent"
    process.kill()
    process.wait()
    process.stdout.close()


def test_what_a_killed_process_left_that_stays_and_what_a_living_one_needs_that_goes(standing):
    process, parent = standing
    assert len(list(parent.iterdir())) == len(PREFIXES) + 1
    sweep(parent)
    assert len(list(parent.rglob("0.part"))) == len(PREFIXES), "its process lives"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with scratch_folder(parent, DRAFTS) as scratch:
        assert list(parent.iterdir()) == [scratch]
    assert list(parent.iterdir()) == []


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_folder_of_that_name_that_is_not_codirs(tmp_path, prefix):
    mine, link, file = (tmp_path / f"{prefix}{name}" for name in ("mine", "link", "file"))
    mine.mkdir()
    (mine / "thesis.txt").write_text("mine")
    link.symlink_to(mine)
    file.write_text("mine")
    os.utime(mine, (0, 0))
    sweep(tmp_path)
    assert (link / "thesis.txt").read_text() == file.read_text() == "mine"


def test_an_empty_scratch_folder_of_a_process_killed_at_once(tmp_path):
    (tmp_path / f"{RUN}empty").mkdir()
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("removals", range(6))
def test_a_process_killed_while_it_removes_its_scratch_folder(tmp_path, removals):
    """Wherever the kill falls, what it leaves is known as scratch: the owner goes last."""
    killed = subprocess.run([sys.executable, "-c", REMOVES_HALF, str(tmp_path), str(removals)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 1
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_scratch_folder_that_is_swept_before_it_has_its_owner(tmp_path, monkeypatch):
    acquire, swept = folders.FileLock.acquire, []

    def swept_first(self, *args, **settings):
        if not swept:
            swept.append(shutil.rmtree(os.path.dirname(self.lock_file)))
        return acquire(self, *args, **settings)

    monkeypatch.setattr(folders.FileLock, "acquire", swept_first)
    with scratch_folder(tmp_path, RUN) as scratch:
        assert scratch.is_dir()
    assert swept
    assert list(tmp_path.iterdir()) == []


def test_no_folder_or_a_file_that_stops_the_sweep(tmp_path):
    (tmp_path / "file").write_text("x")
    for place in (tmp_path / "none", tmp_path / "file", tmp_path / ("x" * 5000)):
        sweep(place)


# ---- Folders that take a place ----


def test_a_folder_half_made_before_that_is_kept_in_place_of_the_whole_one(tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "table").write_text("half")
    with written_whole(tmp_path / "cache") as staging:
        (staging / "table").write_text("whole")
    assert (tmp_path / "cache" / "table").read_text() == "whole"


def test_an_old_folder_that_is_gone_before_the_new_one_is_whole(tmp_path):
    (tmp_path / "cache").mkdir()
    with pytest.raises(KeyboardInterrupt), written_whole(tmp_path / "cache"):
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


def make_folder(place):
    place.mkdir()
    (place / "a.npy").write_text("ours")
    return place


def foreign_file(place):
    (make_folder(place) / "thesis.txt").write_text("mine")


def foreign_folder(place):
    (make_folder(place) / "a.npy").unlink()
    (place / "b.npy").mkdir()


def foreign_link(place):
    (make_folder(place) / "b.npy").symlink_to(place.parent)


def link_to_a_folder(place):
    place.symlink_to(make_folder(place.with_name("elsewhere")))


def plain_file(place):
    place.write_text("mine")


@pytest.mark.parametrize("make", [foreign_file, foreign_folder, foreign_link, link_to_a_folder, plain_file])
def test_what_codir_did_not_write_that_is_deleted(tmp_path, make, caplog):
    make(tmp_path / "cache")
    before = (tmp_path / "cache").lstat().st_ino
    clear_place(tmp_path / "cache", own=["*.npy"])
    assert not os.path.lexists(tmp_path / "cache")
    (aside,) = tmp_path.glob(".set-aside-cache-*")
    assert aside.lstat().st_ino == before
    assert str(aside) in caplog.text
    if make is link_to_a_folder:
        assert (tmp_path / "elsewhere" / "a.npy").exists()


def test_a_damaged_folder_of_codirs_own_that_stays(tmp_path):
    make_folder(tmp_path / "cache")
    clear_place(tmp_path / "cache", own=["*.npy"])
    clear_place(tmp_path / "cache", own=["*.npy"])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_place_of_a_file_that_cannot_be_written(tmp_path):
    foreign_file(tmp_path / "run.json")
    write_whole(tmp_path / "run.json", "whole")
    assert (tmp_path / "run.json").read_text() == "whole"
    assert len(list(tmp_path.glob(".set-aside-*/thesis.txt"))) == 1


# ---- Permissions ----


@pytest.fixture(params=[0o022, 0o077, 0o002], ids=oct)
def umask(request):
    """The umask of this process, for one test."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes_under(folder) -> dict[str, set[int]]:
    """Permissions of all that is in a folder, of folders and of files."""
    paths = [(path, stat.S_IMODE(path.stat().st_mode)) for path in folder.rglob("*")]
    return {kind: {mode for path, mode in paths if path.is_dir() == (kind == "dir")} for kind in ("dir", "file")}


def test_files_that_others_cannot_read_or_that_they_can_although_the_umask_says_no(tmp_path, umask):
    """Also where a library made them for its owner alone."""
    with written_whole(tmp_path / "all" / "cache") as staging:
        (staging / "deep").mkdir(mode=0o700)
        os.close(os.open(staging / "deep" / "table", os.O_CREAT | os.O_WRONLY, 0o600))
    with files_added_whole(tmp_path / "all") as drafts:
        os.close(os.open(drafts / "report", os.O_CREAT | os.O_WRONLY, 0o600))
    write_whole(tmp_path / "all" / "deep" / "run.json", "{}")
    assert modes_under(tmp_path) == {"dir": {0o777 & ~umask}, "file": {0o666 & ~umask}}


# ---- The disk ----


def test_a_file_with_holes_on_a_disk_that_may_fill_up(tmp_path):
    file = tmp_path / "table"
    with file.open("wb") as content:
        content.write(b"head")
        content.truncate(3 << 20)
    claim_disk(file)
    assert file.stat().st_blocks * 512 >= 3 << 20
    assert file.read_bytes() == b"head" + bytes((3 << 20) - 4)


def test_a_file_system_that_cannot_claim_and_a_content_that_is_lost(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EOPNOTSUPP, "not here")

    monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
    test_a_file_with_holes_on_a_disk_that_may_fill_up(tmp_path)


def fails_plainly():
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def fails_behind_another_librarys_error():
    try:
        fails_plainly()
    finally:
        raise ValueError("I/O operation on closed file")


@pytest.mark.parametrize("fail", [fails_plainly, fails_behind_another_librarys_error])
def test_a_full_disk_that_is_not_named_or_leaves_its_scratch(tmp_path, fail):
    def write(out):
        with writing_to(out, "cache", do="leave"), written_whole(out / "cache") as staging:
            (staging / "table").write_text("half")
            fail()

    with pytest.raises(
        FolderError, match=r"cache: expected .*, got .*/out \(No space left on device\).*to do: leave\."
    ):
        write(tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_full_disk_that_a_copy_blames_on_its_source(tmp_path):
    """As `shutil.copy` says it: the file that was read, and then the one that was written."""
    source, out = tmp_path / "source", tmp_path / "out"
    refusal = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(source), None, str(out / "copy"))
    with pytest.raises(FolderError, match=rf"cache: .*got {out} \(No space left"), writing_to(out, "cache", do="leave"):
        raise refusal
    with pytest.raises(OSError, match="No space left") as raised, writing_to(tmp_path / "third", "cache", do="leave"):
        raise refusal
    assert raised.value is refusal


def test_a_fault_of_another_file_or_of_the_code_taken_for_the_folders(tmp_path):
    for error in (FileNotFoundError(errno.ENOENT, "gone", "/elsewhere/data.csv"), ValueError("a bug")):
        with pytest.raises(type(error)) as raised, writing_to(tmp_path, "cache", do="leave"):
            raise error
        assert raised.value is error
