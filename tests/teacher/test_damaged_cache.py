"""A cache that is not what was written must be named and built anew; one broken neighbour must stop nobody."""

from __future__ import annotations

import errno
import json
import logging
import os
import stat
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from codir.errors import UserError
from codir.objectives import SoftTarget, WeightedObjectives
from codir.signals import Representation
from codir.store import BUILDING, FolderError, write_manifest
from codir.teacher import CacheKey, LiveTeacher, TeacherView, cache, find_cache, found, open_or_build_cache
from codir.trainer import DistillationArguments, DistillationTrainer
from families import tiny_classifier

TWO_LAYERS, LAST = Representation((1, 3)), Representation("last")


@pytest.fixture
def running(teacher, texts, tokenizer) -> LiveTeacher:
    return LiveTeacher(teacher, texts, tokenizer, TeacherView(frozenset({TWO_LAYERS})), max_length=16)


def bits_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def save_as(table: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        np.save(folder / f"{table}.npy", change(np.load(folder / f"{table}.npy")))

    return damage


def with_new_manifest(damage: Callable[[Path], None]) -> Callable[[Path], None]:
    """As if codir itself had written the wrong thing: only the key can say so."""

    def damage_and_list(folder: Path) -> None:
        damage(folder)
        write_manifest(folder)

    return damage_and_list


def unlisted(folder: Path) -> None:
    table = (folder / "logits.npy").read_bytes()
    (folder / "logits.npy").unlink()
    write_manifest(folder)
    (folder / "logits.npy").write_bytes(table)


POOLED = "pooled-mean-1-3"
FAULTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "rolled": (save_as("logits", lambda table: np.roll(table, 1, axis=0)), "logits.npy is damaged"),
    "zeroed": (save_as(POOLED, np.zeros_like), f"{POOLED}.npy is damaged"),
    "float16": (save_as(POOLED, lambda table: table.astype(np.float16)), f"{POOLED}.npy has"),
    "a table gone": (lambda folder: (folder / "logits.npy").unlink(), "logits.npy is missing"),
    "an older version": (lambda folder: (folder / "manifest.json").unlink(), "as in caches of older versions"),
    "a table that is not listed": (unlisted, "manifest.json does not list logits.npy"),
    "float16 and listed": (
        with_new_manifest(save_as(POOLED, lambda table: table.astype(np.float16))),
        f"{POOLED}.npy holds float16 of shape (64, 2, 32)",
    ),
    "a layer less": (with_new_manifest(save_as(POOLED, lambda table: table[:, :1])), "of shape (64, 1, 32)"),
    "two axes": (with_new_manifest(save_as(POOLED, lambda table: table[:, 0])), "of shape (64, 32)"),
    "a row less": (with_new_manifest(save_as("logits", lambda table: table[:63])), "different numbers of rows"),
    "no table": (
        with_new_manifest(lambda folder: (folder / "logits.npy").write_bytes(b"x" * 200)),
        "logits.npy cannot be opened",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_damaged_cache_that_is_used_or_not_named_or_not_built_anew(running, tmp_path, caplog, fault):
    damage, said = FAULTS[fault]
    folder = open_or_build_cache(running, tmp_path)
    before = bits_of(folder)
    damage(folder)
    assert open_or_build_cache(running, tmp_path) == folder
    (line,) = [line for line in caplog.messages if line.startswith(f"{folder} is not used as a teacher cache: ")]
    assert said in line
    assert bits_of(folder) == before
    assert [path for path in tmp_path.iterdir() if path.suffix != ".lock"] == [folder]


def test_tables_without_a_key_taken_for_a_cache(running, tmp_path, caplog):
    folder = open_or_build_cache(running, tmp_path)
    before = bits_of(folder)
    save_as("logits", np.zeros_like)(folder)
    (folder / "key.json").unlink()
    assert open_or_build_cache(running, tmp_path) == folder
    assert bits_of(folder) == before
    assert f"{folder} is not used as a teacher cache: key.json is missing" in caplog.text


def test_a_cache_that_was_moved_to_the_name_of_another(running, tmp_path, caplog):
    folder = open_or_build_cache(running, tmp_path)
    moved = folder.rename(folder.with_name("mine"))
    assert open_or_build_cache(running, tmp_path) == folder
    assert f"{moved} is not used as a teacher cache: key.json belongs to a cache of another name" in caplog.text


def test_files_in_a_damaged_cache_that_codir_did_not_write_and_deletes(running, tmp_path, caplog):
    folder = open_or_build_cache(running, tmp_path)
    save_as("logits", np.zeros_like)(folder)
    (folder / "notes.txt").write_text("mine")
    open_or_build_cache(running, tmp_path)
    (aside,) = tmp_path.glob(".set-aside-*")
    assert (aside / "notes.txt").read_text() == "mine"
    assert str(aside) in caplog.text


def test_a_damaged_larger_cache_that_is_read_for_a_part_of_it(running, tmp_path, caplog):
    both = replace_view(running, frozenset({TWO_LAYERS, LAST}))
    larger = open_or_build_cache(both, tmp_path)
    save_as("pooled-mean-4", np.zeros_like)(larger)
    smaller = open_or_build_cache(replace_view(both, frozenset({TWO_LAYERS})), tmp_path)
    assert smaller != larger
    assert not larger.exists()
    assert "pooled-mean-4.npy is damaged" in caplog.text


def replace_view(running: LiveTeacher, pooled: frozenset[Representation]) -> LiveTeacher:
    running.view = replace(running.view, pooled=pooled)
    return running


def test_a_damaged_cache_that_counts_as_one_that_is_there(running, tmp_path):
    """The rule for `auto` asks: a cache that has to be built anew is none."""
    folder = open_or_build_cache(running, tmp_path)
    key = CacheKey.read(folder)
    assert find_cache(key, tmp_path) == folder
    save_as("logits", np.zeros_like)(folder)
    assert find_cache(key, tmp_path) is None


def test_a_cache_that_each_process_of_a_machine_hashes_or_that_one_trusts_without_a_look(
    running, tmp_path, monkeypatch
):
    folder = open_or_build_cache(running, tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(found, "find_damage", lambda *_, **__: pytest.fail("it was hashed again"))
        assert open_or_build_cache(running, tmp_path, is_checked=True) == folder
    save_as(POOLED, lambda table: table.astype(np.float16))(folder)
    with pytest.raises(FolderError, match="the process that was to build it could not"):
        open_or_build_cache(running, tmp_path, is_checked=True)


# ---- Neighbours ----


def key_with(**changes) -> Callable[[Path, CacheKey], None]:
    def make(folder: Path, key: CacheKey) -> None:
        (folder / "key.json").write_text(json.dumps({**asdict(key), **changes}))

    return make


def key_of(content: bytes) -> Callable[[Path, CacheKey], None]:
    return lambda folder, key: (folder / "key.json").write_bytes(content) and None


NEIGHBOURS: dict[str, Callable[[Path, CacheKey], object]] = {
    "a list": key_of(b"[1]"),
    "cut short": key_of(b'{"weights": "a'),
    "empty": key_of(b""),
    "binary": key_of(b"\xff\xfe\x00"),
    "NUL": key_of(b"\0" * 99),
    "nested": key_of(b"[" * 100_000),
    "digits": key_of(b"1" * 5_000),
    "another version": key_of(b'{"weights": "x", "layers": [1]}'),
    "a folder": lambda folder, key: (folder / "key.json").mkdir(),
    "a link to itself": lambda folder, key: (folder / "key.json").symlink_to(folder / "key.json"),
    "tables alone": lambda folder, key: np.save(folder / "logits.npy", np.zeros((64, 2))),
    "another name": key_with(),
    "a table of no teacher": key_with(pooled=["../../secret"]),
    "a text as tables": key_with(pooled="pooled-mean-1"),
    "no tables": key_with(pooled=None),
    "a number that is none": key_with(max_length=True),
    "a dtype that is none": key_with(cache_dtype={"a": []}),
    "weights that are none": key_with(weights=None),
}
NOT_CODIRS: dict[str, Callable[[Path, CacheKey], object]] = {
    "other files": lambda folder, key: (folder / "thesis.txt").write_text("mine"),
    "nothing": lambda folder, key: None,
}


@pytest.mark.parametrize("kind", {**NEIGHBOURS, **NOT_CODIRS})
def test_a_broken_neighbour_that_stops_others_or_is_touched_or_named_twice(running, tmp_path, caplog, kind):
    neighbour = tmp_path / "neighbour"
    neighbour.mkdir()
    {**NEIGHBOURS, **NOT_CODIRS}[kind](neighbour, CacheKey.of(running, "float32"))
    before = sorted(os.listdir(neighbour))
    folders = {open_or_build_cache(running, tmp_path) for _ in range(3)}
    assert len(folders) == 1
    assert sorted(os.listdir(neighbour)) == before
    named = [
        line for line in caplog.messages if line.startswith(f"{neighbour} is not used as a teacher cache: key.json ")
    ]
    assert len(named) == (kind in NEIGHBOURS)


def test_a_key_without_permission_that_stops_others(running, tmp_path, caplog, monkeypatch):
    (tmp_path / "neighbour").mkdir()
    (tmp_path / "neighbour" / "key.json").write_text("{}")
    read_text = Path.read_text

    def refuse(path: Path, *args, **settings) -> str:
        if path.parent.name == "neighbour":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return read_text(path, *args, **settings)

    monkeypatch.setattr(Path, "read_text", refuse)
    assert open_or_build_cache(running, tmp_path).is_dir()
    assert "neighbour is not used as a teacher cache: key.json cannot be read (Permission denied)" in caplog.text


# ---- The folder and its disk ----


@pytest.mark.parametrize("place", ["claim_disk", "write_manifest"])
def test_a_disk_that_is_full_in_the_middle(running, tmp_path, monkeypatch, place):
    def refuse(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(cache, place, refuse)
        with pytest.raises(FolderError, match=rf"got {tmp_path} \(No space left on device\).*`--no-cache`"):
            open_or_build_cache(running, tmp_path)
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]
    assert open_or_build_cache(running, tmp_path).is_dir()


def unusable(tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "file").write_text("x")
    return {
        "a file": tmp_path / "file",
        "under a file": tmp_path / "file" / "cache",
        "a long name": tmp_path / ("x" * 300),
        "a system folder": Path("/proc/codir"),
    }


@pytest.mark.parametrize("kind", ["a file", "under a file", "a long name", "a system folder"])
def test_a_cache_folder_that_cannot_be_and_is_not_named(running, tmp_path, kind):
    place = unusable(tmp_path)[kind]
    with pytest.raises(FolderError, match=r"teacher cache: expected a folder that can be written to, got ") as raised:
        open_or_build_cache(running, place)
    assert str(place)[:100] in str(raised.value)


def trainer_with(wish, cache_dir: Path, tmp_path: Path, texts, tokenizer) -> DistillationTrainer:
    arguments = DistillationArguments(
        str(tmp_path / "run"), teacher_cache=wish, teacher_cache_dir=str(cache_dir), max_length=16, num_train_epochs=3
    )
    return DistillationTrainer(
        tiny_classifier("bert", num_labels=2, seed=1),
        tiny_classifier("bert", num_labels=2, layers=2, seed=2),
        arguments,
        WeightedObjectives({"soft_target": SoftTarget()}, {"soft_target": 1.0}),
        texts,
        processing_class=tokenizer,
    )


@pytest.mark.parametrize("kind", ["a file", "under a file", "a long name"])
def test_a_folder_that_cannot_be_written_and_stops_a_run_whose_teacher_can_run_live(
    tmp_path, texts, tokenizer, caplog, kind
):
    place = unusable(tmp_path)[kind]
    trainer = trainer_with("auto", place, tmp_path, texts, tokenizer)
    assert isinstance(trainer.teacher, LiveTeacher)
    (line,) = [line for line in caplog.messages if "runs live" in line]
    assert str(place)[:100] in line
    with pytest.raises(UserError, match="teacher cache: expected a folder that can be written to"):
        trainer_with(True, place, tmp_path, texts, tokenizer)


def test_a_scratch_folder_that_stays_since_the_cache_was_finished(running, tmp_path):
    """A process was killed after the rename."""
    folder = open_or_build_cache(running, tmp_path)
    left = tmp_path / f"{BUILDING}left"
    left.mkdir()
    (left / ".codir-owner").touch()
    assert open_or_build_cache(running, tmp_path) == folder
    assert not left.exists()


@pytest.mark.parametrize("umask", [0o022, 0o077], ids=oct)
def test_a_shared_cache_that_others_cannot_read(running, tmp_path, umask):
    before = os.umask(umask)
    try:
        folder = open_or_build_cache(running, tmp_path / "shared")
    finally:
        os.umask(before)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in [folder, folder.parent, *folder.iterdir()]}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o777 & ~umask}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o666 & ~umask}


def test_progress_that_is_not_told(running, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    folder = open_or_build_cache(running, tmp_path)
    save_as("logits", np.zeros_like)(folder)
    open_or_build_cache(running, tmp_path)
    assert "(no cache yet)" in caplog.text
    assert f"building {folder}, 0 MB (the one that was there is damaged)" in caplog.text


def test_damage_of_a_cache_built_anew_that_is_not_named_since_it_was_before(running, tmp_path, caplog):
    folder = open_or_build_cache(running, tmp_path)
    for _ in range(2):
        save_as("logits", np.zeros_like)(folder)
        open_or_build_cache(running, tmp_path)
    assert caplog.text.count("logits.npy is damaged") == 2
