"""Every bad input ends with exit code 2 and one message, before anything is trained, and leaves nothing behind.

`make slow` feeds in all of them, `make test` every tenth.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import bad_inputs
import pytest
from bad_inputs import BadInput, World

from codir import cli
from conftest import SPECIAL, WORDS, make_texts
from families import tiny_classifier, tiny_language_model

pytestmark = pytest.mark.filterwarnings("default")  # as for a user, a library's warning is no error

LONGEST = 2050
"""Of a message, with the word `Error` before it."""
EVERY = 10
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> World:
    from transformers import BertTokenizer

    root = tmp_path_factory.mktemp("world")
    tokenizer = BertTokenizer(vocab={word: i for i, word in enumerate(SPECIAL + WORDS)})
    for name, model in {"lm": tiny_language_model("bert"), "classifier": tiny_classifier("bert", num_labels=2)}.items():
        model.save_pretrained(root / name)
        tokenizer.save_pretrained(root / name)
    make_texts(40).to_csv(root / "rows.csv", index=False)
    (root / "corpus.txt").write_text("\n".join(make_texts(60)["text"]))
    return World(root / "classifier", root / "lm", root / "rows.csv", root / "corpus.txt", root / "work")


def run(words: Sequence[object], folder: Path) -> tuple[int | str, str]:
    """Exit code, and what was printed; whatever else is raised stands in place of the code."""
    printed = io.StringIO()
    before = os.getcwd(), sys.argv
    sys.argv = ["codir", *map(str, words)]
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            cli.main()
        return 0, printed.getvalue()
    except SystemExit as stop:
        return int(stop.code or 0), printed.getvalue()
    except BaseException as error:
        return repr(error)[:200], printed.getvalue()
    finally:
        os.chdir(before[0])
        sys.argv = before[1]


def faults(one: BadInput, world: World) -> list[str]:
    """What is wrong with how this input ended."""
    here = world.folder.with_name("here")
    for folder in (world.folder, here):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    code, printed = run(one.words(world), here)
    message = printed[printed.find("Error ") :] if "Error " in printed else printed
    found = {
        f"exit code {code}": code != 2,
        "no advice": not ("What to do:" in printed or "Usage:" in printed),
        "two messages": len(re.findall("^Error ", printed, re.MULTILINE)) > 1,
        "a traceback": "Traceback" in printed,
        f"control characters {CONTROL.findall(printed)[:3]}": CONTROL.search(printed) is not None,
        f"{len(message)} characters": len(re.sub(r"[─│╭╮╰╯\s]+", " ", message)) > LONGEST,
        "a secret": "hf_abc" in printed or ":y@" in printed or "a:b@" in printed,
        "a model was written": (world.folder / "out" / "config.json").exists(),
        f"left in the working directory: {os.listdir(here)}": any(here.iterdir()),
    }
    return [fault for fault, is_so in found.items() if is_so] + ([] if code == 2 else [message[-300:]])


def feed(inputs: Sequence[BadInput], world: World, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """All of them, one after another; says how many of each kind, and every one that ended wrongly."""
    home = world.folder.with_name("home")
    home.mkdir(exist_ok=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("COLUMNS", "200")
    wrong = {f"{one.kind}: {one.name}": found for one in inputs if (found := faults(one, world))}
    counts = Counter(one.kind for one in inputs)
    with capsys.disabled():
        print(
            f"\n{len(inputs)} bad inputs ({', '.join(f'{n} {kind}' for kind, n in counts.items())}): {len(wrong)} wrong"
        )
    if file := os.environ.get("COUNTS"):  # `make torture-inputs` keeps them
        result = {"inputs": len(inputs), "by_kind": dict(counts), "wrong": sorted(wrong)}
        Path(file).write_text(json.dumps(result, indent=2) + "\n")
    assert not [path for path in (home / ".cache" / "codir").rglob("*") if path.is_file()], "written at home"
    assert {path.name for path in home.iterdir()} <= {".cache", ".config"}  # libraries' own caches and notes
    assert not wrong, "\n".join(f"{name}: {'; '.join(found)}" for name, found in wrong.items())


def test_a_generator_of_fewer_than_400_bad_inputs():
    inputs = bad_inputs.all_inputs()
    assert len({(one.kind, one.name) for one in inputs}) == len(inputs) >= 400
    assert {one.kind for one in inputs} == {"flags", "settings", "recipes", "data", "models", "corpora", "places"}


@pytest.mark.training
def test_a_bad_input_that_is_no_message_in_a_tenth_of_them(world, monkeypatch, capsys):
    feed(bad_inputs.all_inputs()[::EVERY], world, monkeypatch, capsys)


@pytest.mark.slow
def test_a_bad_input_that_is_no_message(world, monkeypatch, capsys):
    feed(bad_inputs.all_inputs(), world, monkeypatch, capsys)


@pytest.mark.training
@pytest.mark.parametrize(
    "command", ["finetune", "distill", "pretrain", "sweep", "evaluate", "plan", "export", "benchmark"]
)
def test_good_words_that_are_refused(world, monkeypatch, command):
    """Otherwise the bad inputs would be refused for another reason than what is bad in them."""
    monkeypatch.setenv("HOME", str(world.folder.with_name("home")))
    shutil.rmtree(world.folder, ignore_errors=True)
    world.folder.mkdir()
    code, printed = run(bad_inputs.good_words(command, world), world.folder)
    assert code == 0, printed


@pytest.mark.training
def test_a_good_submission_that_is_refused(world, monkeypatch):
    monkeypatch.setenv("HOME", str(world.folder.with_name("home")))
    shutil.rmtree(world.folder, ignore_errors=True)
    world.folder.mkdir()
    code, printed = run(bad_inputs.good_submission(world), world.folder)
    assert code == 0, printed
    assert (world.folder / "submission" / "RTE.tsv").read_text().startswith("index\tprediction\n0\t")
