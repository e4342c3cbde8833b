"""A part of `make torture-files`, and that the torture sees what it is there to see."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
import torture_files
from torture_files import DAMAGERS, HARMLESS, REFUSED, REPAIRED, SILENT, SUBJECTS, TRACEBACK, UNKNOWABLE, Subject

from codir.errors import CodirError

PARTS = {"cache": 0.5, "corpus": 0.4, "runs": 1, "recipe": 0.3, "checkpoint": 0.1, "model": 0.5}
"""Share of the cases of each subject that is tried here."""


@pytest.mark.training
@pytest.mark.parametrize("name", SUBJECTS)
def test_a_damaged_file_that_is_used_in_silence_or_ends_in_another_librarys_error(name, tmp_path):
    cases = list(torture_files.torture([name], part=PARTS[name], seed=0, folder=tmp_path))
    assert cases
    assert not torture_files.failures_in(cases)


def test_subjects_or_kinds_of_damage_that_went_missing():
    assert set(SUBJECTS) == set(PARTS)
    assert len(DAMAGERS) == 7


@pytest.fixture
def subject(tmp_path) -> Subject:
    """Two files, read as they are."""
    for place, content in (("whole", range(1, 200)), ("other", range(100, 250))):
        (tmp_path / place).mkdir()
        (tmp_path / place / "table").write_bytes(bytes(content))
        (tmp_path / place / "unread").write_bytes(bytes(content))
    files = [Path("table"), Path("unread")]
    return Subject("bytes", tmp_path / "whole", tmp_path / "other", files, lambda place: (place / "table").read_bytes())


def raises(error: Exception):
    def read(_: Path):
        raise error

    return read


def warns(place: Path) -> bytes:
    torture_files.logging.getLogger("codir.somewhere").warning("table is damaged")
    return bytes(range(1, 200))


@pytest.mark.parametrize(
    ("changes", "file", "verdict"),
    [
        ({}, "table", SILENT),
        ({}, "unread", HARMLESS),
        ({"read": warns}, "table", REPAIRED),
        ({"read": raises(CodirError("table is damaged"))}, "table", REFUSED),
        ({"read": raises(KeyError("table"))}, "table", TRACEBACK),
        ({"has_checksums": False}, "table", UNKNOWABLE),
    ],
)
@pytest.mark.parametrize("damage", ["flipped bit", "zeroed block", "of another run", "rolled or random"])
def test_a_torture_that_sees_nothing(subject, tmp_path, changes, file, verdict, damage):
    tried = Subject(**{**vars(subject), **changes})
    expected = bytes(range(1, 200))
    case = torture_files.try_case(tried, Path(file), damage, expected, tmp_path / "case", random.Random(0))
    assert case is not None
    assert case.verdict == verdict
    assert bool(torture_files.failures_in([case])) == (verdict in (SILENT, TRACEBACK))


@pytest.mark.parametrize("damage", ["cut short", "empty"])
def test_a_file_without_checksums_that_is_no_longer_one_and_counts_as_unknowable(subject, tmp_path, damage):
    tried = Subject(**{**vars(subject), "has_checksums": False})
    case = torture_files.try_case(tried, Path("table"), damage, bytes(range(1, 200)), tmp_path / "c", random.Random(0))
    assert case is not None
    assert case.verdict == SILENT


def test_an_exit_code_that_says_all_is_well(subject, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(torture_files, "SUBJECTS", {"bytes": lambda _: subject})
    monkeypatch.setattr(torture_files, "quiet", lambda: None)
    assert torture_files.main(["--only", "bytes", "--json", str(tmp_path / "counts.json")]) == 1
    assert SILENT in capsys.readouterr().out
    counts = json.loads((tmp_path / "counts.json").read_text())
    assert counts["verdicts"]["bytes"][SILENT] >= 1
    assert counts["damaged"] == sum(counts["verdicts"]["bytes"].values())


def test_a_part_that_differs_from_run_to_run(subject, monkeypatch, tmp_path):
    monkeypatch.setattr(torture_files, "SUBJECTS", {"bytes": lambda _: subject})
    drawn = []
    for number in range(2):
        (tmp_path / str(number)).mkdir()
        drawn.append(list(torture_files.torture(["bytes"], part=0.5, seed=3, folder=tmp_path / str(number))))
    assert drawn[0] == drawn[1]
    assert 1 <= len(drawn[0]) <= 7
