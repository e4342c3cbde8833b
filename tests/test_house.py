"""The script that judges the package's shape finds what it is there to find."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
import house


@pytest.fixture
def package(tmp_path, monkeypatch) -> Path:
    """A package with one fault of each kind."""
    package = tmp_path / "codir"
    (package / "config").mkdir(parents=True)
    (package / "memory").mkdir()
    section = 'class Section(Room):\n    size: int = Field(7, description="x")\n    kind: Literal["a", "b"] = "a"\n'
    (package / "config" / "sections.py").write_text(section)
    (package / "memory" / "bank.py").write_text('Kind = Literal["b", "a"]\n\ndef bank(*, size: int = 7): ...\n')
    (package / "config" / "words.py").write_text('SLOTS: Final = 9\nTRAINING: Final = {"rate": 0.5}\n')
    (package / "memory" / "queue.py").write_text("class Queue:\n    slots: int = 9\n    rate: float = 0.5\n")
    (package / "memory" / "long.py").write_text("x = 1\n" * 401)
    monkeypatch.setattr(house, "PACKAGE", package)
    return package


def test_a_second_spelling_of_choices_or_defaults_that_is_not_found(package):
    assert house.choices_said_twice() == ["a | b: codir/config/sections.py:3, codir/memory/bank.py:1"]
    assert house.defaults_said_twice() == [
        "rate=0.5: codir/config/words.py:2, codir/memory/queue.py:1",
        "size=7: codir/config/sections.py:1, codir/memory/bank.py:3",
        "slots=9: codir/config/words.py:1, codir/memory/queue.py:1",
    ]


def test_a_long_file_that_is_not_found(package):
    assert house.long_files() == ["codir/memory/long.py: 401 lines"]


def test_a_cycle_that_is_not_found():
    assert house.cycle_in({"a": {"b"}, "b": {"c"}, "c": set()}) is None
    assert house.cycle_in({"a": {"b"}, "b": {"a"}}) in ("a <- b <- a", "b <- a <- b")
