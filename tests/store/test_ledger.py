"""A run replaces its own files and no others, and nothing goes before the new run is whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from codir.store import Ledger, files_added_whole
from codir.store import ledger as module

OLD = ("config.json", "model.safetensors", "report.md", "baseline/model.safetensors")
MINE = ("report.pdf", "model-backup.safetensors", "checkpoints/mine.txt", "baseline/report.xlsx", "runs/other/1.json")


def write(folder: Path, names, text: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def make_checkpoint(folder: Path, step: int, text: str, *, is_codirs: bool = True) -> None:
    sign = "codir_scaffolding.safetensors" if is_codirs else "pytorch_model.bin"
    write(folder / "checkpoints" / f"checkpoint-{step}", [sign, "optimizer.pt"], text)


@pytest.fixture
def folder(tmp_path) -> Path:
    """A whole run of codir's, among files of someone else."""
    run = tmp_path / "run"
    make_run(run, "old")
    Ledger(run).finish()
    write(run, MINE, "mine")
    make_checkpoint(run, 7, "mine", is_codirs=False)
    return run


def make_run(run: Path, text: str) -> None:
    ledger = Ledger(run)
    ledger.begin(checkpoints=["checkpoints"])
    ledger.add([run / name for name in OLD])
    write(run, OLD, text)
    make_checkpoint(run, 5, text)


def contents(folder: Path) -> dict[str, str]:
    """Every file but the list itself."""
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != module.LEDGER_NAME
    }


def mine(folder: Path) -> dict[str, str]:
    return {name: text for name, text in contents(folder).items() if text == "mine"}


def test_a_file_of_someone_else_that_is_moved_or_removed(folder):
    before = mine(folder)
    assert len(before) == len(MINE) + 2
    Ledger(folder).set_aside()
    outside = {name: text for name, text in contents(folder).items() if not name.startswith(".replaced")}
    assert outside == before
    make_run(folder, "new")
    Ledger(folder).finish()
    assert mine(folder) == before
    assert {text for name, text in contents(folder).items() if name not in before} == {"new"}


def test_an_old_run_that_goes_before_the_new_one_is_whole(folder):
    old = {name: text for name, text in contents(folder).items() if text == "old"}
    for _ in range(3):  # each of them dies before it is whole
        Ledger(folder).set_aside()
        make_run(folder, "new")
        kept = {name.removeprefix(".replaced/"): text for name, text in contents(folder).items() if text == "old"}
        assert kept == old
    Ledger(folder).finish()
    assert "old" not in contents(folder).values()
    assert not (folder / ".replaced").exists()


def test_a_run_that_is_refused_late_and_leaves_the_folder_changed(folder):
    before = contents(folder)
    ledger = Ledger(folder)
    ledger.set_aside()
    ledger.begin()
    ledger.add([folder / "recipe.yaml"])
    write(folder, ["recipe.yaml"], "new")
    ledger.put_back()
    assert contents(folder) == before
    assert ledger.is_whole()


class KilledError(Exception):
    """Stands in for the end of the process."""


def steps_of(act, monkeypatch, *, killed_at: int | None) -> int:
    """How many times the disk is changed; the process dies at one of them."""
    count = 0

    def counted(change):
        def changed(*args, **kwargs):
            nonlocal count
            count += 1
            if count == killed_at:
                raise KilledError
            return change(*args, **kwargs)

        return changed

    with monkeypatch.context() as patch:
        for owner, name in ((module.os, "replace"), (module.shutil, "rmtree"), (Path, "mkdir"), (Path, "unlink")):
            patch.setattr(owner, name, counted(getattr(owner, name)))
        patch.setattr(Ledger, "_append", counted(Ledger._append))
        try:
            act()
        except KilledError:
            assert killed_at is not None
    return count


@pytest.mark.parametrize("act", ["set_aside", "put_back"])
def test_a_kill_at_any_moment_that_loses_an_old_file(tmp_path, monkeypatch, act):
    """Killed at each change of the disk; the next start completes what was begun, and no old file is missing."""

    def prepared(place: Path) -> Ledger:
        make_run(place, "old")
        ledger = Ledger(place)
        ledger.finish()
        if act == "put_back":
            ledger.set_aside()
            ledger.begin()
            ledger.add([place / "recipe.yaml"])
            write(place, ["recipe.yaml"], "new")
        return ledger

    total = steps_of(getattr(prepared(tmp_path / "whole"), act), monkeypatch, killed_at=None)
    assert total > 6
    for moment in range(1, total + 1):
        ledger = prepared(tmp_path / str(moment))
        expected = sorted(Path(name).name for name, text in contents(ledger.folder).items() if text == "old")
        steps_of(getattr(ledger, act), monkeypatch, killed_at=moment)
        Ledger(ledger.folder).set_aside()
        kept = {name: text for name, text in contents(ledger.folder).items() if text == "old"}
        assert sorted(Path(name).name for name in kept) == expected, moment
        assert all(name.startswith(".replaced/") for name in kept), moment
        assert "new" not in contents(ledger.folder).values()


@pytest.mark.parametrize("name", ["../victim", "/etc/victim", "link/victim", "a/../../victim"])
def test_a_list_that_leads_out_of_the_folder(tmp_path, name):
    (tmp_path / "victim").write_text("mine")
    run = tmp_path / "run"
    run.mkdir()
    (run / "link").symlink_to(tmp_path)
    Ledger(run).begin(files=[name], checkpoints=["..", "link"])
    make_checkpoint(tmp_path, 1, "mine")
    Ledger(run).set_aside()
    assert not Ledger(run).names()
    assert (tmp_path / "victim").read_text() == "mine"
    assert contents(tmp_path / "checkpoints")


@pytest.mark.parametrize("damage", ["cut", "garbage", "not-text", "nested"])
def test_a_damaged_list_that_stops_a_run_or_names_other_files(folder, damage):
    file = folder / module.LEDGER_NAME
    content = file.read_bytes()
    if damage == "cut":
        file.write_bytes(content[:-4])
    else:
        rubbish = {"garbage": b'\n{"file": 3\nnull\n[]\n', "not-text": b"\xff\xfe", "nested": b"[" * 5000}[damage]
        file.write_bytes(content + rubbish)
    before = mine(folder)
    Ledger(folder).set_aside()
    assert {name: text for name, text in mine(folder).items() if not name.startswith(".replaced")} == before


def test_files_that_are_added_and_not_listed(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.begin()
    with ledger.listing(), files_added_whole(tmp_path / "baseline") as drafts:
        (drafts / "config.json").write_text("{}")
    with files_added_whole(tmp_path) as drafts:  # after the run
        (drafts / "mine.txt").write_text("mine")
    with ledger.listing(), files_added_whole(tmp_path.parent / "elsewhere") as drafts:
        (drafts / "other.txt").write_text("mine")
    assert ledger.names() == {"baseline/config.json"}


def test_lines_of_two_processes_that_overwrite_each_other(tmp_path):
    first, second = Ledger(tmp_path), Ledger(tmp_path)
    first.begin()
    for number in range(20):
        (first, second)[number % 2].add([tmp_path / f"{number}.json"])
    assert len(first.names()) == 20


def test_a_file_of_someone_else_that_a_run_writes_over(folder):
    """Whatever stands in the place of a file to come and was never listed is set aside, folders too."""
    (folder / "results").mkdir()
    (folder / "results" / "mine.txt").write_text("mine")
    with Ledger(folder).listing(), files_added_whole(folder) as drafts:
        for name in ("report.pdf", "results", "report.md"):
            (drafts / name).write_text("new")
    assert {name: (folder / name).read_text() for name in ("report.pdf", "results", "report.md")} == dict.fromkeys(
        ("report.pdf", "results", "report.md"), "new"
    )
    aside = {name: text for name, text in contents(folder).items() if name.startswith(".set-aside-")}
    assert sorted(aside.values()) == ["mine", "mine"]  # and `report.md`, which is the run's own, is simply replaced


def test_a_file_of_someone_else_in_a_checkpoint_that_goes_with_it(folder):
    note = folder / "checkpoints" / "checkpoint-5" / "notes.txt"
    note.write_text("mine")
    ledger = Ledger(folder)
    ledger.set_aside()
    ledger.begin()
    ledger.finish()
    assert note.read_text() == "mine"
    assert [path.name for path in note.parent.iterdir()] == ["notes.txt"]
