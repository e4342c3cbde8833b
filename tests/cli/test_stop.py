"""A run that is asked to end says what it saved, and the command that it prints goes on from there."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time

import pytest
from transformers import BertTokenizer

from codir.cli import stop as stop_module
from codir.cli.failures import show_stop
from codir.cli.stop import Stopped, stopped_by_signals
from codir.config import Recipe, validate
from codir.runs import output
from codir.runs.output import run_folder
from codir.trainer.checkpoints import last_complete_checkpoint
from conftest import SPECIAL, WORDS, make_texts
from families import tiny_classifier


@pytest.fixture(autouse=True)
def _signals_as_in_a_terminal():
    """A shell's background jobs are started with SIGINT ignored, and so are all tests within one."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.training
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_that_loses_the_run_or_leaves_no_advice(tmp_path, number):
    tiny_classifier("bert", num_labels=2, seed=1).save_pretrained(tmp_path / "model")
    BertTokenizer(vocab={word: i for i, word in enumerate(SPECIAL + WORDS)}).save_pretrained(tmp_path / "model")
    make_texts(64).to_csv(tmp_path / "train.csv", index=False)
    settings = ["max_steps=100", "save_strategy=steps", "save_steps=5", "use_cpu=true", "disable_tqdm=true"]
    words = ["finetune", "--model", "model", "--data", "train.csv", "--output-dir", "my out", "--max-length", "16"]
    words += [word for setting in settings for word in ("--set", f"training.{setting}")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    line = [sys.executable, "-m", "codir", *words]
    pipe = subprocess.PIPE
    run = subprocess.Popen(line, stdout=pipe, stderr=pipe, text=True, cwd=tmp_path, env=environment)
    while last_complete_checkpoint(tmp_path / "my out" / "checkpoints") is None:
        assert run.poll() is None, run.communicate()
        time.sleep(0.01)
    run.send_signal(number)
    _, printed = run.communicate(timeout=300)
    assert run.returncode == 128 + number
    assert "Traceback" not in printed
    advice = printed.partition("To go on: ")[2].splitlines()[0]
    assert shlex.split(advice) == ["codir", *words, "--resume"]
    assert "checkpoint-" in printed.partition("Saved so far: ")[2].splitlines()[0]
    assert not [path.name for path in (tmp_path / "my out").iterdir() if path.name.startswith((".drafts", ".codir-h"))]
    ended = subprocess.run(
        [sys.executable, "-m", *shlex.split(advice)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert (tmp_path / "my out" / "model.safetensors").is_file()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_stays_caught_after_the_command(number):
    before = signal.getsignal(number)
    with pytest.raises(Stopped) as stop, stopped_by_signals():
        signal.raise_signal(number)
    assert stop.value.exit_code == 128 + number
    assert signal.getsignal(number) is before


def test_a_forked_process_that_speaks_for_its_parent():
    """Processes that tokenise are ended by SIGTERM when they are no longer needed."""
    read, write = os.pipe()
    with stopped_by_signals():
        child = os.fork()
        if child == 0:
            os.write(write, b"1")
            time.sleep(600)
            os._exit(0)
        os.read(read, 1)
        os.kill(child, signal.SIGTERM)
        _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGTERM


def test_a_signal_that_the_user_ignores_and_codir_does_not():
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with stopped_by_signals():
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_second_signal_that_cuts_the_first_ones_words_short():
    with stopped_by_signals():
        with pytest.raises(Stopped):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)


def test_a_signal_that_is_lost_for_ever(monkeypatch):
    """Python drops what is raised in `__del__`; the signal comes again, until the block is over."""
    monkeypatch.setattr(stop_module, "AGAIN_SECONDS", 0.2)

    class Deaf:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    def lose_one_and_wait() -> None:
        with stopped_by_signals():
            deaf = Deaf()
            del deaf
            time.sleep(30)

    monkeypatch.setattr(sys, "unraisablehook", lambda lost: None)
    with pytest.raises(Stopped):
        lose_one_and_wait()


@pytest.mark.parametrize("moment", ["while it is said", "after it was said"])
def test_a_stop_that_comes_while_a_run_fails_and_leaves_no_advice(tmp_path, monkeypatch, capsys, moment):
    """Another process is killed: this one's collective fails, and then the launcher stops it."""
    (tmp_path / "teacher").mkdir()
    sections = {"teacher": {"model": "teacher"}, "data": {"source": "train.csv"}, "student": {"layers": 2}}
    recipe = validate(Recipe, {**sections, "output_dir": tmp_path / "out"})
    how_to_go_on, moments = output.how_to_go_on, iter([moment])

    def interrupted(*words):
        if next(moments, None) == "while it is said":
            signal.raise_signal(signal.SIGTERM)
        return how_to_go_on(*words)

    def fail():
        with run_folder(recipe) as folder:
            folder.claim()
            (tmp_path / "out" / "checkpoints" / "checkpoint-2").mkdir(parents=True)
            raise RuntimeError("connection closed by peer")

    def run():
        with stopped_by_signals():
            try:
                fail()
            finally:
                if moment == "after it was said":
                    signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(output, "how_to_go_on", interrupted)
    monkeypatch.setattr(output, "last_complete_checkpoint", lambda folder: folder / "checkpoint-2")
    with pytest.raises(Stopped) as stop:
        run()
    assert show_stop(stop.value) == 128 + signal.SIGTERM
    said = capsys.readouterr().err
    assert said.count("To go on: ") == said.count("Saved so far: ") == 1
