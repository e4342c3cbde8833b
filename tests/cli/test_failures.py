"""How a command ends: the exit code, one message, and a terminal that shows it as it stands."""

from __future__ import annotations

import errno
import logging
import os
import sys
from pathlib import Path

import pytest

from codir import cli
from codir.cli.failures import PlainFormatter
from codir.errors import UserError
from codir.runs import answers


def end(monkeypatch, capsys, error: Exception, *words: str) -> tuple[int, str]:
    """Exit code and message of a command that raises this."""

    def fail() -> None:
        raise error

    monkeypatch.setattr(cli, "app", fail)
    monkeypatch.setattr(sys, "argv", ["codir", *words])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return int(stop.value.code), capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UserError("k", expected="x", got="y", do="z"), 2),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), 2),
        (PermissionError(errno.EACCES, "no", "/here"), 2),
        (RuntimeError("of codir"), 1),
        (ConnectionResetError(errno.ECONNRESET, "reset"), 1),
        (KeyError("\x1b[31m[bold]x[/red]"), 1),
    ],
)
def test_an_exit_code_that_blames_the_wrong_one(monkeypatch, capsys, error, code):
    found, said = end(monkeypatch, capsys, error)
    assert found == code
    assert "Traceback" not in said
    assert "\x1b" not in said
    assert ("What to do" in said) == (code == 2)
    assert ("--debug" in said) == (code == 1)


def test_a_library_that_wraps_a_full_disk(monkeypatch, capsys):
    error = RuntimeError("unexpected pos 64 vs 0")
    error.__context__ = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/out/model.bin")
    found, said = end(monkeypatch, capsys, error)
    assert found == 2
    assert "/out/model.bin" in said


def test_a_debug_that_shows_no_traceback(monkeypatch):
    def fail() -> None:
        raise RuntimeError("here")

    monkeypatch.setattr(cli, "app", fail)
    monkeypatch.setattr(sys, "argv", ["codir", "--debug"])
    with pytest.raises(RuntimeError, match="here"):
        cli.main()


def test_a_usage_error_that_paints_the_terminal(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["codir", "distill", "--fo\x1b[31mo" + "x" * 5000])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    said = capsys.readouterr().err
    assert stop.value.code == 2
    assert "\x1b" not in said
    assert len("".join(said.split())) < 3000


def test_a_note_that_paints_the_terminal():
    record = logging.LogRecord("codir", logging.WARNING, "", 0, "%s: token=s3cr3t", ("a\x1b[31m\r\nb",), None)
    shown = PlainFormatter("%(message)s").format(record)
    assert shown.splitlines() == ["a\\x1b[31m ", "b: token=***"]


def test_metrics_written_through_a_link_or_over_a_device(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "link.json").symlink_to(tmp_path / "mine")
    answers.write_json(tmp_path / "link.json", {"accuracy": 1.0})
    assert (tmp_path / "mine").read_text() == "mine"
    assert "accuracy" in (tmp_path / "link.json").read_text()
    for place in (tmp_path, Path("/dev/null"), tmp_path / "mine" / "x.json", Path("/proc/self/x/y.json")):
        with pytest.raises(UserError, match="What to do"):
            answers.check_file(place)


def test_a_recipe_that_is_written_over_with_the_metrics_it_asked_for(tmp_path, monkeypatch, capsys):
    recipe = tmp_path / "evaluation.yaml"
    recipe.write_text("model: teacher\ndata: dev.csv\n")
    monkeypatch.setattr(sys, "argv", ["codir", "evaluate", str(recipe), "--output", str(recipe)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2
    assert "a place apart from all that is read, such as `recipe`" in capsys.readouterr().err
    assert recipe.read_text().startswith("model: teacher")


@pytest.mark.parametrize("output", ["runs/student", "x" * 300, "nul\\0"])
def test_a_run_that_is_evaluated_before_it_is_done(tmp_path, monkeypatch, capsys, output):
    """Its recipe names a place where no model is yet: that is said, and no hub is asked for it."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f'teacher: teacher\ndata: reviews.csv\noutput_dir: "{output}"\n')
    monkeypatch.setattr(sys, "argv", ["codir", "evaluate", str(recipe)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2
    assert "do that run first" in " ".join(capsys.readouterr().err.split())
