"""What a command shows while it runs: a live display in a terminal, else plain lines, nothing of other libraries."""

from __future__ import annotations

import logging
import os
import re
import struct
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import transformers
from test_cli import files, pretrained, run, teacher  # noqa: F401 - fixtures
from torch import nn
from transformers import PrinterCallback, Trainer, TrainingArguments

from codir.cli import display, tables
from codir.cli.display import check_log_file, shown
from codir.cli.watchers import Lines, Live, in_time
from codir.errors import UserError
from codir.system.progress import Phase, advance, begin, is_watched, phase, watched_by
from codir.trainer import watched
from codir.trainer.watching import Watching

DICTS = re.compile(r"\{'|': [\d'\[]|': tensor")
STEERING = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
OF_OTHERS = re.compile(r"it/s\]|Map:|Warning:|WARNING|FutureWarning|%\||huggingface/tokenizers|shards")


@pytest.fixture
def codir(monkeypatch, capsys):
    """The command, run in this process: `codir("distill", "--teacher", ...)` gives exit code and output."""
    return lambda *words: run(monkeypatch, capsys, *words)


def in_terminal(words: list[str], width: int) -> tuple[int, str]:
    """Exit code of a command in a terminal of this width, and all that it wrote there."""
    fcntl, pty, termios = pytest.importorskip("fcntl"), pytest.importorskip("pty"), pytest.importorskip("termios")
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "CI")}
    environment |= {"TERM": "xterm-256color", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    written = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the terminal's other end is closed
            break
        if not part:
            break
        written += part
    os.close(ours)
    return process.wait(), STEERING.sub("", written.decode().replace("\r", "\n"))


def distill_words(teacher: Path, files: dict[str, Path], folder: Path, *more: object) -> list[str]:  # noqa: F811
    words = ["distill", "--teacher", teacher, "--data", files["csv"], "--dev", files["dev"], "--student-layers", 2]
    words += ["--output-dir", folder / "out", "--cache-dir", folder / "cache", "--max-length", 32, "--epochs", 2]
    words += ["--batch-size", 16, "--set", "training.use_cpu=true", *more]
    return list(map(str, words))


# ---- In a terminal ----


@pytest.mark.training
@pytest.mark.parametrize("width", [80, 120])
def test_a_terminal_that_shows_raw_lines_or_no_progress(teacher, files, tmp_path, width):  # noqa: F811
    code, seen = in_terminal([sys.executable, "-m", "codir", *distill_words(teacher, files, tmp_path)], width)
    assert code == 0, seen
    lines = [line.rstrip() for line in seen.splitlines() if line.strip()]
    assert lines[0] == "codir distill: loading"
    ends = [line for line in lines if re.search(r": .*[\d.]+ s\b", line)]
    phases = ["reading the data", "tokenising", "teacher's cache", "memory bank", "training", "evaluation"]
    for name in [*phases, "measuring speed"]:
        assert any(line.startswith(f"{name}: ") for line in ends), (name, lines)
    drawn = [line for line in lines if "━" in line and "steps" in line]
    assert any(re.search(r"of 30 steps, [\d.]+ steps/s, [\d.:]+( s)? left", line) for line in drawn), drawn
    assert max(map(len, drawn)) <= width
    last = re.search(r"training: 30 steps in .*? evaluation: \d+ rows", " ".join(seen.split()))[0]
    for number in ("loss", "hard_label", "soft_target", "contrastive", "accuracy", "macro_f1"):
        assert re.search(rf"\b{number} [\d.]", last), number
    assert re.search(r"\blearning rate [\d.]", seen)
    begun = next(place for place, line in enumerate(lines) if line.startswith("training: 30 steps in"))
    assert lines[begun + 1].startswith("  training: loss")
    assert any(line.startswith("  evaluation: loss") for line in lines[begun + 2 : begun + 4])
    assert not DICTS.search(seen)
    assert not OF_OTHERS.search(seen)
    assert "Distilled from" in seen


def test_a_picture_that_stays_when_its_phase_is_over():
    screen = Live()
    with watched_by(screen):
        with phase("reading", 10) as reading:
            reading.advance(5)
            assert "5 of 10 rows" in text_of(screen)
        assert text_of(screen).strip() == ""


def text_of(screen: Live) -> str:
    with screen.console.capture() as captured:
        screen.console.print(screen)
    return captured.get()


def test_a_display_that_survives_its_command(monkeypatch):
    before, handlers = list(tables.consoles), list(logging.getLogger("codir").handlers)
    monkeypatch.setattr(display.sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")

    def stop_within() -> None:
        with shown("distill"):
            assert is_watched()
            assert len(tables.before_results) == 1
            begin("training")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_within()
    assert not is_watched()
    assert (tables.consoles, tables.before_results) == (before, [])
    assert logging.getLogger("codir").handlers == handlers
    assert logging._warnings_showwarning is None  # type: ignore[attr-defined]


# ---- Anywhere else ----


@pytest.mark.training
def test_plain_lines_that_hold_dicts_or_say_nothing(teacher, files, tmp_path):  # noqa: F811
    words = [sys.executable, "-m", "codir", *distill_words(teacher, files, tmp_path, "--baseline")]
    words += ["--set", "training.dataloader_num_workers=1", "--log-file", str(tmp_path / "run.log")]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert lines[0] == "codir distill: loading"
    for name in ("reading the data", "teacher's cache: 240 rows", "memory bank: 240 rows", "training: 30 steps"):
        assert name in lines
    told = [line for line in lines if re.match(r"training: \d+ of 30 steps", line)]
    assert 5 <= len(told) <= 11
    assert all("loss " in line and "learning rate " in line for line in told[1:])
    assert any(re.match(r"training, step 15: loss [\d.]+, accuracy ", line) for line in lines)
    assert any(line.startswith("training the baseline: 1 of 30") for line in lines)
    assert "Losses are noted every step." in lines
    for text in (done.stderr, done.stdout):
        assert not DICTS.search(text)
        assert not OF_OTHERS.search(text)
        assert "\x1b" not in text
    logged = (tmp_path / "run.log").read_text()
    assert all(line in logged for line in lines if "left" not in line)
    assert "Distilled from" in logged
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d codir distill: loading\n", logged)


@pytest.mark.training
def test_a_quiet_run_that_talks(codir, teacher, files, tmp_path):  # noqa: F811
    words = ["--model", teacher, "--data", files["dev"], "--max-length", 32]
    code, said = codir("evaluate", *words, "--quiet")
    assert code == 0
    assert said.startswith(files["dev"].name) or "metric" in said
    for word in ("loading", "tokenising", "is read from"):
        assert word not in said
    code, said = codir("evaluate", "--model", teacher, "--data", tmp_path / "none.csv", "--quiet")
    assert code == 2
    assert said.startswith("Error ")


def test_a_log_file_without_the_error_that_ended_the_run(tmp_path):
    path = tmp_path / "run.log"

    def fail_within() -> None:
        with shown("distill", quiet=True, log_file=path):
            logging.getLogger("codir.data").warning("a note")
            raise UserError("data", expected="rows", got="none", do="give some")

    with pytest.raises(UserError):
        fail_within()
    logged = path.read_text()
    assert "a note" in logged
    assert "data: expected rows, got none. What to do: give some." in logged


def test_a_library_that_talks_once_its_level_is_set_back(capfd, tmp_path):
    """`Trainer` sets the verbosity of `transformers` anew: to `warning` in all processes but the main one."""
    with shown("distill", quiet=True, log_file=tmp_path / "run.log"):
        transformers.logging.set_verbosity_warning()
        transformers.logging.get_logger("transformers.modeling_utils").warning("LOAD REPORT")
        logging.getLogger("another.library").warning("LOAD REPORT")
    assert capfd.readouterr() == ("", "")
    assert "LOAD REPORT" in (tmp_path / "run.log").read_text()


def test_a_log_file_that_makes_the_output_folder_look_used(tmp_path):
    check_log_file(tmp_path / "run.log", tmp_path / "out")
    check_log_file(tmp_path / "out.log", tmp_path / "out")
    with pytest.raises(UserError, match="--log-file"):
        check_log_file(tmp_path / "out" / "run.log", tmp_path / "out")


@pytest.mark.training
@pytest.mark.parametrize("place", [".", "missing/run.log"])
def test_a_log_file_that_cannot_be_written_to(codir, teacher, files, place):  # noqa: F811
    code, said = codir("evaluate", "--model", teacher, "--data", files["dev"], "--log-file", place)
    assert code == 2
    assert "Traceback" not in said


def test_a_first_line_that_waits_for_torch():
    """The heavy imports come after the line: a pipe that is closed at once gets it."""
    script = (
        "import sys; from codir.cli.display import shown\n"
        "class Seen(Exception): pass\n"
        "class Loud:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name in ('torch', 'transformers', 'datasets'): raise Seen(name)\n"
        "sys.meta_path.insert(0, Loud())\n"
        "try:\n"
        "    with shown('distill'): pass\n"
        "except Seen: sys.exit(7)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (7, "codir distill: loading\n")


# ---- Phases ----


def test_a_line_for_every_step():
    lines: list[str] = []
    with watched_by(Lines(lines.append)):
        training = begin("training", 1000, unit="steps")
        training.say("training", {"loss": 1.0})
        for _ in range(1000):
            training.advance()
        with phase("evaluation", 10):
            advance(10)
        training.say("evaluation", {"accuracy": 0.5})
        training.end()
    assert lines[0] == "training: 1,000 steps"
    assert lines[-1] == "training, step 1,000: accuracy 0.5"
    assert lines[1].startswith("training: 1 of 1,000 steps")
    assert len(lines) == 3 + 9


def test_a_rate_that_counts_what_an_earlier_process_did():
    resumed = Phase("training", 100, "steps", done=50)
    assert resumed.rate is None
    resumed.advance(10)
    assert resumed.rate is not None
    assert resumed.rate * resumed.seconds == pytest.approx(10, rel=0.5)
    assert in_time(3661) == "1:01:01"


def test_a_phase_that_a_failure_leaves_open():
    lines: list[str] = []
    with watched_by(Lines(lines.append)):
        with suppress(ZeroDivisionError), phase("outer"):
            begin("inner")
            raise ZeroDivisionError
        with phase("next"):
            pass
    assert lines == ["outer", "next"]


def test_a_forked_process_that_draws():
    lines: list[str] = []
    read, write = os.pipe()
    with watched_by(Lines(lines.append)):
        child = os.fork()
        if not child:
            with phase("tokenising", 3) as tokenising:
                tokenising.advance()
            os.write(write, b"%d" % (len(lines) + is_watched()))
            os._exit(0)
        os.waitpid(child, 0)
    assert os.read(read, 1) == b"0"


def test_python_that_loses_trainers_own_bar(tmp_path):
    def callbacks() -> set[type]:
        args = TrainingArguments(str(tmp_path), use_cpu=True, disable_tqdm=True, report_to="none")
        trainer = watched(Trainer(nn.Linear(1, 1), args, train_dataset=[0]))
        return {type(one) for one in trainer.callback_handler.callbacks}

    assert PrinterCallback in callbacks()
    assert Watching not in callbacks()
    with watched_by(Lines(print)):
        assert PrinterCallback not in callbacks()
        assert Watching in callbacks()
